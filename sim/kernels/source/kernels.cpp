// Products of packed matrices, for one set of instructions. sim/kernels/library.py compiles this file and calls it.
#include <chrono>

#include "bytes.h"
#include "tiles.h"

using namespace gosset;

namespace {

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

template <int M, int B>
void multiply_bytes(const Product& p) {
    if (p.x_rows == 1) return multiply_one<M, B>(p);
#if GOSSET_AMX
    if (p.x_rows >= FEW) return multiply_tiles<M, B>(p);
#endif
    multiply_dense<M, B>(p);
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

#if GOSSET_AMX

// Nanoseconds of so many TDPBSUD on tiles: what `benchmarks/cpu_kernels.py` calls the peak.
__attribute__((visibility("default"))) double gosset_peak(int64_t count) {
    begin_tiles();
    _tile_zero(6);
    _tile_zero(7);
    const auto start = std::chrono::steady_clock::now();
    for (int64_t n = 0; n < count; n += 4) {
        _tile_dpbsud(0, 6, 7);
        _tile_dpbsud(1, 6, 7);
        _tile_dpbsud(2, 6, 7);
        _tile_dpbsud(3, 6, 7);
    }
    const double took = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    _tile_release();
    return took;
}

#elif GOSSET_AVX512

// The same of VPDPBUSD in registers.
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
