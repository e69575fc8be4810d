// Products with activations of bytes, where entries fit bytes and AVX-512 makes them faster than words.
#pragma once

#include <algorithm>

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

// Entries as bytes β·y + 128, for formats with β·q ≤ 128: a byte holds the index of β above y, and a table has the
// rest. A group's bytes are [coordinate][j][64]; activations are [coordinate][j][4 blocks].
constexpr int BYTES = ROWS * COLUMNS;

// Bits of y, of which planes from LOW on count, in the index. Up to four planes are all in it, and have four bits, so
// that the planes of β are unpacked once for all coordinates; of more planes the sign is bit 7 of the byte, where a
// look-up ignores it.
template <int M, int LOW>
constexpr int POINT_BITS = std::max(4, M - LOW);

struct Table {
    alignas(64) uint8_t entry[128];
    alignas(64) uint8_t less[128];  // what a sign takes off: β·q

    template <int M, int LOW>
    static Table of(const Betas& betas) {
        constexpr int BITS = POINT_BITS<M, LOW>, SIGN = 1 << (M - LOW);
        Table table;
        for (int n = 0; n < 128; n++) {
            const int index = n & ((1 << BITS) - 1), beta = betas.value[n >> BITS & 7];
            const int y = index < SIGN ? index : index - 2 * SIGN;
            table.entry[n] = static_cast<uint8_t>(beta * y * (1 << LOW) + 128);
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

// Planes of β's index, which has `bits` bits, at most B; zero where there are none.
template <int M, int B>
inline INLINE V beta_plane(const uint8_t* planes, int bits, int k) {
    return k < B && k < bits ? load(planes + (DIM * M + k) * PLANE) : _mm512_setzero_si512();
}

// Calls sink(step, bytes) for the 64 vectors of a group: step is 8·coordinate + j. The next group comes `apart` bytes
// later; 0 if it is not there yet.
template <int M, int B, int LOW, class Sink>
inline INLINE void expand_bytes(const uint8_t* planes, int bits, int64_t apart, const Table& table, const Sink& sink) {
    constexpr int COUNT = M + 1 - LOW, INDEX = POINT_BITS<M, LOW> + B;
    const Ahead<M, B> ahead(planes, apart);
    const Group<M> group(planes, [&](auto n) INLINE { ahead.template line<n>(); });
    const V zero = _mm512_setzero_si512();
    const V b0 = beta_plane<M, B>(planes, bits, 0), b1 = beta_plane<M, B>(planes, bits, 1);
    const Quarters shared = four(b0, b1, beta_plane<M, B>(planes, bits, 2), zero);
    V less[8];
    each<DIM>([&](auto i) INLINE {
        const auto y = [&](int k) INLINE { return k < COUNT ? group.plane(LOW + k, i, 0) : zero; };
        const Quarters low = four(y(0), y(1), y(2), y(3));
        V bytes[8];
        if constexpr (COUNT <= 4)
            turn(low, shared, bytes);
        else if constexpr (COUNT == 5)
            turn(low, with_last(shared, y(4)), bytes);
        else if constexpr (COUNT == 6)
            turn(low, four(y(4), b0, b1, y(5)), bytes);
        else
            turn(low, four(y(4), y(5), b0, y(6)), bytes);
        each<8>([&](auto j) INLINE {
            V entry = look_up<INDEX>(table.entry, bytes[j]);
            if constexpr (COUNT > 4) {
                if constexpr (i == 0) less[j] = look_up<INDEX>(table.less, bytes[j]);
                entry = _mm512_mask_sub_epi8(entry, _mm512_movepi8_mask(bytes[j]), entry, less[j]);
            }
            ahead.template step<8 * i + j>();
            sink(std::integral_constant<int, 8 * i + j>(), entry);
        });
    });
}

// The lowest plane of y is a codeword, one of 16. So its part of a block's product is one of 16 sums of activations,
// and the rest of y has a bit less: with one row of activations, from q = 16 on, that saves more than it costs.
template <int M>
constexpr int APART = M >= 4;

// Sums of activations where a codeword has ones, for the 32 blocks of a row of a group: [j][half][which][codeword] of
// blocks 4j + half and 4j + half + 2.
struct alignas(64) CodewordSums {
    int16_t sum[8][2][32];

    // Activations are [coordinate][j][4 blocks].
    explicit CodewordSums(const int8_t* x) {
        for (int j = 0; j < 8; j++)
            for (int half = 0; half < 2; half++) {
                V sums = _mm512_setzero_si512();
                for (int i = 0; i < DIM; i++) {
                    const int8_t* at = x + (8 * i + j) * 4 + half;
                    const V pair = _mm512_mask_set1_epi16(_mm512_set1_epi16(at[0]), 0xffff0000, at[2]);
                    sums = _mm512_mask_add_epi16(sums, CODEWORDS[i] * 0x10001u, sums, pair);
                }
                _mm512_store_si512(sum[j][half], sums);
            }
    }
};

// Adds the part of a group's lowest planes.
template <int M, int B>
inline INLINE void add_codewords(const uint8_t* planes, const Betas& betas, const CodewordSums& sums, V (&sum)[4]) {
    const auto label = [&](int k) INLINE { return load(planes + k * PLANE); };
    const auto beta = [&](int k) INLINE { return beta_plane<M, B>(planes, betas.bits, k); };
    const int64_t values = betas.together();
    const V table = _mm512_set1_epi64(values);
    const V which = _mm512_set1_epi8(static_cast<char>(0xcc));  // of the blocks of every four, the latter two
    V bytes[8];  // information bits, which of two blocks, β's index
    turn(four(label(0), label(1), label(2), label(3)), four(which, beta(0), beta(1), beta(2)), bytes);
    each<8>([&](auto j) INLINE {
        // A look-up ignores the bits above those it needs; of the values of β there are eight copies.
        const V even = _mm512_permutexvar_epi16(bytes[j], _mm512_load_si512(sums.sum[j][0]));
        const V odd = _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes[j], 8), _mm512_load_si512(sums.sum[j][1]));
        const V b = _mm512_permutexvar_epi8(_mm512_srli_epi16(bytes[j], 5), table);
        sum[j % 2 * 2] = _mm512_dpwssd_epi32(sum[j % 2 * 2], even, _mm512_and_si512(b, _mm512_set1_epi16(0xff)));
        sum[j % 2 * 2 + 1] = _mm512_dpwssd_epi32(sum[j % 2 * 2 + 1], odd, _mm512_srli_epi16(b, 8));
    });
}

inline V broadcast(const int8_t* four) {
    int32_t value;
    std::memcpy(&value, four, 4);
    return _mm512_set1_epi32(value);
}

// One row of activations with a row of groups, at(g), bytes never leaving registers.
template <int M, int B, class At>
inline void fused_bytes(const At& at, const Betas& betas, int64_t apart, int64_t groups, const Table& table,
                        const int8_t* x, const CodewordSums* codewords, int32_t offset, int32_t* acc) {
    V sum[4];  // a sum needs the one before it, which takes four cycles
    each<4>([&](auto k) INLINE { sum[k] = _mm512_set1_epi32(k ? 0 : offset); });
    for (int64_t g = 0; g < groups; g++, x += COLUMNS) {
        const uint8_t* planes = at(g);
        if constexpr (APART<M>) add_codewords<M, B>(planes, betas, codewords[g], sum);
        expand_bytes<M, B, APART<M>>(planes, betas.bits, apart, table, [&](auto step, V bytes) INLINE {
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

#endif

}  // namespace gosset
