// One row of activations, β after the sum of a block: any format. That sum fits 16 bits, since
// |⟨x, y⟩| ≤ 127·√8·√2·q ≤ 32,512.
#pragma once

#include "fast.h"

namespace gosset {

#if GOSSET_AVX512 || GOSSET_AVX2

// A group's activations: so many coordinates of a block together, of four blocks; and −q times the sum of each block's,
// since the instructions multiply bytes without sign, y + q.
template <int N, class T>
struct Activations {
    static constexpr int TOGETHER = N;
    using Offset = T;
    int8_t x[8][DIM / N][4][N];
    T offset[8][4];
};

#endif

#if GOSSET_AVX512

typedef Activations<4, int32_t> Blocks;

// One row of activations with a row of groups, at(g).
template <int M, class At>
inline void dot_blocks(const At& at, int64_t apart, int64_t groups, const Betas& betas, const Blocks* x, int32_t* acc) {
    const V zero = _mm512_setzero_si512();
    const int64_t values = betas.together();
    V sum[4] = {zero, zero, zero, zero};  // [v][lane][block of four] of row 4·lane + v
    for (int64_t g = 0; g < groups; g++, x++) {
        alignas(64) uint8_t bytes[8][DIM][PLANE];
        V index[8];
        const uint8_t* planes = at(g);
        const Ahead<M, 3> ahead(planes, apart);
        const Group<M> group(planes, [&](auto n) INLINE { ahead.template line<n>(); });
        each<DIM>([&](auto i) INLINE {
            const auto y = [&](int k) INLINE {
                return k < M ? group.plane(k, i, 0) : k == M ? ~group.plane(M, i, 0) : _mm512_setzero_si512();
            };
            V turned[8];
            turn(four(y(0), y(1), y(2), y(3)), four(y(4), y(5), y(6), y(7)), turned);
            each<8>([&](auto j) INLINE {
                ahead.template step<8 * i + j>();
                store(bytes[j][i], turned[j]);
            });
        });
        indices(group, betas.bits, 0, index);
        each<8>([&](auto j) INLINE {
            const V beta = _mm512_permutexvar_epi8(index[j], _mm512_set1_epi64(values)), offset = in_lanes(x->offset[j]);
            V dot[4] = {offset, offset, offset, offset};
            each<2>([&](auto h) INLINE {
                const V a = load(bytes[j][4 * h]), b = load(bytes[j][4 * h + 1]), c = load(bytes[j][4 * h + 2]),
                        d = load(bytes[j][4 * h + 3]), four = in_lanes(x->x[j][h]);
                const V ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b);
                const V cd0 = _mm512_unpacklo_epi8(c, d), cd1 = _mm512_unpackhi_epi8(c, d);
                dot[0] = _mm512_dpbusd_epi32(dot[0], _mm512_unpacklo_epi16(ab0, cd0), four);
                dot[1] = _mm512_dpbusd_epi32(dot[1], _mm512_unpackhi_epi16(ab0, cd0), four);
                dot[2] = _mm512_dpbusd_epi32(dot[2], _mm512_unpacklo_epi16(ab1, cd1), four);
                dot[3] = _mm512_dpbusd_epi32(dot[3], _mm512_unpackhi_epi16(ab1, cd1), four);
            });
            each<4>([&](auto v) INLINE {  // byte 4v + k of a lane to dword k
                const V where = _mm512_add_epi32(_mm512_set4_epi32(0x80808003, 0x80808002, 0x80808001, 0x80808000),
                                                 _mm512_set1_epi32(4 * v));
                sum[v] = _mm512_dpwssd_epi32(sum[v], dot[v], _mm512_shuffle_epi8(beta, where));
            });
        });
    }
    each<4>([&](auto v) INLINE {
        int32_t dwords[ROWS];
        _mm512_storeu_si512(dwords, sum[v]);
        for (int lane = 0; lane < 4; lane++)
            acc[4 * lane + v] = static_cast<int32_t>(0u + dwords[4 * lane] + dwords[4 * lane + 1] + dwords[4 * lane + 2] +
                                                     dwords[4 * lane + 3]);
    });
}

#elif GOSSET_AVX2

// Groups that are fetched from memory before they are needed; line by line, since the cache can wait for some twenty.
constexpr int64_t AHEAD = 6;

typedef Activations<2, int16_t> Blocks;

// One row of activations with a row of groups, at(g); the next comes `apart` bytes later.
template <int M, class At>
inline void dot_blocks(const At& at, int64_t apart, int64_t groups, const Betas& betas, const Blocks* x, int32_t* acc) {
    const __m256i zero = _mm256_setzero_si256();
    const int64_t values = betas.together();
    __m256i sum[2][2] = {{zero, zero}, {zero, zero}};
    for (int64_t g = 0; g < groups; g++, x++) {
        const uint8_t* planes = at(g);
        const char* ahead = reinterpret_cast<const char*>(planes + AHEAD * apart);
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
