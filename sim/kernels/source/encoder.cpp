// golden.rounding.choose in vectors: every operation on float32 is golden's, in golden's order, so that every choice is
// golden's, too. Compiled without contraction to fused operations.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

#if defined(__AVX512F__) && defined(__AVX512BW__)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
constexpr int LANES = BYTES / 4, DIM = 8;
constexpr int64_t TOGETHER = 512;  // blocks: work arrays stay in the nearest caches

typedef float F __attribute__((vector_size(BYTES)));
typedef int32_t I __attribute__((vector_size(BYTES)));  // integers, and masks: 0 or −1

template <class T>
inline T abs_of(T x) {
    return x < 0 ? -x : x;
}

inline F low_of(F a, F b) { return a < b ? a : b; }
inline I low_of(I a, I b) { return a < b ? a : b; }
inline F where(I mask, F a) { return (F)((I)a & mask); }
inline I where(I mask, I a) { return a & mask; }

// golden.lattice.soft_decode: hard decisions and the result are masks.
template <class T>
inline void soft_decode(const I* hard, const T* reliability, I* word) {
    I base[2][4], parity[2], index[2][4], is_odd;
    T turn[2][4], least[2], advantage = T{};
    for (int j = 0; j < 4; j++) {
        const T a = reliability[2 * j], b = reliability[2 * j + 1];
        const I odd = hard[2 * j] ^ hard[2 * j + 1], weak = a < b;
        const T low = low_of(a, b), both = a + b, twice = low + low, saved = where(odd, twice);
        turn[0][j] = both - saved;
        turn[1][j] = both - (twice - saved);
        base[0][j] = hard[2 * j] ^ (odd & weak);
        base[1][j] = hard[2 * j] ^ (weak & ~odd);
        advantage = advantage + (low - saved);
    }
    for (int t = 0; t < 2; t++) {
        const I left = turn[t][1] < turn[t][0], right = turn[t][3] < turn[t][2];
        const T low_left = low_of(turn[t][0], turn[t][1]), low_right = low_of(turn[t][2], turn[t][3]);
        const I upper = low_right < low_left;
        least[t] = low_of(low_left, low_right);
        index[t][0] = ~upper & ~left;
        index[t][1] = ~upper & left;
        index[t][2] = upper & ~right;
        index[t][3] = upper & right;
        parity[t] = base[t][0] ^ base[t][1] ^ base[t][2] ^ base[t][3];
    }
    is_odd = advantage + where(parity[1], least[1]) < where(parity[0], least[0]);
    for (int j = 0; j < 4; j++) {
        const I even = base[0][j] ^ (parity[0] & index[0][j]), odd = base[1][j] ^ (parity[1] & index[1][j]);
        word[2 * j] = even ^ ((even ^ odd) & is_odd);
        word[2 * j + 1] = word[2 * j] ^ is_odd;
    }
}

// The nearest point of the lattice.
inline void nearest(const F* x, I* point) {
    I hard[DIM], below[DIM], word[DIM];
    F reliability[DIM];
    for (int i = 0; i < DIM; i++) {
        const F up = x[i] + 0.5f;
        I k = __builtin_convertvector(up, I);
        F floor = __builtin_convertvector(k, F);
        k += floor > up;
        floor = __builtin_convertvector(k, F);
        const F rest = x[i] - floor, size = abs_of(rest);
        below[i] = rest < 0;
        point[i] = k;
        hard[i] = -(k & 1);
        reliability[i] = 1.0f - (size + size);
    }
    soft_decode(hard, reliability, word);
    for (int i = 0; i < DIM; i++) {
        const I step = hard[i] ^ word[i];
        point[i] = point[i] - step + 2 * (step & below[i]);
    }
}

// The member of least energy of a point's coset modulo q.
inline void reduce(const I* point, int m, I* result) {
    const int q = 1 << m;
    I top[DIM], hard[DIM], reliability[DIM], word[DIM];
    for (int i = 0; i < DIM; i++) top[i] = -(point[i] >> m & 1);
    const I c0 = top[0], c1 = top[1], c2 = top[2], c4 = top[4];
    const I coarse[DIM] = {c0, c1, c2, c0 ^ c1 ^ c2, c4, c0 ^ c1 ^ c4, c0 ^ c2 ^ c4, c1 ^ c2 ^ c4};
    for (int i = 0; i < DIM; i++) {
        top[i] ^= coarse[i];
        const I residue = point[i] & (q - 1);
        result[i] = residue;
        hard[i] = top[i] ^ -(residue >> (m - 1) & 1);
        reliability[i] = abs_of(residue - q / 2);
    }
    soft_decode(hard, reliability, word);
    for (int i = 0; i < DIM; i++) result[i] -= (top[i] ^ word[i]) & q;
}

inline F distance(const F* x, const I* y) {
    F total{};
    for (int i = 0; i < DIM; i++) {
        const F rest = x[i] - __builtin_convertvector(y[i], F);
        total = total + rest * rest;
    }
    return total;
}

struct Settings {
    int m, count;
    const float *inverse, *square;  // float32 of 1/β and β²
    int best;                       // 1: "opt", 0: "first"
    float far, near;                // near: of the squared length
    const float* pulls;
};

inline void pulled(const F* t, const Settings& s, I* point, F& error) {
    F square{};
    for (int i = 0; i < DIM; i++) square = square + t[i] * t[i];
    F length;
    for (int k = 0; k < LANES; k++) length[k] = __builtin_sqrtf(square[k]);
    for (int pull = 0; pull < 3; pull++) {
        F factor = 1.0f - s.pulls[pull] / length, inner[DIM];
        factor = factor > 0 ? factor : F{};
        for (int i = 0; i < DIM; i++) inner[i] = t[i] * factor;
        I near[DIM], reduced[DIM];
        nearest(inner, near);
        reduce(near, s.m, reduced);
        const F found = distance(t, reduced);
        const I better = found < error;
        error = better ? found : error;
        for (int i = 0; i < DIM; i++) point[i] = better ? reduced[i] : point[i];
    }
}

inline I broadcast(int value) { return I{} + value; }

// Blocks of a few rows, one row after the other. Work arrays are [8][padded] and [padded].
struct Rows {
    int64_t blocks, padded;
    std::vector<float> inverse, t, error, best_error;
    std::vector<int32_t> point, best_point, best_index, overload, queue;

    explicit Rows(int64_t n) : blocks(n), padded((n + LANES - 1) / LANES * LANES) {
        inverse.resize(padded);
        for (auto* each : {&t, &error, &best_error}) each->resize(DIM * padded);
        for (auto* each : {&point, &best_point, &best_index, &overload}) each->resize(DIM * padded);
        queue.resize(padded + LANES);
    }

    template <class T, class U>
    static T get(const std::vector<U>& from, int64_t at) {
        T value;
        std::memcpy(&value, &from[at], BYTES);
        return value;
    }

    template <class T, class U>
    static void put(std::vector<U>& to, int64_t at, T value) {
        std::memcpy(&to[at], &value, BYTES);
    }

    // scales: one for every `length` blocks.
    void run(const float* const* x, const float* scales, int64_t length, const Settings& s) {
        for (int64_t row = 0; row < blocks / length; row++) {
            const float scale = scales[row];
            const float of_row = scale > 0 ? std::min(1.0f / scale, std::numeric_limits<float>::max()) : 0.0f;
            std::fill_n(inverse.begin() + row * length, length, of_row);
        }
        best_error.assign(padded, std::numeric_limits<float>::infinity());
        best_point.assign(DIM * padded, 0);
        best_index.assign(padded, 0);
        std::vector<int32_t>& open = overload;  // "first": where every β so far overloads
        if (!s.best) open.assign(padded, -1);
        for (int index = 0; index < s.count; index++) {
            int64_t queued = 0;
            for (int64_t b = 0; b < padded; b += LANES) {
                F at[DIM], clipped[DIM];
                const F of_row = get<F>(inverse, b);
                for (int i = 0; i < DIM; i++) {
                    F value{};
                    if (b + LANES <= blocks)
                        std::memcpy(&value, x[i] + b, BYTES);
                    else
                        std::memcpy(&value, x[i] + b, (blocks - b) * 4);
                    at[i] = value * of_row * s.inverse[index];
                    clipped[i] = at[i] > s.far ? F{} + s.far : at[i];
                    clipped[i] = clipped[i] < -s.far ? F{} - s.far : clipped[i];
                }
                I near[DIM], reduced[DIM], over{};
                nearest(clipped, near);
                reduce(near, s.m, reduced);
                for (int i = 0; i < DIM; i++) over |= near[i] != reduced[i];
                const F raw = distance(at, reduced);
                if (!s.best) {
                    take(b, get<I>(open, b), reduced, raw * s.square[index], index);
                    put(open, b, get<I>(open, b) & over);
                    continue;
                }
                F square{};
                for (int i = 0; i < DIM; i++) square = square + at[i] * at[i];
                over &= square < s.near;
                // Those that overload by little are put aside, and tried nearer to zero in full vectors.
                for (int i = 0; i < DIM; i++) put(t, i * padded + b, at[i]), put(point, i * padded + b, reduced[i]);
                put(error, b, raw);
                for (int k = 0; k < LANES; k++) {
                    queue[queued] = static_cast<int32_t>(b + k);
                    queued -= over[k];
                }
            }
            if (!s.best) continue;
            for (int64_t k = queued; k % LANES; k++) queue[k] = queue[queued - 1];
            for (int64_t first = 0; first < queued; first += LANES) {
                F at[DIM], raw;
                I reduced[DIM];
                for (int k = 0; k < LANES; k++) {
                    const int32_t b = queue[first + k];
                    for (int i = 0; i < DIM; i++) {
                        at[i][k] = t[i * padded + b];
                        reduced[i][k] = point[i * padded + b];
                    }
                    raw[k] = error[b];
                }
                pulled(at, s, reduced, raw);
                for (int k = 0; k < LANES; k++) {
                    const int32_t b = queue[first + k];
                    for (int i = 0; i < DIM; i++) point[i * padded + b] = reduced[i][k];
                    error[b] = raw[k];
                }
            }
            for (int64_t b = 0; b < padded; b += LANES) {
                I reduced[DIM];
                for (int i = 0; i < DIM; i++) reduced[i] = get<I>(point, i * padded + b);
                const F scaled = get<F>(error, b) * s.square[index];
                take(b, scaled < get<F>(best_error, b), reduced, scaled, index);
            }
        }
    }

    void take(int64_t b, I mask, const I* reduced, F scaled, int index) {
        for (int i = 0; i < DIM; i++)
            put(best_point, i * padded + b, mask ? reduced[i] : get<I>(best_point, i * padded + b));
        put(best_index, b, mask ? broadcast(index) : get<I>(best_index, b));
        put(best_error, b, mask ? scaled : get<F>(best_error, b));
    }
};

}  // namespace

// x: [8] of [rows][blocks]; scales: [alternatives][rows]; results: [alternatives][rows][blocks], points 8 of them.
extern "C" __attribute__((visibility("default"))) void gosset_choose(
    const float* const* x, int64_t rows, int64_t blocks, const float* scales, int64_t alternatives, int m, int count,
    const float* inverse, const float* square, int best, float far, float near, const float* pulls,
    int8_t* const* points, uint8_t* index, float* error) {
    const Settings settings{m, count, inverse, square, best, far, near, pulls};
    // Short rows are worked on several at once, so that vectors are full.
    const int64_t several = std::max<int64_t>(1, TOGETHER / std::max<int64_t>(1, blocks));
    Rows work(several * blocks), last(rows % several * blocks);
    for (int64_t a = 0; a < alternatives; a++)
        for (int64_t r = 0; r < rows; r += several) {
            Rows& some = r + several <= rows ? work : last;
            const float* row[DIM];
            for (int i = 0; i < DIM; i++) row[i] = x[i] + r * blocks;
            some.run(row, scales + a * rows + r, blocks, settings);
            const int64_t to = (a * rows + r) * blocks;
            for (int i = 0; i < DIM; i++)
                for (int64_t b = 0; b < some.blocks; b++)
                    points[i][to + b] = static_cast<int8_t>(some.best_point[i * some.padded + b]);
            for (int64_t b = 0; b < some.blocks; b++) index[to + b] = static_cast<uint8_t>(some.best_index[b]);
            std::memcpy(error + to, some.best_error.data(), some.blocks * 4);
        }
}
