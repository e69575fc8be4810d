// Products of packed matrices, for one set of instructions. sim/kernels/library.py compiles this file and calls it.
#include "dense.h"
#include "fast.h"
#include "pool.h"

#include <algorithm>
#include <chrono>

using namespace gosset;

namespace {

constexpr int64_t SLAB = 2;   // groups along K that are expanded before they are multiplied: they stay in the L1 cache
constexpr int64_t PANELS = 4; // rows of groups that are expanded together, so that activations are read less often
constexpr int TASK = 8;       // rows of groups that a thread takes at a time when there is one row of activations

struct Product {
    const uint8_t* planes;  // [panel][group][plane]
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
    const uint8_t* at(int64_t panel, int64_t group) const { return planes + (panel * groups + group) * group_bytes(); }
};

template <class T>
inline int16_t entry(const T* row, int64_t columns, int64_t k) {
    return k < columns ? row[k] : 0;
}

// Activations as `dense_words` and `dense_bytes` read them: a group's are [coordinate][j], then the four blocks of a
// vector, words with those of each half together. All rows' parts of a slab of groups follow each other, since rows a
// power of two apart would push each other out of the cache.
template <class U>
struct Laid {
    int64_t rows, slab;  // groups
    std::vector<U> entries;

    Laid(const Product& p, int64_t groups) : rows(p.x_rows), slab(groups) {
        entries.resize((p.groups + slab - 1) / slab * slab * rows * COLUMNS);
        Pool::run(p.threads, rows, [&](int64_t r) {
            for (int64_t g = 0; g < p.groups; g++)
                p.x8 ? lay(p.x8 + r * p.columns, p.columns, g, at(r, g)) : lay(p.x16 + r * p.columns, p.columns, g, at(r, g));
        });
    }

    int64_t stride() const { return slab * COLUMNS; }
    U* at(int64_t row, int64_t g) { return &entries[(g / slab * rows + row) * stride() + g % slab * COLUMNS]; }

  private:
    template <class T>
    static void lay(const T* row, int64_t columns, int64_t g, U* to) {
        constexpr int order[4] = {0, sizeof(U) == 2 ? 2 : 1, sizeof(U) == 2 ? 1 : 2, 3};
        T padded[COLUMNS] = {};
        const T* from = row + g * COLUMNS;
        if (columns - g * COLUMNS < COLUMNS) {
            std::copy(from, row + columns, padded);
            from = padded;
        }
        for (int j = 0; j < 8; j++)
            for (int b = 0; b < 4; b++)
                for (int i = 0; i < DIM; i++)
                    to[(i * 8 + j) * 4 + b] = static_cast<U>(from[(4 * j + order[b]) * DIM + i]);
    }
};

void scale(const Product& p, int64_t from, int64_t to) {
    if (!p.result) return;
    to = std::min(to, p.rows);
    for (int64_t r = 0; r < p.x_rows; r++)
        for (int64_t n = from; n < to; n++)
            p.result[r * p.rows + n] = static_cast<float>(static_cast<double>(p.x_scales[r]) * p.scales[n] *
                                                          p.acc[r * p.pitch() + n]);
}

template <int R>
void dense_rows(int rows, const int16_t* words, const int16_t* x, int64_t stride, int64_t groups, int32_t* acc,
                int64_t pitch) {
    if (rows == R)
        dense_words<R>(words, x, stride, groups, acc, pitch);
    else if constexpr (R > 1)
        dense_rows<R - 1>(rows, words, x, stride, groups, acc, pitch);
}

template <int M>
void multiply_words(const Product& p) {
    constexpr int MOST = 6;
    Laid<int16_t> x(p, SLAB);
    const int64_t chunks = (p.x_rows + MOST - 1) / MOST;
    Pool::run(p.threads, p.panels(), [&](int64_t panel) {
        alignas(64) int16_t words[SLAB * WORDS];
        int32_t* acc = p.acc + panel * ROWS;
        for (int64_t r = 0; r < p.x_rows; r++) std::fill_n(acc + r * p.pitch(), ROWS, 0);
        for (int64_t g = 0; g < p.groups; g += SLAB) {
            int64_t count = std::min(SLAB, p.groups - g);
            for (int64_t k = 0; k < count; k++) expand_words<M>(p.at(panel, g + k), p.betas, words + k * WORDS);
            for (int64_t c = 0; c < chunks; c++) {
                int64_t first = p.x_rows * c / chunks, last = p.x_rows * (c + 1) / chunks;
                dense_rows<MOST>(static_cast<int>(last - first), words, x.at(first, g), x.stride(), count,
                                 acc + first * p.pitch(), p.pitch());
            }
        }
        scale(p, panel * ROWS, panel * ROWS + ROWS);
    });
}

#if GOSSET_AVX512

template <int N, int R>
void dense_rows(int rows, const uint8_t* bytes, int64_t apart, int64_t steps, const int8_t* x, int64_t stride,
                int32_t* acc, int64_t pitch) {
    if (rows == R)
        dense_bytes<N, R>(bytes, apart, steps, x, stride, acc, pitch);
    else if constexpr (R > 1)
        dense_rows<N, R - 1>(rows, bytes, apart, steps, x, stride, acc, pitch);
}

template <int M, int B>
void multiply_bytes(const Product& p) {
    constexpr int MOST = 6;
    const bool few = p.x_rows == 1;
    Laid<int8_t> x(p, few ? p.groups : SLAB);
    std::vector<int32_t> offsets(p.x_rows);
    Pool::run(p.threads, p.x_rows, [&](int64_t r) {
        uint32_t sum = 0;  // may wrap round, as the accumulators do on their way
        for (int64_t k = 0; k < p.columns; k++) sum += static_cast<uint32_t>(p.x8[r * p.columns + k]);
        offsets[r] = static_cast<int32_t>(0 - 128 * sum);
    });
    const Table table = Table::of<M>(p.betas);
    if (few) {
        Pool::run(p.threads, (p.panels() + TASK - 1) / TASK, [&](int64_t task) {
            const int64_t first = task * TASK, last = std::min(first + TASK, p.panels());
            for (int64_t panel = first; panel < last; panel++)
                fused_bytes<M, B>(p.at(panel, 0), p.betas.bits, p.groups, table, x.at(0, 0), offsets[0],
                                  p.acc + panel * ROWS);
            scale(p, first * ROWS, last * ROWS);
        });
        return;
    }
    const int64_t chunks = (p.x_rows + MOST - 1) / MOST;
    Pool::run(p.threads, (p.panels() + PANELS - 1) / PANELS, [&](int64_t task) {
        alignas(64) uint8_t bytes[PANELS * SLAB * BYTES];
        const int64_t first = task * PANELS, count = std::min(PANELS, p.panels() - first);
        int32_t* acc = p.acc + first * ROWS;
        for (int64_t r = 0; r < p.x_rows; r++) std::fill_n(acc + r * p.pitch(), count * ROWS, offsets[r]);
        for (int64_t g = 0; g < p.groups; g += SLAB) {
            const int64_t wide = std::min(SLAB, p.groups - g);
            for (int64_t n = 0; n < count; n++)
                for (int64_t k = 0; k < wide; k++) {
                    uint8_t* to = bytes + (n * SLAB + k) * BYTES;
                    const uint8_t* planes = p.at(first + n, g + k);
                    const char* ahead = reinterpret_cast<const char*>(planes + SLAB * p.group_bytes());
                    expand_bytes<M, B>(planes, p.betas.bits, table, [&](auto step, V vector) INLINE {
                        if constexpr (step < DIM * M + B) _mm_prefetch(ahead + 64 * step, _MM_HINT_T0);
                        _mm512_store_si512(to + 64 * step, vector);
                    });
                }
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

#elif GOSSET_AVX2

template <int M>
void multiply_pairs(const Product& p) {
    std::vector<Pairs> x(p.groups);
    for (int64_t g = 0; g < p.groups; g++)
        for (int b = 0; b < BLOCKS; b++) {
            int sum = 0;
            for (int i = 0; i < DIM; i++) {
                int16_t value = entry(p.x8, p.columns, (g * BLOCKS + b) * DIM + i);
                x[g].x[b / 4][i / 2][b % 4][i % 2] = static_cast<int8_t>(value);
                sum += value;
            }
            x[g].offset[b / 4][b % 4] = static_cast<int16_t>(-sum * (1 << M));
        }
    Pool::run(p.threads, (p.panels() + TASK - 1) / TASK, [&](int64_t task) {
        const int64_t first = task * TASK, last = std::min(first + TASK, p.panels());
        for (int64_t panel = first; panel < last; panel++)
            dot_pairs<M>(p.at(panel, 0), p.groups, p.betas, x.data(), p.acc + panel * ROWS);
        scale(p, first * ROWS, last * ROWS);
    });
}

#endif

template <int M>
void multiply(const Product& p) {
#if GOSSET_AVX512
    const int largest = *std::max_element(p.betas.value, p.betas.value + 8);
    if (p.x8 && largest << M <= 128) {
        // What fits in a byte has few bits of β where y has many.
        constexpr int MOST = M == 6 ? 1 : M == 5 ? 2 : 3;
        return p.betas.bits < MOST && MOST == 3 ? multiply_bytes<M, MOST == 3 ? 2 : MOST>(p) : multiply_bytes<M, MOST>(p);
    }
#elif GOSSET_AVX2
    if (p.x8 && p.x_rows == 1) return multiply_pairs<M>(p);
#endif
    multiply_words<M>(p);
}

template <int M>
void integers(const uint8_t* planes, int64_t rows, int64_t groups, int64_t blocks, const Betas& betas, int16_t* out,
              int threads) {
    const int64_t bytes = (DIM * M + betas.bits) * PLANE;
    Pool::run(threads, (rows + ROWS - 1) / ROWS, [&](int64_t panel) {
        alignas(64) int16_t words[WORDS];
        for (int64_t g = 0; g < groups; g++) {
            expand_words<M>(planes + (panel * groups + g) * bytes, betas, words);
            for (int64_t r = 0; r < std::min<int64_t>(ROWS, rows - panel * ROWS); r++)
                for (int64_t b = 0; b < std::min<int64_t>(BLOCKS, blocks - g * BLOCKS); b++)
                    for (int i = 0; i < DIM; i++)
                        out[((panel * ROWS + r) * blocks + g * BLOCKS + b) * DIM + i] =
                            words[((i * 8 + b / 4) * 2 + b % 2) * 32 + 2 * r + b / 2 % 2];
        }
    });
}

uint64_t turn8(uint64_t x) {
    uint64_t t = (x ^ x >> 7) & 0x00aa00aa00aa00aa;
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & 0x0000cccc0000cccc;
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & 0x00000000f0f0f0f0;
    return x ^ t ^ t << 28;
}

template <class Label>
void relay(const Label* labels, const uint8_t* betas, int64_t rows, int64_t blocks, int m, int bits, uint8_t* out,
           int threads) {
    const int64_t groups = (blocks + BLOCKS - 1) / BLOCKS;
    const int planes = DIM * m + bits;
    Pool::run(threads, (rows + ROWS - 1) / ROWS, [&](int64_t panel) {
        uint8_t* to = out + panel * groups * planes * PLANE;
        for (int64_t g = 0; g < groups; g++, to += planes * PLANE) {
            Label label[BLOCKS * ROWS] = {};  // in the order of the planes' bits
            uint8_t beta[BLOCKS * ROWS] = {};
            const int64_t wide = std::min<int64_t>(BLOCKS, blocks - g * BLOCKS);
            for (int64_t r = 0; r < std::min<int64_t>(ROWS, rows - panel * ROWS); r++)
                for (int64_t b = 0; b < wide; b++) {
                    const int t = place(static_cast<int>(b / 4), static_cast<int>(4 * r + b % 4));
                    const int64_t from = (panel * ROWS + r) * blocks + g * BLOCKS + b;
                    label[t] = labels[from];
                    beta[t] = betas[from];
                }
            for (int s = 0; s < PLANE; s++)
                for (int k = 0; k <= m; k++) {
                    uint64_t bytes = 0;
                    for (int e = 0; e < 8; e++)
                        bytes |= static_cast<uint64_t>(k < m ? static_cast<uint8_t>(label[8 * s + e] >> 8 * k)
                                                             : beta[8 * s + e])
                                 << 8 * e;
                    bytes = turn8(bytes);
                    for (int b = 0; b < (k < m ? 8 : bits); b++)
                        to[(8 * k + b) * PLANE + s] = static_cast<uint8_t>(bytes >> 8 * b);
                }
        }
    });
}

// Calls with m as a constant; 1 where there is no such m. A library for one rate only is built in a fraction of the time.
template <class F>
int with_m(int m, const F& call) {
    int known = 1;
    each<6>([&](auto k) {
#ifdef GOSSET_ONLY
        if constexpr (k + 1 != GOSSET_ONLY) return;
        else
#endif
        if (m == k + 1) {
            call(std::integral_constant<int, k + 1>());
            known = 0;
        }
    });
    return known;
}

Betas as_betas(int bits, const uint8_t* values) {
    Betas betas{bits, {}};
    std::copy(values, values + 8, betas.value);
    return betas;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int gosset_relay(const void* labels, int size, const uint8_t* betas,
                                                        int64_t rows, int64_t blocks, int m, int bits, uint8_t* out,
                                                        int threads) {
    switch (size) {
        case 1: relay(static_cast<const uint8_t*>(labels), betas, rows, blocks, m, bits, out, threads); return 0;
        case 2: relay(static_cast<const uint16_t*>(labels), betas, rows, blocks, m, bits, out, threads); return 0;
        case 4: relay(static_cast<const uint32_t*>(labels), betas, rows, blocks, m, bits, out, threads); return 0;
        case 8: relay(static_cast<const uint64_t*>(labels), betas, rows, blocks, m, bits, out, threads); return 0;
        default: return 1;
    }
}

__attribute__((visibility("default"))) int gosset_integers(const uint8_t* planes, int64_t rows, int64_t blocks, int m,
                                                           int bits, const uint8_t* betas, int16_t* out, int threads) {
    const int64_t groups = (blocks + BLOCKS - 1) / BLOCKS;
    return with_m(m, [&](auto n) {
        integers<decltype(n)::value>(planes, rows, groups, blocks, as_betas(bits, betas), out, threads);
    });
}

__attribute__((visibility("default"))) int gosset_product(const uint8_t* planes, int64_t rows, int64_t blocks, int m,
                                                          int bits, const uint8_t* betas, const int8_t* x8,
                                                          const int16_t* x16, int64_t x_rows, int64_t columns,
                                                          const float* x_scales, const float* scales, int32_t* acc,
                                                          float* result, int threads) {
    const Product p{planes, rows, (blocks + BLOCKS - 1) / BLOCKS, m, as_betas(bits, betas), x8, x16, x_rows, columns,
                    x_scales, scales, acc, result, threads};
    return with_m(m, [&](auto n) { multiply<decltype(n)::value>(p); });
}

// The sum of so many words, which is only there to read them: what a kernel could reach that did no more.
__attribute__((visibility("default"))) uint64_t gosset_read(const uint64_t* from, int64_t count, int threads) {
    constexpr int64_t PIECE = 1 << 16, LINE = 8, AHEAD = 128 * LINE;
    std::atomic<uint64_t> total{0};
    Pool::run(threads, count / PIECE, [&](int64_t task) {
        const uint64_t* at = from + task * PIECE;
        uint64_t sum[LINE] = {};
        for (int64_t n = 0; n < PIECE; n += LINE, at += LINE) {
            __builtin_prefetch(at + AHEAD);
            for (int64_t k = 0; k < LINE; k++) sum[k] += at[k];
        }
        for (uint64_t each : sum) total += each;
    });
    return total;
}

#if GOSSET_AVX512

// Nanoseconds of so many VPDPBUSD in registers: what `benchmarks/cpu_kernels.py` calls the peak.
__attribute__((visibility("default"))) double gosset_peak(int64_t count) {
    V sum[16], one = _mm512_set1_epi8(1);
    each<16>([&](auto k) INLINE { sum[k] = _mm512_setzero_si512(); });
    const auto start = std::chrono::steady_clock::now();
    for (int64_t n = 0; n < count; n += 16)
        each<16>([&](auto k) INLINE {
            sum[k] = _mm512_dpbusd_epi32(sum[k], one, one);
            asm volatile("" : "+v"(sum[k]));
        });
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

#endif

}
