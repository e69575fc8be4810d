// Products with activations of bytes by AMX: tiles of 16 rows of activations by 16 of a matrix, 64 columns at once.
#pragma once

#include "bytes.h"

#if GOSSET_AMX

namespace gosset {

constexpr int TILE = 16;                   // rows of a tile; each has 64 bytes
constexpr int TILE_BYTES = 64 * TILE;
constexpr int SUMS = TILE * TILE;          // of a tile
constexpr int TILES = BYTES / TILE_BYTES;  // of a group: the bytes that `expand_bytes` makes, as they are

// Intrinsics of tiles do not tell the compiler that they read and write memory.
inline INLINE void fence() { asm volatile("" ::: "memory"); }

// Makes this thread's eight tiles as large as they can be; `_tile_release` ends it.
inline void begin_tiles() {
    struct alignas(64) {
        uint8_t palette = 1, start = 0, reserved[14] = {};
        uint16_t columns[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE};
    } shapes;
    fence();
    _tile_loadconfig(&shapes);
}

// Adds to A by N tiles of sums the products of A · 16 rows of activations and N rows of groups, both in so many tiles;
// `apart` is from one row of tiles to the next. Activations are loaded to stay in the L1 cache, groups are not.
template <int A, int N>
inline void dense_tiles(const int8_t* x, int64_t x_apart, const uint8_t* bytes, int64_t bytes_apart, int64_t tiles,
                        int32_t* sums, int64_t sums_apart) {
    fence();
    _tile_loadd(0, sums, 64);
    if constexpr (N > 1) _tile_loadd(1, sums + SUMS, 64);
    if constexpr (A > 1) _tile_loadd(2, sums + sums_apart, 64);
    if constexpr (A > 1 && N > 1) _tile_loadd(3, sums + sums_apart + SUMS, 64);
    for (int64_t k = 0; k < tiles; k++, bytes += TILE_BYTES, x += TILE_BYTES) {
        _tile_stream_loadd(6, bytes, 64);
        _tile_loadd(4, x, 64);
        _tile_dpbsud(0, 4, 6);
        if constexpr (N > 1) {
            _tile_stream_loadd(7, bytes + bytes_apart, 64);
            _tile_dpbsud(1, 4, 7);
        }
        if constexpr (A > 1) {
            _tile_loadd(5, x + x_apart, 64);
            _tile_dpbsud(2, 5, 6);
            if constexpr (N > 1) _tile_dpbsud(3, 5, 7);
        }
    }
    _tile_stored(0, sums, 64);
    if constexpr (N > 1) _tile_stored(1, sums + SUMS, 64);
    if constexpr (A > 1) _tile_stored(2, sums + sums_apart, 64);
    if constexpr (A > 1 && N > 1) _tile_stored(3, sums + sums_apart + SUMS, 64);
    fence();
}

constexpr int64_t FEW = 6;  // rows of activations from which on tiles pay

// The first byte of a cache line in memory that has 64 bytes more than it needs.
template <class T>
inline T* on_line(std::vector<T>& memory) {
    return memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
}

// Memory that stays with the thread, from a cache line on; its contents do not.
inline uint8_t* scratch(size_t size) {
    static thread_local std::vector<uint8_t> memory;
    if (memory.size() < size + 64) memory = std::vector<uint8_t>(size + 64);
    return on_line(memory);
}

// Of 16 rows of the matrix and one of activations, the results where they are wanted, else the accumulators.
inline void finish(const Product& p, int64_t row, int64_t panel, V sum) {
    const int64_t n = panel * ROWS, left = p.rows - n;
    if (!p.result) return _mm512_storeu_si512(p.acc + row * p.pitch() + n, sum);
    const auto there = static_cast<__mmask16>(left < ROWS ? (1 << left) - 1 : 0xffff);
    const __m512d x = _mm512_set1_pd(p.x_scales[row]);
    const __m512 scales = _mm512_maskz_loadu_ps(there, p.scales + n);
    const auto half = [&](__m256 scale, __m256i part) {
        return _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_mul_pd(x, _mm512_cvtps_pd(scale)), _mm512_cvtepi32_pd(part)));
    };
    const __m256 low = half(_mm512_castps512_ps256(scales), _mm512_castsi512_si256(sum));
    const __m256 high = half(_mm512_extractf32x8_ps(scales, 1), _mm512_extracti64x4_epi64(sum, 1));
    _mm512_mask_storeu_ps(p.result + row * p.rows + n, there, _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
}

// Activations as tiles: [16 rows][64 columns][row][64], columns in the order of `expand_bytes`. Rows that are not there
// are 0.
struct Tiled {
    int64_t rows, apart;  // rows of tiles, and the bytes of one
    std::vector<int8_t> memory;
    int8_t* entries;

    explicit Tiled(const Product& p)
        : rows((p.x_rows + TILE - 1) / TILE),
          apart(p.groups * BYTES),
          memory(rows * apart + 64),
          entries(on_line(memory)) {
        Pool::run(p.threads, p.x_rows, [&](int64_t r) {
            int8_t group[COLUMNS];
            for (int64_t g = 0; g < p.groups; g++) {
                lay(p.x8 + r * p.columns, p.columns, g, group);
                int8_t* to = &entries[r / TILE * apart + g * BYTES + r % TILE * 64];
                for (int k = 0; k < TILES; k++) std::memcpy(to + k * TILE_BYTES, group + 64 * k, 64);
            }
        });
    }

    const int8_t* at(int64_t row, int64_t g) const { return &entries[row * apart + g * BYTES]; }
};

// Many rows of activations.
template <int M, int B>
void multiply_tiles(const Product& p) {
    constexpr int64_t WIDE = 4, MOST = 16;  // groups along K, and rows of groups, that are expanded together
    constexpr int64_t APART = WIDE * BYTES;
    const int64_t panels = std::clamp<int64_t>(p.panels() / (4 * p.threads) / 2 * 2, 2, MOST);
    const Tiled x(p);
    const std::vector<int32_t> start = offsets(p);
    const Table table = Table::of<M, 0>(p.betas);
    Pool::run(p.threads, (p.panels() + panels - 1) / panels, [&](int64_t task) {
        const int64_t first = task * panels, count = std::min(panels, p.panels() - first);
        const int64_t sums_apart = count * SUMS;
        uint8_t* bytes = scratch(panels * APART + x.rows * sums_apart * sizeof(int32_t));
        auto* sums = reinterpret_cast<int32_t*>(bytes + panels * APART);  // tiles: 16 rows of x by 16 of the matrix
        std::fill_n(sums, x.rows * sums_apart, 0);
        begin_tiles();
        for (int64_t g = 0; g < p.groups; g += WIDE) {
            const int64_t wide = std::min(WIDE, p.groups - g);
            expand<M, B>(p, table, first, count, g, wide, bytes, APART);
            for (int64_t r = 0; r < x.rows; r += 2)
                for (int64_t n = 0; n < count; n += 2) {
                    const auto multiply = r + 1 < x.rows ? n + 1 < count ? dense_tiles<2, 2> : dense_tiles<2, 1>
                                                         : n + 1 < count ? dense_tiles<1, 2> : dense_tiles<1, 1>;
                    multiply(x.at(r, g), x.apart, bytes + n * APART, APART, wide * TILES,
                             sums + r * sums_apart + n * SUMS, sums_apart);
                }
        }
        _tile_release();
        for (int64_t r = 0; r < p.x_rows; r++)
            for (int64_t n = 0; n < count; n++) {
                const V sum = _mm512_loadu_si512(sums + r / TILE * sums_apart + n * SUMS + r % TILE * TILE);
                finish(p, r, first + n, _mm512_add_epi32(sum, _mm512_set1_epi32(start[r])));
            }
    });
}

}  // namespace gosset

#endif
