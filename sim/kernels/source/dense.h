// Products of words: any format with any other. A group's entries β·y are expanded to words, once for all rows of
// activations, and multiplied in pairs.
//
// Words of a group: [coordinate][j][half][row][2]. Half h of vector j holds blocks 4j + h and 4j + h + 2, the even or
// odd bytes of the vector. Activations: [coordinate][j][half][2] for each group.
#pragma once

#include "expand.h"

namespace gosset {

constexpr int WORDS = ROWS * COLUMNS;

struct Betas {
    int bits;
    uint8_t value[8];

    // All values, the first in the lowest byte.
    int64_t together() const {
        int64_t all;
        std::memcpy(&all, value, sizeof all);
        return all;
    }
};

#if GOSSET_AVX512

template <int M>
inline void expand_words(const uint8_t* planes, const Betas& betas, int16_t* words) {
    Group<M> group(planes);
    V index[8], even[8], odd[8], bytes[8];
    indices(group, betas.bits, 0, index);
    const int64_t values = betas.together();
    for (int j = 0; j < 8; j++) {
        V beta = _mm512_permutexvar_epi8(index[j], _mm512_set1_epi64(values));
        even[j] = _mm512_and_si512(beta, _mm512_set1_epi16(0xff));
        odd[j] = _mm512_srli_epi16(beta, 8);
    }
    for (int i = 0; i < DIM; i++) {
        points(group, i, 0, bytes);
        for (int j = 0; j < 8; j++, words += 64) {
            V low = _mm512_srai_epi16(_mm512_slli_epi16(bytes[j], 8), 8), high = _mm512_srai_epi16(bytes[j], 8);
            _mm512_storeu_si512(words, _mm512_mullo_epi16(low, even[j]));
            _mm512_storeu_si512(words + 32, _mm512_mullo_epi16(high, odd[j]));
        }
    }
}

template <int R>
inline void dense_words(const int16_t* words, const int16_t* x, int64_t stride, int64_t groups, int32_t* acc,
                        int64_t pitch) {
    V sum[R];
    each<R>([&](auto r) INLINE { sum[r] = _mm512_loadu_si512(acc + r * pitch); });
    for (int64_t k = 0; k < groups * (WORDS / 32); k++) {
        V w = _mm512_loadu_si512(words + 32 * k);
        each<R>([&](auto r) INLINE {
            int32_t pair;
            std::memcpy(&pair, x + r * stride + 2 * k, 4);
            sum[r] = _mm512_dpwssd_epi32(sum[r], w, _mm512_set1_epi32(pair));
        });
    }
    each<R>([&](auto r) INLINE { _mm512_storeu_si512(acc + r * pitch, sum[r]); });
}

#elif GOSSET_AVX2

template <int M>
inline void expand_words(const uint8_t* planes, const Betas& betas, int16_t* words) {
    Group<M> group(planes);
    const int64_t values = betas.together();
    const __m256i table = _mm256_set1_epi64x(values);
    for (int part = 0; part < 2; part++) {
        V index[8], bytes[8];
        __m256i even[8], odd[8];
        indices(group, betas.bits, part, index);
        for (int j = 0; j < 8; j++) {
            __m256i beta = _mm256_shuffle_epi8(table, (__m256i)index[j]);
            even[j] = _mm256_and_si256(beta, _mm256_set1_epi16(0xff));
            odd[j] = _mm256_srli_epi16(beta, 8);
        }
        int16_t* to = words + 16 * part;
        for (int i = 0; i < DIM; i++) {
            points(group, i, part, bytes);
            for (int j = 0; j < 8; j++, to += 64) {
                __m256i y = (__m256i)bytes[j];
                __m256i low = _mm256_srai_epi16(_mm256_slli_epi16(y, 8), 8), high = _mm256_srai_epi16(y, 8);
                _mm256_storeu_si256((__m256i*)to, _mm256_mullo_epi16(low, even[j]));
                _mm256_storeu_si256((__m256i*)(to + 32), _mm256_mullo_epi16(high, odd[j]));
            }
        }
    }
}

template <int R>
inline void dense_words(const int16_t* words, const int16_t* x, int64_t stride, int64_t groups, int32_t* acc,
                        int64_t pitch) {
    __m256i sum[R][2];
    each<2 * R>([&](auto n) INLINE {
        sum[n / 2][n % 2] = _mm256_loadu_si256((const __m256i*)(acc + n / 2 * pitch + 8 * (n % 2)));
    });
    for (int64_t k = 0; k < groups * (WORDS / 32); k++) {
        __m256i low = _mm256_loadu_si256((const __m256i*)(words + 32 * k));
        __m256i high = _mm256_loadu_si256((const __m256i*)(words + 32 * k + 16));
        each<R>([&](auto r) INLINE {
            int32_t pair;
            std::memcpy(&pair, x + r * stride + 2 * k, 4);
            const __m256i both = _mm256_set1_epi32(pair);
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(low, both));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(high, both));
        });
    }
    each<2 * R>([&](auto n) INLINE {
        _mm256_storeu_si256((__m256i*)(acc + n / 2 * pitch + 8 * (n % 2)), sum[n / 2][n % 2]);
    });
}

#else

template <int M>
inline void expand_words(const uint8_t* planes, const Betas& betas, int16_t* words) {
    Group<M> group(planes);
    for (int part = 0; part < PARTS; part++) {
        V vectors[8];
        uint8_t index[8][sizeof(V)];
        int8_t bytes[8][sizeof(V)];
        indices(group, betas.bits, part, vectors);
        std::memcpy(index, vectors, sizeof index);
        for (int i = 0; i < DIM; i++) {
            points(group, i, part, vectors);
            std::memcpy(bytes, vectors, sizeof bytes);
            for (int j = 0; j < 8; j++)
                for (int c = 0; c < static_cast<int>(sizeof(V)); c++) {
                    int row = (part * static_cast<int>(sizeof(V)) + c) / 4;
                    words[((i * 8 + j) * 2 + c % 2) * 32 + 2 * row + c / 2 % 2] =
                        static_cast<int16_t>(bytes[j][c] * betas.value[index[j][c]]);
                }
        }
    }
}

template <int R>
inline void dense_words(const int16_t* words, const int16_t* x, int64_t stride, int64_t groups, int32_t* acc,
                        int64_t pitch) {
    for (int r = 0; r < R; r++) {
        // Unsigned: sums of parts may wrap round.
        uint32_t sum[ROWS];
        for (int n = 0; n < ROWS; n++) sum[n] = static_cast<uint32_t>(acc[r * pitch + n]);
        for (int64_t k = 0; k < groups * (WORDS / 32); k++) {
            const int32_t a = x[r * stride + 2 * k], b = x[r * stride + 2 * k + 1];
            for (int n = 0; n < ROWS; n++)
                sum[n] += static_cast<uint32_t>(words[32 * k + 2 * n] * a + words[32 * k + 2 * n + 1] * b);
        }
        for (int n = 0; n < ROWS; n++) acc[r * pitch + n] = static_cast<int32_t>(sum[n]);
    }
}

#endif

}  // namespace gosset
