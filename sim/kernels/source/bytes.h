// Products with activations of bytes, of all rows.
#pragma once

#include "blocks.h"
#include "product.h"

namespace gosset {

constexpr int TASK = 8;  // rows of groups that a thread takes at a time when there is one row of activations

#if GOSSET_AVX512

template <int N, int R>
void dense_rows(int rows, const uint8_t* bytes, int64_t apart, int64_t steps, const int8_t* x, int64_t stride,
                int32_t* acc, int64_t pitch) {
    if (rows == R)
        dense_bytes<N, R>(bytes, apart, steps, x, stride, acc, pitch);
    else if constexpr (R > 1)
        dense_rows<N, R - 1>(rows, bytes, apart, steps, x, stride, acc, pitch);
}

// What entries with 128 added add to a product, to be taken off: for each row of activations.
inline std::vector<int32_t> offsets(const Product& p) {
    std::vector<int32_t> result(p.x_rows);
    Pool::run(p.threads, p.x_rows, [&](int64_t r) {
        uint32_t sum = 0;  // may wrap round, as the accumulators do on their way
        for (int64_t k = 0; k < p.columns; k++) sum += static_cast<uint32_t>(p.x8[r * p.columns + k]);
        result[r] = static_cast<int32_t>(0 - 128 * sum);
    });
    return result;
}

// One row of activations.
template <int M, int B>
void multiply_one(const Product& p) {
    Laid<int8_t> x(p, p.groups);
    const int32_t offset = offsets(p)[0];
    const Table table = Table::of<M, APART<M>>(p.betas);
    std::vector<CodewordSums> codewords;
    for (int64_t g = 0; APART<M> && g < p.groups; g++) codewords.emplace_back(x.at(0, g));
    Pool::run(p.threads, (p.panels() + TASK - 1) / TASK, [&](int64_t task) {
        const int64_t first = task * TASK, last = std::min(first + TASK, p.panels());
        alignas(64) uint8_t room[ROOM];
        for (int64_t panel = first; panel < last; panel++)
            fused_bytes<M, B>([&](int64_t g) INLINE { return p.at<M>(panel, g, room); }, p.betas, p.apart(), p.groups,
                              table, x.at(0, 0), codewords.data(), offset, p.acc + panel * ROWS);
        scale(p, first * ROWS, last * ROWS);
    });
}

// Expands `count` rows of groups, `wide` groups of each from g; each row to so many bytes after the one before.
template <int M, int B>
__attribute__((noinline)) void expand(const Product& p, const Table& table, int64_t panel, int64_t count, int64_t g,
                                      int64_t wide, uint8_t* bytes, int64_t apart) {
    alignas(64) uint8_t room[ROOM];
    for (int64_t n = 0; n < count; n++)
        for (int64_t k = 0; k < wide; k++) {
            uint8_t* to = bytes + n * apart + k * BYTES;
            const uint8_t* planes = p.at<M>(panel + n, g + k, room);
            expand_bytes<M, B, 0>(planes, p.betas.bits, p.apart(), table, [&](auto step, V vector) INLINE {
                _mm512_store_si512(to + 64 * step, vector);
            });
        }
}

// Several rows of activations.
template <int M, int B>
void multiply_dense(const Product& p) {
    constexpr int MOST = 6;
    constexpr int64_t PANELS = 4;  // rows of groups that are expanded together, so that activations are read less often
    Laid<int8_t> x(p, SLAB);
    const std::vector<int32_t> start = offsets(p);
    const Table table = Table::of<M, 0>(p.betas);
    const int64_t chunks = (p.x_rows + MOST - 1) / MOST;
    Pool::run(p.threads, (p.panels() + PANELS - 1) / PANELS, [&](int64_t task) {
        alignas(64) uint8_t bytes[PANELS * SLAB * BYTES];
        const int64_t first = task * PANELS, count = std::min(PANELS, p.panels() - first);
        int32_t* acc = p.acc + first * ROWS;
        for (int64_t r = 0; r < p.x_rows; r++) std::fill_n(acc + r * p.pitch(), count * ROWS, start[r]);
        for (int64_t g = 0; g < p.groups; g += SLAB) {
            const int64_t wide = std::min(SLAB, p.groups - g);
            expand<M, B>(p, table, first, count, g, wide, bytes, SLAB * BYTES);
            for (int64_t c = 0; c < chunks; c++) {
                const int64_t from = p.x_rows * c / chunks, to = p.x_rows * (c + 1) / chunks;
                const int8_t* rows = x.at(from, g);
                const int64_t steps = wide * BYTES / 64;
                if (count == PANELS)
                    dense_rows<PANELS, MOST>(static_cast<int>(to - from), bytes, SLAB * BYTES, steps, rows, x.stride(),
                                             acc + from * p.pitch(), p.pitch());
                else
                    for (int64_t n = 0; n < count; n++)
                        dense_rows<1, MOST>(static_cast<int>(to - from), bytes + n * SLAB * BYTES, 0, steps, rows,
                                            x.stride(), acc + from * p.pitch() + n * ROWS, p.pitch());
            }
        }
        scale(p, first * ROWS, (first + count) * ROWS);
    });
}

#endif

#if GOSSET_AVX512 || GOSSET_AVX2

// One row of activations, β after the sum of a block.
template <int M>
void multiply_blocks(const Product& p) {
    constexpr int TOGETHER = Blocks::TOGETHER;
    std::vector<Blocks> x(p.groups);
    for (int64_t g = 0; g < p.groups; g++)
        for (int b = 0; b < BLOCKS; b++) {
            int sum = 0;
            for (int i = 0; i < DIM; i++) {
                const int16_t value = entry(p.x8, p.columns, (g * BLOCKS + b) * DIM + i);
                x[g].x[b / 4][i / TOGETHER][b % 4][i % TOGETHER] = static_cast<int8_t>(value);
                sum += value;
            }
            x[g].offset[b / 4][b % 4] = static_cast<Blocks::Offset>(-sum * (1 << M));
        }
    Pool::run(p.threads, (p.panels() + TASK - 1) / TASK, [&](int64_t task) {
        alignas(64) uint8_t room[ROOM];
        const int64_t first = task * TASK, last = std::min(first + TASK, p.panels());
        for (int64_t panel = first; panel < last; panel++)
            dot_blocks<M>([&](int64_t g) INLINE { return p.at<M>(panel, g, room); }, p.apart(), p.groups, p.betas, x.data(),
                          p.acc + panel * ROWS);
        scale(p, first * ROWS, last * ROWS);
    });
}

#endif

}  // namespace gosset
