// Products of packed matrices on GPUs. `sim/kernels/gpu.py` writes decoder, format and rows in front of it, and has it
// compiled by NVRTC; or by the machine's own compiler, GOSSET_HOST, where threads run one after the other and every
// instruction is what it stands for: the same source, so that it can be tested without a GPU.
//
// A unit is 32 blocks, one bit of each in a 32-bit word: 16 rows by two blocks of a row. Bit 8b + e belongs to row
// 8(b / 2) + e and block b % 2. A thread takes a unit at a time; the 32 threads of a warp take those of 64 blocks next to
// each other. Layout: [16 rows][64 blocks][four planes][thread][plane] for labels, [16 rows][64 blocks][plane][thread]
// for the indices of β.

#if GOSSET_HOST
#include <cstdint>
#include <vector>
#define __global__
#define __device__
#define FORCEINLINE inline __attribute__((always_inline))
struct Index { unsigned x, y; };
static thread_local Index blockIdx, blockDim, threadIdx, gridDim;
struct uint4 { unsigned x, y, z, w; };
struct uint2 { unsigned x, y; };
#else
typedef unsigned char uint8_t;
typedef signed char int8_t;
#define FORCEINLINE __forceinline__
#endif

typedef unsigned u32;

constexpr int LABEL = 8 * M;       // planes of the label
constexpr int WARP = 32, TILE = 16;  // threads, and rows of a unit

// The function of three inputs with a truth table, as `sim/kernels/logic.py` counts its bits.
template <int TABLE>
__device__ FORCEINLINE u32 logic(u32 a, u32 b, u32 c) {
#if GOSSET_HOST
    u32 result = 0;
    for (int k = 0; k < 8; k++)
        if (TABLE >> k & 1) result |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
    return result;
#else
    u32 result;
    asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(result) : "r"(a), "r"(b), "r"(c), "n"(TABLE));
    return result;
#endif
}

// Four bytes of the eight of a and b, each by a nibble of `which`: 0 to 3 are a's.
__device__ FORCEINLINE u32 bytes(u32 a, u32 b, u32 which) {
#if GOSSET_HOST
    uint64_t both = static_cast<uint64_t>(b) << 32 | a;
    u32 result = 0;
    for (int k = 0; k < 4; k++) result |= static_cast<u32>(both >> (which >> 4 * k & 7) * 8 & 0xff) << 8 * k;
    return result;
#else
    return __byte_perm(a, b, which);
#endif
}

// c + Σ of four signed bytes of a times four of b.
__device__ FORCEINLINE int dot4(u32 a, u32 b, int c) {
#if GOSSET_HOST
    for (int k = 0; k < 4; k++) c += static_cast<int8_t>(a >> 8 * k) * static_cast<int8_t>(b >> 8 * k);
    return c;
#else
    return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
#endif
}

// c + Σ of two signed halves of a times the low (or, if HIGH, the high) two bytes of b.
template <bool HIGH>
__device__ FORCEINLINE int dot2(u32 a, u32 b, int c) {
#if GOSSET_HOST
    for (int k = 0; k < 2; k++)
        c += static_cast<int16_t>(a >> 16 * k) * static_cast<int8_t>(b >> 8 * (k + 2 * HIGH));
    return c;
#else
    return HIGH ? __dp2a_hi(static_cast<int>(a), static_cast<int>(b), c)
                : __dp2a_lo(static_cast<int>(a), static_cast<int>(b), c);
#endif
}

// Adds a value of each thread of a warp to what they all point to.
__device__ FORCEINLINE void gather(int* to, int value) {
#if GOSSET_HOST
    *to += value;
#else
    value = __reduce_add_sync(0xffffffffu, value);
    if (threadIdx.x % WARP == 0) atomicAdd(to, value);
#endif
}

#include "decoder.h"

// Fields of BY bits of a and b, taken in turns: those at even places, and those at odd ones.
template <int BY>
__device__ FORCEINLINE void merge(u32 a, u32 b, u32& even, u32& odd) {
    constexpr u32 mask = BY == 1 ? 0x55555555 : BY == 2 ? 0x33333333 : 0x0f0f0f0f;
    even = (a & mask) | ((b << BY) & ~mask);
    odd = ((a >> BY) & mask) | (b & ~mask);
}

// Eight planes to eight words of bytes: bit k of byte c of word e is bit 8c + e of plane k.
__device__ FORCEINLINE void spread(const u32 (&plane)[8], u32 (&word)[8]) {
    u32 two[4][2], four[2][4];
#pragma unroll
    for (int k = 0; k < 4; k++) merge<1>(plane[2 * k], plane[2 * k + 1], two[k][0], two[k][1]);
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int e = 0; e < 2; e++) merge<2>(two[2 * k][e], two[2 * k + 1][e], four[k][e], four[k][e + 2]);
#pragma unroll
    for (int e = 0; e < 4; e++) merge<4>(four[0][e], four[1][e], word[e], word[e + 4]);
}

// What a unit holds, decoded: planes of y by coordinate, and β as a byte of each block.
struct Unit {
    u32 plane[8][M + 1];  // [coordinate][plane]
    u32 beta[8];          // byte b of word e: block 8b + e

    __device__ FORCEINLINE Unit(const uint4* labels, const u32* betas, int thread) {
        u32 label[LABEL], index[BETA_BITS + 1], computed[12], value[8];
#pragma unroll
        for (int k = 0; k < LABEL / 4; k++) {
            uint4 some = labels[k * WARP + thread];
            label[4 * k] = some.x, label[4 * k + 1] = some.y, label[4 * k + 2] = some.z, label[4 * k + 3] = some.w;
        }
#pragma unroll
        for (int k = 0; k < BETA_BITS; k++) index[k] = betas[k * WARP + thread];
        decode(label, computed);
        values(index, value);
        spread(value, beta);
        constexpr int known[8] = {0, 1, 2, ~0, 3, ~1, ~2, ~3};
#pragma unroll
        for (int i = 0; i < 8; i++) {
            plane[i][0] = known[i] < 0 ? computed[~known[i]] : label[known[i]];
#pragma unroll
            for (int k = 1; k < M; k++) plane[i][k] = label[8 * k - 4 + i];
            plane[i][M] = computed[4 + i];
        }
    }

    // Coordinates 4h to 4h + 3 of blocks 8b to 8b + 7 for one h, and all b, as bytes of words: word[b][e].
    __device__ FORCEINLINE void half(int h, u32 (&word)[4][8]) const {
        u32 turned[4][M + 1];  // byte c of [b][plane]: bits of coordinate 4h + c
#pragma unroll
        for (int k = 0; k <= M; k++) {
            u32 a = plane[4 * h][k], b = plane[4 * h + 1][k], c = plane[4 * h + 2][k], d = plane[4 * h + 3][k];
            u32 low0 = bytes(a, b, 0x5140), high0 = bytes(a, b, 0x7362);  // bytes 0 and 1, 2 and 3, of both
            u32 low1 = bytes(c, d, 0x5140), high1 = bytes(c, d, 0x7362);
            turned[0][k] = bytes(low0, low1, 0x5410), turned[1][k] = bytes(low0, low1, 0x7632);
            turned[2][k] = bytes(high0, high1, 0x5410), turned[3][k] = bytes(high0, high1, 0x7632);
        }
#pragma unroll
        for (int b = 0; b < 4; b++) {
            u32 all[8];
#pragma unroll
            for (int k = 0; k < 8; k++) all[k] = turned[b][k < M ? k : M];  // the sign, to the top
            spread(all, word[b]);
        }
    }
};

// acc[row of x][row of w] += the product; acc is zero before. Activations are int8, rows of so many columns, zero behind
// the last. A warp is one row of blockDim; blockIdx.x counts 16 rows, and blockIdx.y and warps share the blocks of a row.
extern "C" __global__ void gosset_product(const uint4* labels, const u32* betas, const uint4* x, int* acc, int rows,
                                          int tiles) {
    const int thread = threadIdx.x, panel = blockIdx.x, step = gridDim.y * blockDim.y;
    int sum[ROWS][TILE] = {};
    for (int tile = blockIdx.y * blockDim.y + threadIdx.y; tile < tiles; tile += step) {
        const long long at = static_cast<long long>(panel) * tiles + tile;
        const Unit unit(labels + at * (LABEL / 4 * WARP), betas + at * (BETA_BITS * WARP), thread);
        int dot[ROWS][32];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            u32 word[4][8];
            unit.half(h, word);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                const uint4 some = x[(static_cast<long long>(r) * tiles + tile) * WARP + thread];  // two blocks of x
                const u32 even = h ? some.y : some.x, odd = h ? some.w : some.z;
#pragma unroll
                for (int b = 0; b < 4; b++)
#pragma unroll
                    for (int e = 0; e < 8; e++)
                        dot[r][8 * b + e] = dot4(word[b][e], b % 2 ? odd : even, h ? dot[r][8 * b + e] : 0);
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
            for (int e = 0; e < 8; e++) {
                // A dot product of one block has 16 bits at most (docs/kernels.md).
                const u32 low = bytes(dot[r][e], dot[r][8 + e], 0x5410), high = bytes(dot[r][16 + e], dot[r][24 + e], 0x5410);
                sum[r][e] = dot2<false>(low, unit.beta[e], sum[r][e]);
                sum[r][8 + e] = dot2<true>(high, unit.beta[e], sum[r][8 + e]);
            }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int n = 0; n < TILE; n++)
            if (panel * TILE + n < rows) gather(acc + static_cast<long long>(r) * rows + panel * TILE + n, sum[r][n]);
}

// β·y as int8, for formats in which it fits: [row][column], whole units, for tensor cores.
extern "C" __global__ void gosset_expand(const uint4* labels, const u32* betas, uint2* out, int tiles) {
    const int thread = threadIdx.x, panel = blockIdx.x, step = gridDim.y * blockDim.y;
    constexpr u32 ones = 0x01010101, q = 1u << M;
    for (int tile = blockIdx.y * blockDim.y + threadIdx.y; tile < tiles; tile += step) {
        const long long at = static_cast<long long>(panel) * tiles + tile;
        const Unit unit(labels + at * (LABEL / 4 * WARP), betas + at * (BETA_BITS * WARP), thread);
        u32 low[4][8], high[4][8];
        unit.half(0, low);
        unit.half(1, high);
#pragma unroll
        for (int b = 0; b < 4; b++)
#pragma unroll
            for (int e = 0; e < 8; e++) {
                // y + q, times β, and 128 − β·q more: bytes from 0 to 255, which carry nothing.
                const u32 beta = unit.beta[e] >> 8 * b & 0xff, more = (128 - beta * q) * ones;
                uint2 some;
                some.x = (((low[b][e] & (2 * q - 1) * ones) ^ q * ones) * beta + more) ^ 0x80 * ones;
                some.y = (((high[b][e] & (2 * q - 1) * ones) ^ q * ones) * beta + more) ^ 0x80 * ones;
                const long long row = panel * TILE + 8 * (b / 2) + e;
                out[(row * tiles + tile) * (2 * WARP) + 2 * thread + b % 2] = some;
            }
    }
}

#if GOSSET_HOST
// All threads of a grid, one after the other.
template <class F>
void each_thread(int panels, int splits, int warps, F call) {
    gridDim = {static_cast<unsigned>(panels), static_cast<unsigned>(splits)};
    blockDim = {WARP, static_cast<unsigned>(warps)};
    for (int block = 0; block < panels * splits; block++)
        for (int thread = 0; thread < WARP * warps; thread++) {
            blockIdx = {static_cast<unsigned>(block % panels), static_cast<unsigned>(block / panels)};
            threadIdx = {static_cast<unsigned>(thread % WARP), static_cast<unsigned>(thread / WARP)};
            call();
        }
}

extern "C" __attribute__((visibility("default"))) void gosset_host_product(const void* labels, const void* betas,
                                                                           const void* x, int* acc, int rows, int tiles,
                                                                           int splits, int warps) {
    each_thread((rows + TILE - 1) / TILE, splits, warps, [&] {
        gosset_product(static_cast<const uint4*>(labels), static_cast<const u32*>(betas), static_cast<const uint4*>(x),
                       acc, rows, tiles);
    });
}

extern "C" __attribute__((visibility("default"))) void gosset_host_expand(const void* labels, const void* betas, void* out,
                                                                          int rows, int tiles, int splits, int warps) {
    each_thread((rows + TILE - 1) / TILE, splits, warps, [&] {
        gosset_expand(static_cast<const uint4*>(labels), static_cast<const u32*>(betas), static_cast<uint2*>(out), tiles);
    });
}
#endif
