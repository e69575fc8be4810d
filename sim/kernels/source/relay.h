// From a container's order, label after label, to the bit planes of groups.
#pragma once

#include <algorithm>

#include "vector.h"

namespace gosset {

// A packed matrix as it is in memory or in a file.
struct Source {
    const uint8_t* labels;  // [row][block][size], the lowest byte first
    int size;
    const uint8_t* betas;  // indices of β: [row][block], or packed, [row][words of 32 bits], the first block lowest
    bool packed;
    int64_t rows, blocks;

    const uint8_t* label(int64_t row, int64_t block) const { return labels + (row * blocks + block) * size; }

    // The indices of 32 blocks of a row begin at a byte, packed too.
    const uint8_t* beta(int64_t row, int64_t group, int bits) const {
        return betas + (packed ? row * ((blocks * bits + 31) / 32) * 4 + group * 4 * bits : row * blocks + group * BLOCKS);
    }
};

inline uint64_t turn8(uint64_t x) {
    uint64_t t = (x ^ x >> 7) & 0x00aa00aa00aa00aa;
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & 0x0000cccc0000cccc;
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & 0x00000000f0f0f0f0;
    return x ^ t ^ t << 28;
}

// The planes of a group, label by label; rows and blocks that are not there are zeros.
inline void relay_any(const Source& from, int m, int bits, int64_t panel, int64_t group, uint8_t* to) {
    uint64_t label[BLOCKS * ROWS] = {};  // in the order of the planes' bits
    uint8_t beta[BLOCKS * ROWS] = {};
    const int64_t first = panel * ROWS, wide = std::min<int64_t>(BLOCKS, from.blocks - group * BLOCKS);
    for (int64_t r = 0; r < std::min<int64_t>(ROWS, from.rows - first); r++) {
        const uint8_t* indices = from.beta(first + r, group, bits);
        for (int64_t b = 0; b < wide; b++) {
            const int t = place(static_cast<int>(b / 4), static_cast<int>(4 * r + b % 4));
            std::memcpy(&label[t], from.label(first + r, group * BLOCKS + b), from.size);
            if (!from.packed)
                beta[t] = indices[b];
            else
                for (int64_t i = 0; i < bits; i++) {
                    const int64_t bit = b * bits + i;
                    beta[t] = static_cast<uint8_t>(beta[t] | (indices[bit / 8] >> bit % 8 & 1) << i);
                }
        }
    }
    for (int s = 0; s < PLANE; s++)
        for (int k = 0; k <= m; k++) {
            uint64_t bytes = 0;
            for (int e = 0; e < 8; e++)
                bytes |= (k < m ? label[8 * s + e] >> 8 * k & 0xff : uint64_t{beta[8 * s + e]}) << 8 * e;
            bytes = turn8(bytes);
            for (int b = 0; b < (k < m ? 8 : bits); b++)
                to[(8 * k + b) * PLANE + s] = static_cast<uint8_t>(bytes >> 8 * b);
        }
}

#if GOSSET_AVX512

// Bit i of the indices of β of 32 blocks; packed ones of one bit or three.
inline uint32_t beta_bits(const Source& from, const uint8_t* indices, int bits, int i) {
    if (!from.packed) {
        const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices));
        return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_sll_epi16(all, _mm_cvtsi32_si128(7 - i))));
    }
    uint64_t all = 0, more = 0;
    if (bits == 1) return std::memcpy(&all, indices, 4), static_cast<uint32_t>(all);
    std::memcpy(&all, indices, 6);
    std::memcpy(&more, indices + 6, 6);
    return static_cast<uint32_t>(_pext_u64(all, 0x249249249249 << i) | _pext_u64(more, 0x249249249249 << i) << 16);
}

// Groups that are fetched from memory into the L2 cache before they are needed: 16 rows, apart from each other.
constexpr int64_t SOON = 8;

// The planes of a group with all its rows and blocks, of labels of up to four bytes; 16 bytes are read from every fourth.
template <int M>
inline void relay_whole(const Source& from, int bits, int64_t panel, int64_t group, uint8_t* to) {
    const int64_t row = panel * ROWS;
    struct Shuffles {
        alignas(16) uint8_t label[5][16], even[16], odd[16];
        constexpr Shuffles() : label(), even(), odd() {
            for (int n = 0; n < 16; n++) {
                for (int size = 1; size < 5; size++)  // byte n / 4 of four labels, the last one first
                    label[size][n] = static_cast<uint8_t>(n / 4 < size ? (3 - n % 4) * size + n / 4 : 0x80);
                even[n] = static_cast<uint8_t>(n % 2 * 8 + n / 4);  // of four rows' bits of β, those of the first or third
                odd[n] = static_cast<uint8_t>(n % 2 * 8 + 4 + n / 4);
            }
        }
    };
    static constexpr Shuffles shuffles;
    const V together = in_lanes(shuffles.label[from.size]);
    const V unit = _mm512_set1_epi64(static_cast<long long>(0x8040201008040201));
    const int64_t apart = from.blocks * from.size, groups = from.blocks / BLOCKS, next = group + SOON;
    const int64_t next_row = next < groups ? row : row + ROWS, next_block = (next < groups ? next : next - groups) * BLOCKS;
    V low[16], high[16];  // of two rows of each four and four blocks: bytes 0 and 1 of labels, or 2 and 3, bit by bit
    each<16>([&](auto u) INLINE {
        const char* ahead = reinterpret_cast<const char*>(from.label(next_row + u, next_block));
        _mm_prefetch(ahead, _MM_HINT_T1);
        if constexpr (M > 2) _mm_prefetch(ahead + 64, _MM_HINT_T1);
        _mm_prefetch(reinterpret_cast<const char*>(from.beta(row + ROWS + u, group, bits)), _MM_HINT_T0);
        const uint8_t* at = from.label(row + u % 2 * 2, group * BLOCKS + u / 2 * 4);
        const auto four = [&](const uint8_t* first) INLINE {
            const auto lane = [&](int n) INLINE {
                return _mm_loadu_si128(reinterpret_cast<const __m128i*>(first + 4 * n * apart));
            };
            V v = _mm512_inserti32x4(_mm512_castsi128_si512(lane(0)), lane(1), 1);
            return _mm512_shuffle_epi8(_mm512_inserti32x4(_mm512_inserti32x4(v, lane(2), 2), lane(3), 3), together);
        };
        const V a = four(at), b = four(at + apart);
        low[u] = _mm512_gf2p8affine_epi64_epi8(unit, _mm512_unpacklo_epi32(b, a), 0);
        if constexpr (M > 2) high[u] = _mm512_gf2p8affine_epi64_epi8(unit, _mm512_unpackhi_epi32(b, a), 0);
    });
    const auto turned = [&](V(&v)[16], int planes) INLINE {  // 16 × 16 bytes in each lane
        each<4>([&](auto) INLINE {
            V next[16];
            each<8>([&](auto i) INLINE {
                next[2 * i] = _mm512_unpacklo_epi8(v[i], v[i + 8]);
                next[2 * i + 1] = _mm512_unpackhi_epi8(v[i], v[i + 8]);
            });
            each<16>([&](auto i) INLINE { v[i] = next[i]; });
        });
        for (int n = 0; n < planes; n++) store(to + n * PLANE, v[n]);
        to += planes * PLANE;
    };
    turned(low, M > 1 ? 16 : 8);
    if constexpr (M > 2) turned(high, M > 3 ? 16 : 8);
    // Of bytes of two rows, the lower halves side by side, or the upper ones.
    const V half = _mm512_set1_epi8(0x0f);
    const auto lower = [&](V a, V b) INLINE {
        return _mm512_or_si512(_mm512_and_si512(half, a), _mm512_andnot_si512(half, _mm512_slli_epi16(b, 4)));
    };
    const auto upper = [&](V a, V b) INLINE {
        return _mm512_or_si512(_mm512_and_si512(half, _mm512_srli_epi16(a, 4)), _mm512_andnot_si512(half, b));
    };
    const uint8_t* indices = from.beta(row, group, bits);
    const int64_t indices_apart = from.beta(row + 1, group, bits) - indices;
    if (from.packed && bits == 2) {  // a byte is four blocks of a row: their lower bits become its lower half
        const V sort = _mm512_set1_epi64(0x0104104002082080);
        const auto every_fourth = [&](int n) INLINE {
            const auto lane = [&](int k) INLINE {
                return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(indices + (4 * k + n) * indices_apart));
            };
            V v = _mm512_inserti32x4(_mm512_castsi128_si512(lane(0)), lane(1), 1);
            return _mm512_inserti32x4(_mm512_inserti32x4(v, lane(2), 2), lane(3), 3);
        };
        const V a = _mm512_unpacklo_epi8(every_fourth(0), every_fourth(2));
        const V b = _mm512_unpacklo_epi8(every_fourth(1), every_fourth(3));
        const V c = _mm512_gf2p8affine_epi64_epi8(a, sort, 0), d = _mm512_gf2p8affine_epi64_epi8(b, sort, 0);
        store(to, lower(c, d));
        store(to + PLANE, upper(c, d));
        return;
    }
    for (int i = 0; i < bits; i++) {
        alignas(64) uint32_t words[ROWS];
        for (int r = 0; r < ROWS; r++) words[r] = beta_bits(from, indices + r * indices_apart, bits, i);
        const V all = _mm512_load_si512(words);
        const V a = _mm512_shuffle_epi8(all, in_lanes(shuffles.even));
        const V b = _mm512_shuffle_epi8(all, in_lanes(shuffles.odd));
        store(to + i * PLANE, _mm512_mask_blend_epi16(0xaaaaaaaa, lower(a, b), upper(a, b)));
    }
}

#endif

template <int M>
inline void relay(const Source& from, int bits, int64_t panel, int64_t group, uint8_t* to) {
#if GOSSET_AVX512
    if constexpr (M < 5) {
        const int64_t rows = (panel + 1) * ROWS, blocks = (group + 1) * BLOCKS;
        if (rows <= from.rows && blocks <= from.blocks &&
            from.label(rows - 1, blocks - 4) + 16 <= from.label(from.rows, 0))
            return relay_whole<M>(from, bits, panel, group, to);
    }
#endif
    relay_any(from, M, bits, panel, group, to);
}

}  // namespace gosset
