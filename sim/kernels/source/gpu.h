// Products of packed matrices on GPUs. `sim/kernels/gpu.py` writes decoder, format and rows in front of it, and has it
// compiled by NVRTC; or by the machine's own compiler, GOSSET_HOST, where threads run one after the other and every
// instruction is what it stands for: the same source, so that it can be tested without a GPU.
//
// A tile is 16 rows by 64 blocks of a row, and belongs to a warp. Its thread 4g + t holds a unit of it, 32 blocks, one bit
// of each in a 32-bit word: rows g and g + 8, and for i = 0 ... 15 block 8 * (i / 2) + 2t + i % 2 of both. Block i of row
// g + 8r is bit 16r + i. These are the places that the operands of the tensor cores' smallest products have, m16n8k32 of
// bytes. Layout: [16 rows][64 blocks][four planes][thread][plane] for labels, [16 rows][64 blocks][plane][thread] for the
// indices of β. Activations are laid out by tiles as well: [tile][eight rows][i / 2][row][t][16 bytes].

#if GOSSET_HOST
#include <cstdint>
#include <cstring>
#include <vector>
#define __global__
#define __device__
#define __launch_bounds__(threads, blocks)
#define FORCEINLINE inline __attribute__((always_inline))
struct Index { unsigned x, y, z; };
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
constexpr int WARP = 32, TILE = 16;  // threads, and rows of a tile
constexpr u32 ONES = 0x01010101, Q = 1u << M;

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

#if !GOSSET_HOST
// Starts to copy 16 bytes to shared memory, or zeros.
__device__ FORCEINLINE void copy_16(uint4* to, const uint4* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<u32>(__cvta_generic_to_shared(to))),
                 "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}
#endif

// c + Σ of four bytes of a, without sign, times four of b, with one.
__device__ FORCEINLINE int dot4(u32 a, u32 b, int c) {
#if GOSSET_HOST
    for (int k = 0; k < 4; k++) c += static_cast<uint8_t>(a >> 8 * k) * static_cast<int8_t>(b >> 8 * k);
    return c;
#else
    int result;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
#endif
}

#include "decoder.h"

// Fields of BY bits of a and b, taken in turns: those at even places, and those at odd ones.
template <int BY>
__device__ FORCEINLINE void merge(u32 a, u32 b, u32& even, u32& odd) {
    constexpr u32 mask = BY == 1 ? 0x55555555 : BY == 2 ? 0x33333333 : 0x0f0f0f0f;
    // One operation each: the compiler alone makes two.
    even = logic<0xca>(mask, a, b << BY), odd = logic<0xca>(mask, a >> BY, b);
}

// Up to four planes to four words of nibbles: bit k of nibble c of word e is bit 4c + e of plane k.
template <int COUNT>
__device__ FORCEINLINE void nibbles(const u32* plane, u32 (&word)[4]) {
    if constexpr (COUNT == 1) {
#pragma unroll
        for (int e = 0; e < 4; e++) word[e] = logic<0xc0>(plane[0] >> e, 0x11111111, 0);
    } else if constexpr (COUNT == 2) {
        u32 two[2];
        merge<1>(plane[0], plane[1], two[0], two[1]);
#pragma unroll
        for (int e = 0; e < 4; e++) word[e] = logic<0xc0>(two[e % 2] >> (e & 2), 0x33333333, 0);
    } else {
        u32 two[2], more[2];
        merge<1>(plane[0], plane[1], two[0], two[1]);
        if constexpr (COUNT == 4) {
            merge<1>(plane[2], plane[3], more[0], more[1]);
        } else {
            more[0] = plane[2] & 0x55555555, more[1] = plane[2] >> 1 & 0x55555555;
        }
#pragma unroll
        for (int e = 0; e < 2; e++) merge<2>(two[e], more[e], word[e], word[e + 2]);
    }
}

// COUNT planes to eight words of bytes: bit k of byte c of word e is bit 8c + e of plane k.
template <int COUNT>
__device__ FORCEINLINE void spread(const u32* plane, u32 (&word)[8]) {
    u32 low[4], high[4];
    nibbles<(COUNT < 4 ? COUNT : 4)>(plane, low);
    if constexpr (COUNT > 4) nibbles<COUNT - 4>(plane + 4, high);
#pragma unroll
    for (int e = 0; e < 4; e++) {
        if constexpr (COUNT > 4) {
            merge<4>(low[e], high[e], word[e], word[e + 4]);
        } else {
            word[e] = low[e] & 0x0f0f0f0f, word[e + 4] = low[e] >> 4 & 0x0f0f0f0f;
        }
    }
}

// A unit as it lies in memory: planes.
struct Packed {
    u32 label[LABEL], index[BETA_BITS + 1];

    __device__ FORCEINLINE Packed(const uint4* labels, const u32* betas, int thread) {
#pragma unroll
        for (int k = 0; k < LABEL / 4; k++) {
            const uint4 some = labels[k * WARP + thread];
            label[4 * k] = some.x, label[4 * k + 1] = some.y, label[4 * k + 2] = some.z, label[4 * k + 3] = some.w;
        }
#pragma unroll
        for (int k = 0; k < BETA_BITS; k++) index[k] = betas[k * WARP + thread];
    }
};

// What a unit holds, decoded: planes of y + q by coordinate, and β as a byte of each block.
struct Unit {
    u32 plane[8][M + 1];  // [coordinate][plane]
    u32 beta[8];          // byte b of word e: block 8b + e

    __device__ FORCEINLINE explicit Unit(const Packed& packed) {
        const u32(&label)[LABEL] = packed.label;
        u32 computed[12], value[VALUE_BITS];
        decode(label, computed);
        values(packed.index, value);
        spread<VALUE_BITS>(value, beta);
        constexpr int known[8] = {0, 1, 2, ~0, 3, ~1, ~2, ~3};
#pragma unroll
        for (int i = 0; i < 8; i++) {
            plane[i][0] = known[i] < 0 ? computed[~known[i]] : label[known[i]];
#pragma unroll
            for (int k = 1; k < M; k++) plane[i][k] = label[8 * k - 4 + i];
            plane[i][M] = computed[4 + i];
        }
    }

    // y + q of blocks i = 8j + e of both rows, as bytes: word[h][r][e] has coordinates 4h to 4h + 3.
    __device__ FORCEINLINE void bytes_of(int j, u32 (&word)[2][2][8]) const {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            u32 turned[2][M + 1];  // byte c of [r][plane]: bits of coordinate 4h + c
            const u32 which = j ? 0x7351 : 0x6240;  // bytes j and j + 2 of both
#pragma unroll
            for (int k = 0; k <= M; k++) {
                const u32 low = bytes(plane[4 * h][k], plane[4 * h + 1][k], which);
                const u32 high = bytes(plane[4 * h + 2][k], plane[4 * h + 3][k], which);
                turned[0][k] = bytes(low, high, 0x5410), turned[1][k] = bytes(low, high, 0x7632);
            }
            spread<M + 1>(turned[0], word[h][0]), spread<M + 1>(turned[1], word[h][1]);
        }
    }

    // β of block i = 8j + e of row g + 8r.
    __device__ FORCEINLINE u32 beta_of(int j, int r, int e) const { return bytes(beta[e], 0, 0x4440 | (2 * r + j)); }
};

#if FITS
// β·y as int8: [row][column], whole tiles, for other kernels on tensor cores.
extern "C" __global__ void gosset_expand(const uint4* labels, const u32* betas, uint4* out, int tiles) {
    const int thread = threadIdx.x, g = thread / 4, t = thread % 4;
    for (int tile = blockIdx.y * blockDim.y + threadIdx.y; tile < tiles; tile += gridDim.y * blockDim.y) {
        const long long at = static_cast<long long>(blockIdx.x) * tiles + tile;
        const Unit unit(Packed(labels + at * (LABEL / 4 * WARP), betas + at * (BETA_BITS * WARP), thread));
#pragma unroll
        for (int j = 0; j < 2; j++) {
            u32 word[2][2][8];
            unit.bytes_of(j, word);
#pragma unroll
            for (int r = 0; r < 2; r++)
#pragma unroll
                for (int e = 0; e < 8; e += 2) {
                    u32 some[4];
#pragma unroll
                    for (int k = 0; k < 4; k++) {
                        const u32 beta = unit.beta_of(j, r, e + k / 2), more = 128 * ONES - Q * ONES * beta;
                        some[k] = (word[k % 2][r][e + k / 2] * beta + more) ^ 128 * ONES;
                    }
                    const long long row = blockIdx.x * TILE + g + 8 * r;
                    out[(row * tiles + tile) * WARP + (8 * j + e) * 2 + t] = {some[0], some[1], some[2], some[3]};
                }
        }
    }
}
#endif

#if GOSSET_HOST
// All threads of a grid, one after the other.
template <class F>
void each_thread(Index grid, unsigned warps, F call) {
    gridDim = grid;
    blockDim = {WARP, warps, 1};
    for (unsigned block = 0; block < grid.x * grid.y * grid.z; block++)
        for (unsigned thread = 0; thread < WARP * warps; thread++) {
            blockIdx = {block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y};
            threadIdx = {thread % WARP, thread / WARP, 0};
            call();
        }
}

#if FITS
extern "C" __attribute__((visibility("default"))) void gosset_host_expand(const void* labels, const void* betas, void* out,
                                                                          int tiles, const unsigned* grid) {
    each_thread({grid[0], grid[1], grid[2]}, WARPS, [&] {
        gosset_expand(static_cast<const uint4*>(labels), static_cast<const u32*>(betas), static_cast<uint4*>(out), tiles);
    });
}
#endif
#endif
