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
        alignas(64) uint8_t room[ROOM];
        int32_t* acc = p.acc + panel * ROWS;
        for (int64_t r = 0; r < p.x_rows; r++) std::fill_n(acc + r * p.pitch(), ROWS, 0);
        for (int64_t g = 0; g < p.groups; g += SLAB) {
            int64_t count = std::min(SLAB, p.groups - g);
            for (int64_t k = 0; k < count; k++)
                expand_words<M>(p.at<M>(panel, g + k, room), p.betas, words + k * WORDS);
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
#endif
#if GOSSET_AVX512 || GOSSET_AVX2
    if (p.x8 && p.x_rows == 1) return multiply_blocks<M>(p);
#endif
    multiply_words<M>(p);
}

template <int M>
void integers(const Product& p, int64_t blocks, int16_t* out) {
    Pool::run(p.threads, p.panels(), [&](int64_t panel) {
        alignas(64) int16_t words[WORDS];
        alignas(64) uint8_t room[ROOM];
        for (int64_t g = 0; g < p.groups; g++) {
            expand_words<M>(p.at<M>(panel, g, room), p.betas, words);
            for (int64_t r = 0; r < std::min<int64_t>(ROWS, p.rows - panel * ROWS); r++)
                for (int64_t b = 0; b < std::min<int64_t>(BLOCKS, blocks - g * BLOCKS); b++)
                    for (int i = 0; i < DIM; i++)
                        out[((panel * ROWS + r) * blocks + g * BLOCKS + b) * DIM + i] =
                            words[((i * 8 + b / 4) * 2 + b % 2) * 32 + 2 * r + b / 2 % 2];
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

}  // namespace

extern "C" {

// A packed matrix: the planes of its groups, or where they are null its container.
struct Matrix {
    const uint8_t *planes, *labels, *indices;  // as `Source` has the latter two
    int64_t rows, blocks;
    int32_t size, packed, m, bits;
    uint8_t betas[8];

    Source source() const { return {labels, size, indices, packed != 0, rows, blocks}; }

    Product product(int threads) const {
        Product p{};
        p.planes = planes, p.source = source(), p.rows = rows, p.groups = (blocks + BLOCKS - 1) / BLOCKS, p.m = m;
        p.betas.bits = bits, p.threads = threads;
        std::copy(betas, betas + 8, p.betas.value);
        return p;
    }
};

__attribute__((visibility("default"))) int gosset_relay(const Matrix* matrix, uint8_t* out, int threads) {
    const Product p = matrix->product(threads);
    return with_m(p.m, [&](auto n) {
        Pool::run(threads, p.panels(), [&](int64_t panel) {
            for (int64_t g = 0; g < p.groups; g++)
                relay<decltype(n)::value>(p.source, p.betas.bits, panel, g, out + (panel * p.groups + g) * p.group_bytes());
        });
    });
}

__attribute__((visibility("default"))) int gosset_integers(const Matrix* matrix, int16_t* out, int threads) {
    const Product p = matrix->product(threads);
    return with_m(p.m, [&](auto n) { integers<decltype(n)::value>(p, matrix->blocks, out); });
}

__attribute__((visibility("default"))) int gosset_product(const Matrix* matrix, const int8_t* x8, const int16_t* x16,
                                                          int64_t x_rows, int64_t columns, const float* x_scales,
                                                          const float* scales, int32_t* acc, float* result,
                                                          int threads) {
    Product p = matrix->product(threads);
    p.x8 = x8, p.x16 = x16, p.x_rows = x_rows, p.columns = columns;
    p.x_scales = x_scales, p.scales = scales, p.acc = acc, p.result = result;
    return with_m(p.m, [&](auto n) { multiply<decltype(n)::value>(p); });
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
