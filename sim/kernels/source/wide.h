// Products with many rows of activations, on Hopper: a block of threads has eight panels, 128 rows of weights, by ROWS rows
// of activations. Each of two warpgroups decodes four panels, tile by tile, into the registers that wgmma takes its first
// operand from: a warp's unit lies as the 16 rows of a warpgroup's 64 do. While the tensor cores multiply what one has
// decoded, the other one decodes. One more warp copies ahead.
//
// Activations are laid out by steps of 32 columns: [ROWS rows][tile][step i][half][row][16 bytes], four coordinates of
// block i of each of four threads in 16 bytes; so eight rows of a half are a core matrix, and a chunk of four steps is copied
// at once. SPLIT blocks of a cluster share the tiles of a row and add up what they have by one another's shared memory.

constexpr int STEPS = 4, CHUNKS = 16 / STEPS;
constexpr int HALF = ROWS * 16, STEP = 2 * HALF, CHUNK = STEPS * STEP;  // bytes
constexpr int UNIT = (LABEL + BETA_BITS) * 4 * WARP;

// β·y + 128 of the 16 columns of row g and g + 8, of both halves, that this thread has in step 8j + e.
__device__ FORCEINLINE void weights_of(const Unit& unit, const u32 (&word)[2][2][8], int j, int e, u32 (&weights)[4]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const u32 beta = unit.beta_of(j, r, e), more = 128 * ONES - Q * ONES * beta;
        weights[r] = word[0][r][e] * beta + more, weights[2 + r] = word[1][r][e] * beta + more;
    }
}

#if !GOSSET_HOST
// One of the barriers in shared memory that copies and warps arrive at; phases are told by their parity.
struct Barrier {
    u32 at;

    __device__ FORCEINLINE void init(int count) const {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(count) : "memory");
    }
    __device__ FORCEINLINE void arrive() const {
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at) : "memory");
    }
    __device__ FORCEINLINE void expect(int bytes) const {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes) : "memory");
    }
    // Copies bytes, a multiple of 16.
    __device__ FORCEINLINE void copy(u32 to, const void* from, int bytes) const {
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                     "l"(from), "r"(bytes), "r"(at)
                     : "memory");
    }
    __device__ FORCEINLINE void wait(u32 parity) const {
        u32 done;
        do
            asm volatile(
                "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                : "=r"(done)
                : "r"(at), "r"(parity)
                : "memory");
        while (!done);
    }
};

__device__ FORCEINLINE void together() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Where the tensor cores find a step of activations.
__device__ FORCEINLINE unsigned long long described(u32 at) {
    return static_cast<unsigned long long>(at >> 4 & 0x3fff) | static_cast<unsigned long long>(HALF >> 4) << 16 |
           static_cast<unsigned long long>(128 >> 4) << 32;
}
#endif

// acc[row of x][row of w] = the product. blockIdx.x counts 128 rows of w, .y ROWS rows of activations, .z the SPLIT blocks.
#if !GOSSET_HOST
extern "C" __global__ void __cluster_dims__(1, 1, SPLIT) __launch_bounds__(WARPS * WARP, 1)
#else
void
#endif
    gosset_wide(const uint4* labels, const u32* betas, const uint8_t* values, const int* sums, int* acc, int m, int rows,
                int tiles) {
    const int thread = threadIdx.x, warp = threadIdx.y, first = blockIdx.y * ROWS;
    const int count = m - first < ROWS ? m - first : ROWS, begin = blockIdx.z;
    const int panel = blockIdx.x * WARPS + warp, row = panel * TILE;
    values += static_cast<long long>(blockIdx.y) * tiles * CHUNKS * CHUNK;
#if GOSSET_HOST
    if (row >= rows) return;
    int sum[ROWS][2] = {};
    for (int n = 0; n < count && begin == 0 && thread % 4 == 0; n++) sum[n][0] = sum[n][1] = -128 * sums[first + n];
    for (int tile = begin; tile < tiles; tile += SPLIT) {
        const long long at = static_cast<long long>(panel) * tiles + tile;
        const Unit unit(Packed(labels + at * (LABEL / 4 * WARP), betas + at * (BETA_BITS * WARP), thread));
        for (int j = 0; j < 2; j++) {
            u32 word[2][2][8], weights[4], some;
            unit.bytes_of(j, word);
            for (int e = 0; e < 8; e++) {
                weights_of(unit, word, j, e, weights);
                const uint8_t* from = values + tile * CHUNKS * CHUNK + (8 * j + e) * STEP + thread % 4 * 4;
                for (int n = 0; n < count; n++)
                    for (int k = 0; k < 4; k++) {
                        std::memcpy(&some, from + k / 2 * HALF + n * 16, sizeof some);
                        sum[n][k % 2] = dot4(weights[k], some, sum[n][k % 2]);
                    }
            }
        }
    }
    for (int n = 0; n < count; n++)
        for (int r = 0; r < 2; r++)
            if (const int at = row + thread / 4 + 8 * r; at < rows)
                acc[static_cast<long long>(first + n) * rows + at] += sum[n][r];
#else
    extern __shared__ __align__(128) uint8_t shared[];
    const u32 base = static_cast<u32>(__cvta_generic_to_shared(shared)), barriers = base + CHUNKS * CHUNK + 2 * WARPS * UNIT;
    const auto full = [&](int k) { return Barrier{barriers + 8 * k}; };  // chunks of activations: copied
    const auto done = [&](int k) { return Barrier{barriers + 8 * (CHUNKS + k)}; };  // and multiplied, by every warp
    const auto unit_full = [&](int k) { return Barrier{barriers + 8 * (2 * CHUNKS + 2 * warp + k)}; };
    const auto copy_chunk = [&](int tile, int k) {
        full(k).expect(CHUNK);
        full(k).copy(base + k * CHUNK, values + (static_cast<long long>(tile) * CHUNKS + k) * CHUNK, CHUNK);
    };
    const auto copy_unit = [&](int tile, int k) {
        const long long at = static_cast<long long>(panel) * tiles + tile;
        const u32 to = base + CHUNKS * CHUNK + (k * WARPS + warp) * UNIT;
        unit_full(k).expect(UNIT);
        unit_full(k).copy(to, labels + at * (LABEL / 4 * WARP), LABEL * 4 * WARP);
        if (BETA_BITS) unit_full(k).copy(to + LABEL * 4 * WARP, betas + at * (BETA_BITS * WARP), BETA_BITS * 4 * WARP);
    };
    const bool leads = thread == 0, there = row < rows;
    if (leads && warp == 0)
        for (int k = 0; k < CHUNKS; k++) full(k).init(1), done(k).init(WARPS);
    if (leads)
        for (int k = 0; k < 2; k++) unit_full(k).init(1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    __syncthreads();
    if (leads && warp == 0 && begin < tiles)
        for (int k = 0; k < CHUNKS; k++) copy_chunk(begin, k);
    if (leads && there)
        for (int k = 0; k < 2; k++)
            if (begin + k * SPLIT < tiles) copy_unit(begin + k * SPLIT, k);

    int sum[ROWS / 8][4];  // of rows 2t and 2t + 1 of eight, with row g, then g + 8
#pragma unroll
    for (int k = 0; k < ROWS / 8; k++)
#pragma unroll
        for (int c = 0; c < 2; c++) {
            const int n = 8 * k + thread % 4 * 2 + c;
            sum[k][c] = sum[k][2 + c] = begin == 0 && n < count ? -128 * sums[first + n] : 0;
        }
    for (int tile = begin, n = 0; tile < tiles; tile += SPLIT, n++) {
        if (there) unit_full(n % 2).wait(n / 2 & 1);
        const uint8_t* mine = shared + CHUNKS * CHUNK + (n % 2 * WARPS + warp) * UNIT;
        const Unit unit(Packed(reinterpret_cast<const uint4*>(mine), reinterpret_cast<const u32*>(mine + LABEL * 4 * WARP),
                               thread));
        __syncwarp();
        if (leads && there && tile + 2 * SPLIT < tiles) copy_unit(tile + 2 * SPLIT, n % 2);
#pragma unroll
        for (int j = 0; j < 2; j++) {
            u32 word[2][2][8], weights[8][4];
            unit.bytes_of(j, word);
#pragma unroll
            for (int e = 0; e < 8; e++) weights_of(unit, word, j, e, weights[e]);
            // The chunks of the half before are free when the other warpgroup has multiplied them too: about now.
            const int next = j ? tile + SPLIT : tile, half = CHUNKS / 2 * (1 - j);
            if (leads && warp == 0 && (j ? next < tiles : n > 0))
                for (int k = half; k < half + CHUNKS / 2; k++) {
                    done(k).wait((j ? n : n - 1) & 1);
                    copy_chunk(next, k);
                }
            __syncwarp();
#pragma unroll
            for (int k = 0; k < CHUNKS / 2; k++) full(j * CHUNKS / 2 + k).wait(n & 1);
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
            for (int e = 0; e < 8; e++) multiply(weights[e], described(base + (8 * j + e) * STEP), sum);
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
            for (int k = 0; k < ROWS / 2; k++) asm volatile("" : "+r"(sum[k / 4][k % 4])::"memory");  // not read before
            if (leads)
                for (int k = 0; k < CHUNKS / 2; k++) done(j * CHUNKS / 2 + k).arrive();
        }
    }
    constexpr int PART = ROWS / 8 / SPLIT, THREADS = WARPS * WARP;
    if (SPLIT > 1) {  // of each part, one block has the sum
        together();
#pragma unroll
            for (int p = 0; p < SPLIT; p++)
                if (p != begin)
#pragma unroll
                    for (int k = 0; k < PART * 4; k++) {
                        const int slot = begin - (begin > p);
                        const u32 to = base + ((slot * PART * 4 + k) * THREADS + warp * WARP + thread) * 4;
                        asm volatile("{ .reg .u32 there; mapa.shared::cluster.u32 there, %0, %1; st.shared::cluster.u32 "
                                     "[there], %2; }" ::"r"(to),
                                     "r"(p), "r"(sum[p * PART + k / 4][k % 4])
                                     : "memory");
                    }
        together();
    }
#pragma unroll
        for (int p = 0; p < SPLIT; p++)
            if (p == begin)
#pragma unroll
                for (int k = 0; k < PART * 4; k++) {
                    int total = sum[p * PART + k / 4][k % 4];
#pragma unroll
                    for (int slot = 0; slot < SPLIT - 1; slot++)
                        total += reinterpret_cast<const int*>(shared)[(slot * PART * 4 + k) * THREADS + warp * WARP + thread];
                    const int n = 8 * (p * PART + k / 4) + thread % 4 * 2 + k % 2, at = row + thread / 4 + k % 4 / 2 * 8;
                    if (n < count && at < rows) acc[static_cast<long long>(first + n) * rows + at] = total;
                }
#endif
}

#if GOSSET_HOST
extern "C" __attribute__((visibility("default"))) void gosset_host_wide(const void* labels, const void* betas, const void* x,
                                                                        const void* sums, int* acc, int m, int rows,
                                                                        int tiles, const unsigned* grid) {
    each_thread({grid[0], grid[1], grid[2]}, WARPS, [&] {
        gosset_wide(static_cast<const uint4*>(labels), static_cast<const u32*>(betas), static_cast<const uint8_t*>(x),
                    static_cast<const int*>(sums), acc, m, rows, tiles);
    });
}
#endif
