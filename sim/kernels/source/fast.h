// Products with activations of bytes, where instructions make them faster than words.
#pragma once

#include "dense.h"

namespace gosset {

#if GOSSET_AVX512

// What follows a group in memory, fetched line by line and as evenly as can be, since caches wait for a few lines at a
// time: into the L2 cache FAR groups before it is needed, and from there one group before.
constexpr int64_t FAR = 8;

template <int M, int B>
struct Ahead {
    static constexpr int LINES = DIM * M + B, STEPS = DIM * 8;
    const char *near, *far;

    INLINE Ahead(const uint8_t* planes, int64_t group_bytes)
        : near(reinterpret_cast<const char*>(planes) + group_bytes), far(near + (FAR - 1) * group_bytes) {}

    template <int N>
    INLINE void line() const {
        _mm_prefetch(far + 64 * N, _MM_HINT_T1);
        _mm_prefetch(near + 64 * N, _MM_HINT_T0);
    }

    // The lines that are fetched before a step of the expansion; the decoder has fetched FETCHES<M>.
    template <int STEP>
    INLINE void step() const {
        constexpr int rest = LINES - FETCHES<M>, n = STEP * rest / STEPS;
        if constexpr (n < (STEP + 1) * rest / STEPS) line<FETCHES<M> + n>();
    }
};

// Entries as bytes β·y + 128, for formats with β·q ≤ 128: a byte holds the index of β above y, and a table has the rest.
// A group's bytes are [coordinate][j][64]; activations are [coordinate][j][4 blocks].
constexpr int BYTES = ROWS * COLUMNS;

// Bits of y in the index. Up to q = 8 all of them, and at least 4, so that the planes of β are unpacked once for all
// coordinates; for larger q all but the sign, which is bit 7 of the byte, where a look-up ignores it.
template <int M>
constexpr int POINT_BITS = M < 4 ? 4 : M;

struct Table {
    alignas(64) uint8_t entry[128];
    alignas(64) uint8_t less[128];  // what a sign takes off: β·q

    template <int M>
    static Table of(const Betas& betas) {
        Table table;
        for (int n = 0; n < 128; n++) {
            const int low = n & ((1 << POINT_BITS<M>) - 1), y = M < 4 && low >= 1 << M ? low - (2 << M) : low;
            const int beta = betas.value[n >> POINT_BITS<M> & 7];
            table.entry[n] = static_cast<uint8_t>(beta * y + 128);
            table.less[n] = static_cast<uint8_t>(beta << M);
        }
        return table;
    }
};

// Entries of a table of so many bits.
template <int BITS>
inline INLINE V look_up(const uint8_t* table, V index) {
    static_assert(BITS <= 7);
    const V first = _mm512_load_si512(table);
    return BITS <= 6 ? _mm512_permutexvar_epi8(index, first)
                     : _mm512_permutex2var_epi8(first, index, _mm512_load_si512(table + 64));
}

// Calls sink(step, bytes) for the 64 vectors of a group: step is 8·coordinate + j. The index of β has `bits` bits, at
// most B. The next group comes `apart` bytes later; 0 if it is not there yet.
template <int M, int B, class Sink>
inline INLINE void expand_bytes(const uint8_t* planes, int bits, int64_t apart, const Table& table, const Sink& sink) {
    constexpr int INDEX = POINT_BITS<M> + B;
    const Ahead<M, B> ahead(planes, apart);
    const Group<M> group(planes, [&](auto n) INLINE { ahead.template line<n>(); });
    const V zero = _mm512_setzero_si512();
    const V b0 = bits > 0 ? group.beta(0, 0) : zero, b1 = B > 1 && bits > 1 ? group.beta(1, 0) : zero,
            b2 = B > 2 && bits > 2 ? group.beta(2, 0) : zero;
    const Quarters shared = four(b0, b1, b2, zero);
    V less[8];
    each<DIM>([&](auto i) INLINE {
        const auto y = [&](int k) INLINE { return k <= M ? group.plane(k, i, 0) : zero; };
        V bytes[8];
        if constexpr (M < 4)
            turn(four(y(0), y(1), y(2), y(3)), shared, bytes);
        else if constexpr (M == 4)
            turn(four(y(0), y(1), y(2), y(3)), with_last(shared, y(4)), bytes);
        else
            turn(four(y(0), y(1), y(2), y(3)), four(y(4), M == 5 ? b0 : y(5), M == 5 ? b1 : b0, y(M)), bytes);
        each<8>([&](auto j) INLINE {
            V entry = look_up<INDEX>(table.entry, bytes[j]);
            if constexpr (M >= 4) {
                if constexpr (i == 0) less[j] = look_up<INDEX>(table.less, bytes[j]);
                entry = _mm512_mask_sub_epi8(entry, _mm512_movepi8_mask(bytes[j]), entry, less[j]);
            }
            ahead.template step<8 * i + j>();
            sink(std::integral_constant<int, 8 * i + j>(), entry);
        });
    });
}

inline V broadcast(const int8_t* four) {
    int32_t value;
    std::memcpy(&value, four, 4);
    return _mm512_set1_epi32(value);
}

// One row of activations with a row of groups, at(g), bytes never leaving registers.
template <int M, int B, class At>
inline void fused_bytes(const At& at, int bits, int64_t apart, int64_t groups, const Table& table, const int8_t* x,
                        int32_t offset, int32_t* acc) {
    V sum[4];  // a sum needs the one before it, which takes four cycles
    each<4>([&](auto k) INLINE { sum[k] = _mm512_set1_epi32(k ? 0 : offset); });
    for (int64_t g = 0; g < groups; g++, x += COLUMNS) {
        expand_bytes<M, B>(at(g), bits, apart, table, [&](auto step, V bytes) INLINE {
            sum[step % 4] = _mm512_dpbusd_epi32(sum[step % 4], bytes, broadcast(x + 4 * step));
        });
    }
    _mm512_storeu_si512(acc, _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3])));
}

// R rows of activations with N rows of groups, expanded before: for many rows. `apart` is from one row of groups to
// the next.
template <int N, int R>
inline void dense_bytes(const uint8_t* bytes, int64_t apart, int64_t steps, const int8_t* x, int64_t stride,
                        int32_t* acc, int64_t pitch) {
    V sum[R][N];
    each<R>([&](auto r) INLINE {
        each<N>([&](auto n) INLINE { sum[r][n] = _mm512_loadu_si512(acc + r * pitch + n * ROWS); });
    });
    for (int64_t k = 0; k < steps; k++) {
        V w[N];
        each<N>([&](auto n) INLINE { w[n] = _mm512_load_si512(bytes + n * apart + 64 * k); });
        each<R>([&](auto r) INLINE {
            const V four = broadcast(x + r * stride + 4 * k);
            each<N>([&](auto n) INLINE { sum[r][n] = _mm512_dpbusd_epi32(sum[r][n], w[n], four); });
        });
    }
    each<R>([&](auto r) INLINE {
        each<N>([&](auto n) INLINE { _mm512_storeu_si512(acc + r * pitch + n * ROWS, sum[r][n]); });
    });
}

#elif GOSSET_AVX2

// Groups that are fetched from memory before they are needed; line by line, since the cache can wait for some twenty.
constexpr int64_t AHEAD = 6;

// One row of activations with a row of groups, by coordinates of blocks, β after the sum of a block: that fits 16 bits,
// since |⟨x, y⟩| ≤ 127·√8·√2·q ≤ 32,512. Activations: [j][pair of coordinates][block][2], and −q times the sum of each
// block, since the instruction multiplies bytes without sign, y + q.
struct Pairs {
    int8_t x[8][4][4][2];
    int16_t offset[8][4];
};

template <int M, class At>
inline void dot_pairs(const At& at, int64_t groups, const Betas& betas, const Pairs* x, int32_t* acc) {
    const int64_t group_bytes = (DIM * M + betas.bits) * PLANE;
    const __m256i zero = _mm256_setzero_si256();
    int64_t values;
    std::memcpy(&values, betas.value, 8);
    __m256i sum[2][2] = {{zero, zero}, {zero, zero}};
    for (int64_t g = 0; g < groups; g++, x++) {
        const uint8_t* planes = at(g);
        const char* ahead = reinterpret_cast<const char*>(planes + AHEAD * group_bytes);
        const Group<M> group(planes);
        for (int part = 0; part < 2; part++) {
            V bytes[DIM][8], index[8];
            each<DIM>([&](auto i) INLINE {
                V p[8] = {};
                each<M>([&](auto k) INLINE {
                    p[k] = group.plane(k, i, part);
                    if (part == 0) _mm_prefetch(ahead + 64 * (M * i + k), _MM_HINT_T0);
                });
                p[M] = ~group.plane(M, i, part);
                turn(p);
                each<8>([&](auto j) INLINE { bytes[i][j] = p[j]; });
            });
            indices(group, betas.bits, part, index);
            for (int j = 0; j < 8; j++) {
                const __m256i beta = _mm256_shuffle_epi8(_mm256_set1_epi64x(values), (__m256i)index[j]);
                int64_t offset;
                std::memcpy(&offset, x->offset[j], 8);
                __m256i low = _mm256_set1_epi64x(offset), high = low;
                each<4>([&](auto p) INLINE {
                    int64_t four;
                    std::memcpy(&four, x->x[j][p], 8);
                    const __m256i a = (__m256i)bytes[2 * p][j], b = (__m256i)bytes[2 * p + 1][j];
                    const __m256i both = _mm256_set1_epi64x(four);
                    low = _mm256_add_epi16(low, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, b), both));
                    high = _mm256_add_epi16(high, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, b), both));
                });
                low = _mm256_madd_epi16(low, _mm256_unpacklo_epi8(beta, zero));
                high = _mm256_madd_epi16(high, _mm256_unpackhi_epi8(beta, zero));
                sum[part][0] = _mm256_add_epi32(sum[part][0], low);
                sum[part][1] = _mm256_add_epi32(sum[part][1], high);
            }
        }
    }
    for (int part = 0; part < 2; part++)  // per 16 bytes: rows 0, 0, 1, 1 and 2, 2, 3, 3
        _mm256_storeu_si256((__m256i*)(acc + 8 * part), _mm256_hadd_epi32(sum[part][0], sum[part][1]));
}

#endif

}  // namespace gosset
