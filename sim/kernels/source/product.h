// A product, and its activations laid out for it.
#pragma once

#include <algorithm>
#include <vector>

#include "dense.h"
#include "pool.h"
#include "relay.h"

namespace gosset {

constexpr int64_t ROOM = (DIM * 6 + 3) * PLANE;  // bytes of a group at most
constexpr int64_t SLAB = 2;  // groups along K that are expanded before they are multiplied: they stay in the L1 cache

struct Product {
    const uint8_t* planes;  // [panel][group][plane]; where there are none, groups are laid out as they are needed
    Source source;
    int64_t rows, groups;
    int m;
    Betas betas;
    const int8_t* x8;  // activations, one of both: [row][columns]
    const int16_t* x16;
    int64_t x_rows, columns;
    const float *x_scales, *scales;
    int32_t* acc;   // [activation row][pitch], pitch a multiple of 16
    float* result;  // [activation row][rows]
    int threads;

    int64_t panels() const { return (rows + ROWS - 1) / ROWS; }
    int64_t pitch() const { return panels() * ROWS; }
    int64_t group_bytes() const { return (DIM * m + betas.bits) * PLANE; }
    int64_t apart() const { return planes ? group_bytes() : 0; }  // from one group to the next

    // The planes of a group, which are laid out in `room` if need be.
    template <int M>
    INLINE const uint8_t* at(int64_t panel, int64_t group, uint8_t* room) const {
        if (planes) return planes + (panel * groups + group) * group_bytes();
        relay<M>(source, betas.bits, panel, group, room);
        return room;
    }
};

template <class T>
inline int16_t entry(const T* row, int64_t columns, int64_t k) {
    return k < columns ? row[k] : 0;
}

#if GOSSET_AVX512

// A group's activations, [block][coordinate], as [coordinate][block].
inline void turn_blocks(const int8_t* blocks, int8_t* to) {
    struct Index {
        alignas(64) uint8_t byte[64];
        constexpr Index() : byte() {
            for (int c = 0; c < 64; c++) byte[c] = static_cast<uint8_t>(c % 16 * DIM + c / 32);
        }
    };
    static constexpr Index index;
    const auto* from = reinterpret_cast<const uint8_t*>(blocks);
    const V v0 = load(from), v1 = load(from + 64), v2 = load(from + 128), v3 = load(from + 192);
    for (int i = 0; i < DIM; i += 2) {
        const V where = _mm512_add_epi8(load(index.byte), _mm512_set1_epi8(static_cast<char>(i)));
        const V first = _mm512_permutex2var_epi8(v0, where, v1), second = _mm512_permutex2var_epi8(v2, where, v3);
        _mm512_storeu_si512(to + 32 * i, _mm512_mask_blend_epi16(0xff00ff00, first, second));
    }
}

#endif

// Activations of a group as products read them: [coordinate][j], then the four blocks of a vector, words with those of
// each half together.
template <class T, class U>
void lay(const T* row, int64_t columns, int64_t g, U* to) {
    constexpr int order[4] = {0, sizeof(U) == 2 ? 2 : 1, sizeof(U) == 2 ? 1 : 2, 3};
    T padded[COLUMNS] = {};
    const T* from = row + g * COLUMNS;
    if (columns - g * COLUMNS < COLUMNS) {
        std::copy(from, row + columns, padded);
        from = padded;
    }
#if GOSSET_AVX512
    if constexpr (std::is_same_v<T, int8_t> && std::is_same_v<U, int8_t>) return turn_blocks(from, to);
#endif
    for (int j = 0; j < 8; j++)
        for (int b = 0; b < 4; b++)
            for (int i = 0; i < DIM; i++)
                to[(i * 8 + j) * 4 + b] = static_cast<U>(from[(4 * j + order[b]) * DIM + i]);
}

// Activations as `dense_words` and `dense_bytes` read them. All rows' parts of a slab of groups follow each other, since
// rows a power of two apart would push each other out of the cache.
template <class U>
struct Laid {
    int64_t rows, slab;  // groups
    std::vector<U> entries;

    Laid(const Product& p, int64_t groups) : rows(p.x_rows), slab(groups) {
        entries.resize((p.groups + slab - 1) / slab * slab * rows * COLUMNS);
        Pool::run(p.threads, rows, [&](int64_t r) {
            for (int64_t g = 0; g < p.groups; g++)
                p.x8 ? lay(p.x8 + r * p.columns, p.columns, g, at(r, g))
                     : lay(p.x16 + r * p.columns, p.columns, g, at(r, g));
        });
    }

    int64_t stride() const { return slab * COLUMNS; }
    U* at(int64_t row, int64_t g) { return &entries[(g / slab * rows + row) * stride() + g % slab * COLUMNS]; }
};

inline void scale(const Product& p, int64_t from, int64_t to) {
    if (!p.result) return;
    to = std::min(to, p.rows);
    for (int64_t r = 0; r < p.x_rows; r++)
        for (int64_t n = from; n < to; n++)
            p.result[r * p.rows + n] = static_cast<float>(static_cast<double>(p.x_scales[r]) * p.scales[n] *
                                                          p.acc[r * p.pitch() + n]);
}

}  // namespace gosset
