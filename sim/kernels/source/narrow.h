// Products with few rows of activations, decoded as they are multiplied, tile by tile; behind `gpu.h`. Activations are laid
// out by tiles as well: [tile][eight rows][i / 2][row][t][16 bytes].

// Activations of a tile, `kept` rows of them. Thread t of four has blocks i and i + 1, i even, in 16 bytes. Rows that are not
// kept stand for any: their sums are never looked at.
struct Activations {
    static constexpr int ROW = ROWS > 8 ? WARP : WARP + 4;  // of 16 bytes; two rows begin at different banks

    const uint4* x;
    int kept;

    __device__ FORCEINLINE uint4 pair(int n, int i, int t) const {
        if constexpr (ROWS > 8) return x[(n / 8 * 8 + i / 2) * WARP + n % 8 * 4 + t];
        return x[(n < kept ? n : kept - 1) * ROW + i / 2 * 4 + t];
    }
};

// Sums of products of a warp: rows g and g + 8 of weights by ROWS of activations.
#if FITS
#if !GOSSET_HOST
// c += a·b on tensor cores, 16 rows by 32 bytes without sign times 32 bytes, with one, by 8 rows of activations.
__device__ FORCEINLINE void multiply(const u32 (&a)[4], u32 low, u32 high, int (&c)[4]) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(low), "r"(high));
}
#endif

// β·y fits a byte: β·y + 128, without sign, times activations, with one, on tensor cores. 128·Σx is taken off first.
struct Sums {
#if GOSSET_HOST
    int sum[ROWS][2];
#else
    int sum[ROWS / 8][4];  // of rows 2t and 2t + 1 of eight, with row g, then g + 8
#endif

    // `x` are sums of m rows of activations; of the warps that share a row of w, one takes them.
    __device__ FORCEINLINE Sums(const int* x, int m, bool takes, int thread) {
#if GOSSET_HOST
        for (int n = 0; n < ROWS; n++) sum[n][0] = sum[n][1] = takes && thread % 4 == 0 && n < m ? -128 * x[n] : 0;
#else
#pragma unroll
        for (int k = 0; k < ROWS / 8; k++)
#pragma unroll
            for (int c = 0; c < 2; c++) {
                const int n = 8 * k + thread % 4 * 2 + c;
                sum[k][c] = sum[k][2 + c] = takes && n < m ? -128 * x[n] : 0;
            }
#endif
    }

    __device__ FORCEINLINE void add(const Unit& unit, const u32 (&word)[2][2][8], int j, const Activations& x, int thread) {
#pragma unroll
        for (int e = 0; e < 8; e += 2) {
            u32 weights[2][4];  // of blocks i = 8j + e and the next: half, row
#pragma unroll
            for (int k = 0; k < 2; k++)
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const u32 beta = unit.beta_of(j, r, e + k), more = 128 * ONES - Q * ONES * beta;
                    weights[k][r] = word[0][r][e + k] * beta + more;
                    weights[k][2 + r] = word[1][r][e + k] * beta + more;
                }
#if GOSSET_HOST
            for (int n = 0; n < ROWS; n++) {
                const uint4 two = x.pair(n, 8 * j + e, thread % 4);
                const u32 bytes[4] = {two.x, two.y, two.z, two.w};
                for (int k = 0; k < 8; k++)
                    sum[n][k % 2] = dot4(weights[k / 4][k % 4], bytes[k / 2], sum[n][k % 2]);
            }
#else
#pragma unroll
            for (int n = 0; n < ROWS / 8; n++) {
                const uint4 two = x.pair(8 * n + thread / 4, 8 * j + e, thread % 4);
                multiply(weights[0], two.x, two.y, sum[n]), multiply(weights[1], two.z, two.w, sum[n]);
            }
#endif
        }
    }

    // Calls with every row of activations, row of the tile and sum of this thread.
    template <class F>
    __device__ FORCEINLINE void each(int thread, F call) const {
#if GOSSET_HOST
        for (int n = 0; n < ROWS; n++)
            for (int r = 0; r < 2; r++) call(n, thread / 4 + 8 * r, sum[n][r]);
#else
#pragma unroll
        for (int k = 0; k < ROWS / 8; k++)
#pragma unroll
            for (int c = 0; c < 4; c++) call(8 * k + thread % 4 * 2 + c % 2, thread / 4 + c / 2 * 8, sum[k][c]);
#endif
    }
};
#else
// Every format: dot products of blocks, times β.
struct Sums {
    int sum[ROWS][2];

    __device__ FORCEINLINE Sums(const int*, int, bool, int) : sum{} {}

    __device__ FORCEINLINE void add(const Unit& unit, const u32 (&word)[2][2][8], int j, const Activations& x, int thread) {
#pragma unroll
        for (int e = 0; e < 8; e++)
#pragma unroll
            for (int n = 0; n < ROWS; n++) {
                const uint4 two = x.pair(n, 8 * j + e, thread % 4);
                const u32 low = e % 2 ? two.z : two.x, high = e % 2 ? two.w : two.y;
                const int more = -dot4(Q * ONES, low, dot4(Q * ONES, high, 0));
#pragma unroll
                for (int r = 0; r < 2; r++)
                    sum[n][r] += dot4(word[0][r][e], low, dot4(word[1][r][e], high, more)) *
                                 static_cast<int>(unit.beta_of(j, r, e));
            }
    }

    template <class F>
    __device__ FORCEINLINE void each(int thread, F call) const {
#pragma unroll
        for (int n = 0; n < ROWS; n++)
#pragma unroll
            for (int r = 0; r < 2; r++) call(n, thread / 4 + 8 * r, sum[n][r]);
    }
};
#endif

// acc[row of x][row of w] = the product, or, where blocks share the tiles of a row, is increased by a part of it. Of a
// block's WARPS, PANELS have 16 rows of w each and the same activations; these share them with as many others as there are.
// blockIdx.x counts PANELS · 16 rows of w, .y ROWS rows of activations, .z those that share tiles.
extern "C" __global__ void __launch_bounds__(WARPS * WARP, RESIDENT)
    gosset_product(const uint4* labels, const u32* betas, const uint4* values, const int* sums, int* acc, int m, int rows,
                   int tiles) {
    constexpr int SHARES = WARPS / PANELS, EIGHTS = (ROWS + 7) / 8;
    const int thread = threadIdx.x, panel = threadIdx.y % PANELS, share = threadIdx.y / PANELS, first = blockIdx.y * ROWS;
    const int count = m - first < ROWS ? m - first : ROWS, step = SHARES * gridDim.z;
    const int row = (blockIdx.x * PANELS + panel) * TILE;
    const long long start = static_cast<long long>(row / TILE) * tiles;
    const bool there = row < rows;  // of the last block of rows, not all are
    Sums sum(sums + first, count, share == 0 && blockIdx.z == 0, thread);
    const int begin = blockIdx.z * SHARES;
#if GOSSET_HOST
    for (int tile = begin + share; there && tile < tiles; tile += step) {
        const long long at = start + tile;
        const Unit unit(Packed(labels + at * (LABEL / 4 * WARP), betas + at * (BETA_BITS * WARP), thread));
        const uint4* from = values + (static_cast<long long>(tile) * ((m + 7) / 8) + first / 8) * (8 * WARP);
        std::vector<uint4> kept(ROWS * Activations::ROW);
        if (ROWS > 8)
            std::memcpy(kept.data(), from, (count + 7) / 8 * 8 * WARP * sizeof(uint4));
        else
            for (int k = 0; k < count * WARP; k++)
                kept[k / WARP * Activations::ROW + k % WARP] = from[k % WARP / 4 * WARP + k / WARP * 4 + k % 4];
        for (int j = 0; j < 2; j++) {
            u32 word[2][2][8];
            unit.bytes_of(j, word);
            sum.add(unit, word, j, {kept.data(), count}, thread);
        }
    }
    sum.each(thread, [&](int n, int at, int value) {
        if (n < count && row + at < rows) acc[static_cast<long long>(first + n) * rows + row + at] += value;
    });
#else
    // Copied while the tile before is multiplied: units of each warp, activations of each share.
    constexpr int UNIT = (LABEL + BETA_BITS) * 8;  // of 16 bytes
    extern __shared__ uint4 shared[];
    const int kept = ROWS > 8 ? ROWS : m < ROWS ? m : ROWS, stage = WARPS * UNIT + SHARES * kept * Activations::ROW;
    const long long eights = static_cast<long long>((m + 7) / 8) * (8 * WARP);
    const uint4* unit_from = labels + (start + begin + share) * (LABEL * 8) + thread;
    const uint4* beta_from = reinterpret_cast<const uint4*>(betas) + (start + begin + share) * (BETA_BITS * 8) + thread;
    const uint4* x_from = values + (begin + share) * eights + first / 8 * (8 * WARP) + panel * WARP + thread;
    uint4 *unit_to = shared + threadIdx.y * UNIT, *x_to = shared + WARPS * UNIT + share * kept * Activations::ROW;
    const auto copy = [&](int tile, int turn) {
        if (tile < tiles) {
            uint4 *units = unit_to + turn * stage + thread, *x = x_to + turn * stage;
            if (there) {
#pragma unroll
                for (int k = 0; k < LABEL / 4; k++) copy_16(units + k * WARP, unit_from + k * WARP, true);
                if (thread < BETA_BITS * 8) copy_16(units + LABEL * 8, beta_from, true);
            }
#pragma unroll
            for (int k = 0; k < EIGHTS * 8; k += PANELS) {
                const int at = k + panel, n = at / 8 * 8 + thread / 4;
                if constexpr (ROWS > 8)
                    copy_16(x + at * WARP + thread, x_from + k * WARP, n < count);
                else if (n < count)
                    copy_16(x + n * Activations::ROW + at * 4 + thread % 4, x_from + k * WARP, true);
            }
        }
        unit_from += step * (LABEL * 8), beta_from += step * (BETA_BITS * 8), x_from += step * eights;
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    copy(begin + share, 0);
    for (int base = begin, turn = 0; base < tiles; base += step, turn ^= 1) {
        asm volatile("cp.async.wait_group 0;" ::: "memory");
        if (PANELS > 1)
            __syncthreads();
        else
            __syncwarp();
        copy(base + step + share, turn ^ 1);
        if (base + share < tiles && there) {
            const uint4* mine = unit_to + turn * stage;
            const Unit unit(Packed(mine, reinterpret_cast<const u32*>(mine + LABEL * 8), thread));
            const Activations x{x_to + turn * stage, kept};
#pragma unroll
            for (int j = 0; j < 2; j++) {
                u32 word[2][2][8];
                unit.bytes_of(j, word);
                sum.add(unit, word, j, x, thread);
            }
        }
    }
    const auto store = [&](int n, int at, int value) {
        if (n < count && at < rows) {
            int* to = acc + static_cast<long long>(first + n) * rows + at;
            if (gridDim.z > 1)
                atomicAdd(to, value);
            else
                *to = value;
        }
    };
    if constexpr (SHARES == 1 && FITS) {
        sum.each(thread, [&](int n, int at, int value) { store(n, row + at, value); });
    } else {
        int* total = reinterpret_cast<int*>(shared);
        constexpr int SUMS = PANELS * ROWS * TILE;
        const int me = threadIdx.y * WARP + thread;
        __syncthreads();
        for (int k = me; k < SUMS; k += WARPS * WARP) total[k] = 0;
        __syncthreads();
        sum.each(thread, [&](int n, int at, int value) {
            if (n < count) atomicAdd(total + n * (PANELS * TILE) + panel * TILE + at, value);
        });
        __syncthreads();
        for (int k = me; k < SUMS; k += WARPS * WARP)
            store(k / (PANELS * TILE), blockIdx.x * PANELS * TILE + k % (PANELS * TILE), total[k]);
    }
#endif
}

#if GOSSET_HOST
extern "C" __attribute__((visibility("default"))) void gosset_host_product(const void* labels, const void* betas,
                                                                           const void* x, const void* sums, int* acc, int m,
                                                                           int rows, int tiles, const unsigned* grid) {
    each_thread({grid[0], grid[1], grid[2]}, WARPS, [&] {
        gosset_product(static_cast<const uint4*>(labels), static_cast<const u32*>(betas), static_cast<const uint4*>(x),
                       static_cast<const int*>(sums), acc, m, rows, tiles);
    });
}
#endif
