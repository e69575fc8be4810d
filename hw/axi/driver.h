/* Driver of @prefix@: freestanding C99, nothing but this file and @prefix@.h.
 *
 * Where registers are not plain memory, define @PREFIX@_READ(device, offset) and @PREFIX@_WRITE(device, offset, word)
 * before this file is included. Memory that the accelerator reads has to be written back from caches before
 * @prefix@_submit, and what it wrote has to be read past them after @prefix@_wait.
 */
#ifndef @PREFIX@_DRIVER_H
#define @PREFIX@_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "@prefix@.h"

/* An accelerator: where its registers are. */
typedef struct {
    volatile uint32_t *registers;
} @prefix@_device;

#ifndef @PREFIX@_READ
#define @PREFIX@_READ(device, offset) ((device)->registers[(offset) / 4u])
#define @PREFIX@_WRITE(device, offset, word) ((device)->registers[(offset) / 4u] = (word))
#endif

/* What functions return. */
enum {
    @PREFIX@_OK = 0,
    @PREFIX@_OTHER_HARDWARE = -1, /* what the registers say is not what the header says */
    @PREFIX@_NO_ROOM = -2,        /* the queue takes no job now: wait, and try again */
    @PREFIX@_TIMEOUT = -3,        /* patience is over */
    @PREFIX@_FAILED = -4,         /* an address is no multiple of the bus width; or bits of the register error are set */
};

/* A job: rows of activations, tiles of weights, steps of K; see the table of jobs in the documentation. Addresses are
 * those of the bus, multiples of its width. */
typedef struct {
    uint32_t rows, tiles, steps;
    uint32_t mode; /* masks of the register job_mode, or 0 */
    uint64_t x, w, y; /* y: where results go, or codes, as many bytes as @prefix@_x_image says without an image */
#ifdef @PREFIX@_JOB_C_LOW
    uint64_t c; /* of the columns' words */
#endif
#ifdef @PREFIX@_JOB_R_LOW
    uint64_t r; /* of the rows' words */
#endif
#ifdef @PREFIX@_JOB_Y_STRIDE
    uint32_t y_stride; /* bytes from a row of results to the next one; 0: rows back to back, tile by tile */
#endif
#ifdef @PREFIX@_JOB_X_STRIDE
    uint32_t x_stride;          /* bytes from a raw row to the next one, of jobs whose mode says raw */
    uint8_t mantissa, exponent; /* the multiplier of raw rows */
#endif
#ifdef @PREFIX@_JOB_TAG
    uint16_t tag; /* any number */
#endif
} @prefix@_job;

/* A packed matrix: the two planes that a packed file holds. */
typedef struct {
    const uint8_t *labels; /* of each row back to back */
    const uint8_t *betas;  /* indices, of each row filled up to whole words of 32 bits; none if there is one beta only */
    uint32_t rows, blocks; /* of the whole matrix */
} @prefix@_matrix;

#define @PREFIX@_VALUE(name) (@PREFIX@_##name##_CONSTANT)
#define @PREFIX@_BUS_BYTES (@PREFIX@_VALUE(LANES_BUS_BITS) / 8u)

/* Soft reset, within so many looks at the status. */
static inline int @prefix@_reset(@prefix@_device *device, uint32_t patience)
{
    @PREFIX@_WRITE(device, @PREFIX@_CONTROL, @PREFIX@_CONTROL_RESET_MASK);
    while (!(@PREFIX@_READ(device, @PREFIX@_STATUS) & @PREFIX@_STATUS_IN_RESET_MASK))
        if (patience-- == 0)
            return @PREFIX@_TIMEOUT;
    @PREFIX@_WRITE(device, @PREFIX@_CONTROL, 0);
    while (@PREFIX@_READ(device, @PREFIX@_STATUS) & @PREFIX@_STATUS_IN_RESET_MASK)
        if (patience-- == 0)
            return @PREFIX@_TIMEOUT;
    return @PREFIX@_OK;
}

/* Reads the errors and clears those that it returns: masks of the register error. */
static inline uint32_t @prefix@_errors(@prefix@_device *device)
{
    uint32_t errors = @PREFIX@_READ(device, @PREFIX@_ERROR);
    if (errors)
        @PREFIX@_WRITE(device, @PREFIX@_ERROR, errors);
    return errors;
}

/* Finds out whether the hardware is that of the header, resets it and clears errors and causes of interrupts. */
static inline int @prefix@_init(@prefix@_device *device, uint32_t patience)
{
    static const uint32_t expected[][2] = {
@CONSTANTS@
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (@PREFIX@_READ(device, expected[i][0]) != expected[i][1])
            return @PREFIX@_OTHER_HARDWARE;
    int status = @prefix@_reset(device, patience);
    @PREFIX@_WRITE(device, @PREFIX@_IRQ_ENABLE, 0);
    @PREFIX@_WRITE(device, @PREFIX@_IRQ_STATUS, ~(uint32_t)0);
    @prefix@_errors(device);
    return status;
}

/* Has the interrupt tell of finished jobs and errors. */
static inline void @prefix@_enable_interrupt(@prefix@_device *device, bool job_done, bool error)
{
    uint32_t word = (job_done ? @PREFIX@_IRQ_ENABLE_JOB_DONE_MASK : 0) | (error ? @PREFIX@_IRQ_ENABLE_ERROR_MASK : 0);
    @PREFIX@_WRITE(device, @PREFIX@_IRQ_ENABLE, word);
}

/* What an interrupt handler does first: returns the causes, and has whatever happens from now on raise it anew. */
static inline uint32_t @prefix@_acknowledge(@prefix@_device *device)
{
    uint32_t causes = @PREFIX@_READ(device, @PREFIX@_IRQ_STATUS);
    @PREFIX@_WRITE(device, @PREFIX@_IRQ_STATUS, causes);
    return causes;
}

/* Jobs done since the last reset, modulo 2^32. */
static inline uint32_t @prefix@_done(@prefix@_device *device)
{
    return @PREFIX@_READ(device, @PREFIX@_JOBS_DONE);
}

/* Jobs that the queue takes now. */
static inline uint32_t @prefix@_room(@prefix@_device *device)
{
    uint32_t status = @PREFIX@_READ(device, @PREFIX@_STATUS);
    return (status & @PREFIX@_STATUS_ROOM_MASK) >> @PREFIX@_STATUS_ROOM_SHIFT;
}

/* Whether all addresses and strides of a job are multiples of the bus width. */
static inline bool @prefix@_aligned(const @prefix@_job *job)
{
    uint64_t places = job->x | job->w | job->y;
#ifdef @PREFIX@_JOB_C_LOW
    places |= job->c;
#endif
#ifdef @PREFIX@_JOB_R_LOW
    places |= job->r;
#endif
#ifdef @PREFIX@_JOB_Y_STRIDE
    places |= job->y_stride;
#endif
#ifdef @PREFIX@_JOB_X_STRIDE
    places |= job->x_stride;
#endif
    return places % @PREFIX@_BUS_BYTES == 0;
}

/* Queues a job, if there is room. Whether it is a legal one is found out later, and told by @prefix@_wait. */
static inline int @prefix@_submit(@prefix@_device *device, const @prefix@_job *job)
{
    if (!@prefix@_aligned(job))
        return @PREFIX@_FAILED;
    if (@prefix@_room(device) == 0)
        return @PREFIX@_NO_ROOM;
    @PREFIX@_WRITE(device, @PREFIX@_JOB_ROWS, job->rows);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_TILES, job->tiles);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_STEPS, job->steps);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_MODE, job->mode);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_X_LOW, (uint32_t)job->x);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_X_HIGH, (uint32_t)(job->x >> 32));
    @PREFIX@_WRITE(device, @PREFIX@_JOB_W_LOW, (uint32_t)job->w);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_W_HIGH, (uint32_t)(job->w >> 32));
    @PREFIX@_WRITE(device, @PREFIX@_JOB_Y_LOW, (uint32_t)job->y);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_Y_HIGH, (uint32_t)(job->y >> 32));
#ifdef @PREFIX@_JOB_C_LOW
    @PREFIX@_WRITE(device, @PREFIX@_JOB_C_LOW, (uint32_t)job->c);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_C_HIGH, (uint32_t)(job->c >> 32));
#endif
#ifdef @PREFIX@_JOB_R_LOW
    @PREFIX@_WRITE(device, @PREFIX@_JOB_R_LOW, (uint32_t)job->r);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_R_HIGH, (uint32_t)(job->r >> 32));
#endif
#ifdef @PREFIX@_JOB_Y_STRIDE
    @PREFIX@_WRITE(device, @PREFIX@_JOB_Y_STRIDE, job->y_stride);
#endif
#ifdef @PREFIX@_JOB_X_STRIDE
    @PREFIX@_WRITE(device, @PREFIX@_JOB_X_STRIDE, job->x_stride);
    @PREFIX@_WRITE(device, @PREFIX@_JOB_SCALE,
                   (uint32_t)job->mantissa << @PREFIX@_JOB_SCALE_MANTISSA_SHIFT |
                       (uint32_t)job->exponent << @PREFIX@_JOB_SCALE_EXPONENT_SHIFT);
#endif
#ifdef @PREFIX@_JOB_TAG
    @PREFIX@_WRITE(device, @PREFIX@_JOB_TAG, job->tag);
#endif
    @PREFIX@_WRITE(device, @PREFIX@_DOORBELL, @PREFIX@_DOORBELL_GO_MASK);
    return @PREFIX@_OK;
}

#ifdef @PREFIX@_RING_TAIL
/* A ring of descriptors in memory. */
typedef struct {
    volatile uint32_t *memory; /* where the processor sees it */
    uint32_t size;             /* descriptors that it has room for: a power of two up to 32768 */
    uint16_t tail;             /* descriptors written */
} @prefix@_ring;

#define @PREFIX@_DESCRIPTOR_WORDS @DESCRIPTOR_WORDS@u

/* Has the accelerator read a ring at an address of the bus, a multiple of a descriptor. None may be left in another. */
static inline int @prefix@_ring_open(@prefix@_device *device, @prefix@_ring *ring, uint64_t address)
{
    uint32_t log = 0;
    while (ring->size > 1u << log)
        log++;
    if (ring->size != 1u << log || log > @PREFIX@_RING_SIZE_VALUE_MASK || address % (4u * @PREFIX@_DESCRIPTOR_WORDS))
        return @PREFIX@_FAILED;
    ring->tail = (uint16_t)@PREFIX@_READ(device, @PREFIX@_RING_HEAD);
    @PREFIX@_WRITE(device, @PREFIX@_RING_BASE_LOW, (uint32_t)address);
    @PREFIX@_WRITE(device, @PREFIX@_RING_BASE_HIGH, (uint32_t)(address >> 32));
    @PREFIX@_WRITE(device, @PREFIX@_RING_SIZE, log);
    return @PREFIX@_OK;
}

/* Writes a job to the ring, if there is room, and does not tell of it yet. */
static inline int @prefix@_ring_put(@prefix@_device *device, @prefix@_ring *ring, const @prefix@_job *job)
{
    if (!@prefix@_aligned(job))
        return @PREFIX@_FAILED;
    if ((uint16_t)(ring->tail - @PREFIX@_READ(device, @PREFIX@_RING_HEAD)) >= ring->size)
        return @PREFIX@_NO_ROOM;
    volatile uint32_t *words = ring->memory + (ring->tail % ring->size) * @PREFIX@_DESCRIPTOR_WORDS;
@DESCRIPTOR@
    ring->tail++;
    return @PREFIX@_OK;
}

/* Tells of all that was written; from here on it is in memory for good, past all caches. */
static inline void @prefix@_ring_go(@prefix@_device *device, const @prefix@_ring *ring)
{
    @PREFIX@_WRITE(device, @PREFIX@_RING_TAIL, ring->tail);
}

/* What the first descriptor was about that became no job since this was last asked. */
typedef struct {
    bool bad, misaligned, bus;
    uint16_t number; /* as `tail` of the ring was when it was written */
} @prefix@_lost;

/* Whether a descriptor became no job, and which. */
static inline bool @prefix@_ring_error(@prefix@_device *device, @prefix@_lost *lost)
{
    uint32_t about = @PREFIX@_READ(device, @PREFIX@_RING_ERROR);
    if (!(about & @PREFIX@_RING_ERROR_VALID_MASK))
        return false;
    lost->bad = (about & @PREFIX@_RING_ERROR_BAD_MASK) != 0;
    lost->misaligned = (about & @PREFIX@_RING_ERROR_MISALIGNED_MASK) != 0;
    lost->bus = (about & @PREFIX@_RING_ERROR_BUS_MASK) != 0;
    lost->number = (uint16_t)(about >> @PREFIX@_RING_ERROR_NUMBER_SHIFT);
    @PREFIX@_WRITE(device, @PREFIX@_RING_ERROR, @PREFIX@_RING_ERROR_VALID_MASK);
    return true;
}
#endif

#ifdef @PREFIX@_ABORT
/* The number of the job that is queued next, by registers or from a ring. */
static inline uint16_t @prefix@_next_number(@prefix@_device *device)
{
    return (uint16_t)@PREFIX@_READ(device, @PREFIX@_JOBS_QUEUED);
}

/* Has a job given up, within so many looks. The register error says `aborted` then, unless it was done before. */
static inline int @prefix@_abort(@prefix@_device *device, uint16_t number, uint32_t patience)
{
    @PREFIX@_WRITE(device, @PREFIX@_ABORT, (uint32_t)number << @PREFIX@_ABORT_NUMBER_SHIFT | @PREFIX@_ABORT_GO_MASK);
    while (@PREFIX@_READ(device, @PREFIX@_ABORT) & @PREFIX@_ABORT_PENDING_MASK)
        if (patience-- == 0)
            return @PREFIX@_TIMEOUT;
    return @PREFIX@_OK;
}

/* The number of the job that was given up last. */
static inline uint16_t @prefix@_aborted(@prefix@_device *device)
{
    return (uint16_t)@PREFIX@_READ(device, @PREFIX@_ABORTED);
}
#endif

#ifdef @PREFIX@_IRQ_COALESCING
/* Has the interrupt wait until so many jobs are done, or for so many cycles after the first of them. 0 jobs: it waits
 * for none; 0 cycles: it waits for ever. */
static inline void @prefix@_coalesce(@prefix@_device *device, uint8_t jobs, uint32_t cycles)
{
    @PREFIX@_WRITE(device, @PREFIX@_IRQ_COALESCING,
                   (uint32_t)jobs << @PREFIX@_IRQ_COALESCING_JOBS_SHIFT |
                       (cycles << @PREFIX@_IRQ_COALESCING_CYCLES_SHIFT & @PREFIX@_IRQ_COALESCING_CYCLES_MASK));
}
#endif

/* Waits until so many jobs are done since the last reset, within so many looks; an error ends it. */
static inline int @prefix@_wait(@prefix@_device *device, uint32_t jobs, uint32_t patience)
{
    while ((int32_t)(@prefix@_done(device) - jobs) < 0) {
        if (@PREFIX@_READ(device, @PREFIX@_ERROR))
            return @PREFIX@_FAILED;
        if (patience-- == 0)
            return @PREFIX@_TIMEOUT;
    }
    return @PREFIX@_OK;
}

/* Cycles by cause, all of the same moment, in the order of the registers; begins at zero again. */
static inline void @prefix@_counters(@prefix@_device *device, uint32_t counters[@COUNTERS@])
{
    @PREFIX@_WRITE(device, @PREFIX@_COUNTER_CONTROL,
                   @PREFIX@_COUNTER_CONTROL_SNAPSHOT_MASK | @PREFIX@_COUNTER_CONTROL_CLEAR_MASK);
    for (uint32_t i = 0; i < @COUNTERS@u; i++)
        counters[i] = @PREFIX@_READ(device, @PREFIX@_COUNT_@FIRST_COUNTER@ + 4u * i);
}

#ifdef @PREFIX@_JOB_TAG
/* The tag of the job done last; of the one refused last, when the register error says that one was. */
static inline uint16_t @prefix@_done_tag(@prefix@_device *device)
{
    return (uint16_t)@PREFIX@_READ(device, @PREFIX@_DONE_TAG);
}
static inline uint16_t @prefix@_refused_tag(@prefix@_device *device)
{
    return (uint16_t)@PREFIX@_READ(device, @PREFIX@_REFUSED_TAG);
}

/* Has the error stuck set when jobs are under way and nothing has moved for so many cycles; 0: never. */
static inline void @prefix@_watch(@prefix@_device *device, uint32_t cycles)
{
    @PREFIX@_WRITE(device, @PREFIX@_WATCHDOG, cycles);
}

/* Has all counters stand still, or go on. */
static inline void @prefix@_freeze(@prefix@_device *device, bool still)
{
    @PREFIX@_WRITE(device, @PREFIX@_COUNTER_FREEZE, still);
}

/* What the first bus error was about since this was last asked. */
typedef struct {
    bool write;
    uint8_t response, id;
    uint16_t tag;
    uint64_t address;
} @prefix@_fault;

/* Whether there was a bus error, and what it was about. */
static inline bool @prefix@_bus_error(@prefix@_device *device, @prefix@_fault *fault)
{
    uint32_t about = @PREFIX@_READ(device, @PREFIX@_BUS_ERROR);
    if (!(about & @PREFIX@_BUS_ERROR_VALID_MASK))
        return false;
    fault->write = (about & @PREFIX@_BUS_ERROR_WRITE_MASK) != 0;
    fault->response = (uint8_t)((about & @PREFIX@_BUS_ERROR_RESPONSE_MASK) >> @PREFIX@_BUS_ERROR_RESPONSE_SHIFT);
    fault->id = (uint8_t)((about & @PREFIX@_BUS_ERROR_ID_MASK) >> @PREFIX@_BUS_ERROR_ID_SHIFT);
    fault->tag = (uint16_t)((about & @PREFIX@_BUS_ERROR_TAG_MASK) >> @PREFIX@_BUS_ERROR_TAG_SHIFT);
    fault->address = (uint64_t)@PREFIX@_READ(device, @PREFIX@_BUS_ERROR_HIGH) << 32;
    fault->address |= @PREFIX@_READ(device, @PREFIX@_BUS_ERROR_LOW);
    @PREFIX@_WRITE(device, @PREFIX@_BUS_ERROR, @PREFIX@_BUS_ERROR_VALID_MASK);
    return true;
}
#endif

/* ---- Images. Each function returns the bytes of an image; with a null pointer as the image, nothing else. ---- */

/* Copies up to 8·bytes bits from one place of a bit string to another, whose bits are zero there. */
static inline void @prefix@_copy_bits(uint8_t *to, uint64_t to_bit, const uint8_t *from, uint64_t from_bit, uint32_t bits)
{
    while (bits) {
        uint32_t here = 8u - (uint32_t)(to_bit & 7u), there = 8u - (uint32_t)(from_bit & 7u);
        uint32_t count = here < there ? here : there;
        if (count > bits)
            count = bits;
        uint32_t chunk = ((uint32_t)from[from_bit >> 3] >> (from_bit & 7u)) & ((1u << count) - 1u);
        to[to_bit >> 3] |= (uint8_t)(chunk << (to_bit & 7u));
        to_bit += count;
        from_bit += count;
        bits -= count;
    }
}

/* Bytes of a plane of so many words of so many lanes of so many bits. */
static inline size_t @prefix@_plane_bytes(uint64_t words, uint32_t lanes, uint32_t bits)
{
    uint64_t beat = @PREFIX@_VALUE(LANES_BUS_BITS);
    return (size_t)((words * lanes * bits + beat - 1) / beat * @PREFIX@_BUS_BYTES);
}

/* A block of a matrix to a lane of a word. */
static inline void @prefix@_put_block(uint8_t *labels, uint32_t lane_bits, uint8_t *betas, const @prefix@_matrix *matrix,
                                      uint32_t row, uint32_t block, uint64_t lane)
{
    if (row >= matrix->rows || block >= matrix->blocks)
        return;
    const uint32_t label_bits = @PREFIX@_VALUE(FORMAT_LABEL_BITS), beta_bits = @PREFIX@_VALUE(FORMAT_BETA_BITS);
    size_t stride = (size_t)matrix->blocks * label_bits / 8;
    @prefix@_copy_bits(labels, lane * lane_bits, matrix->labels + row * stride, (uint64_t)block * label_bits, label_bits);
    if (beta_bits) {
        stride = ((size_t)matrix->blocks * beta_bits + 31) / 32 * 4;
        @prefix@_copy_bits(betas, lane * beta_bits, matrix->betas + row * stride, (uint64_t)block * beta_bits, beta_bits);
    }
}

/* Weights of a job: so many tiles from a first one on, so many steps from a first one on. */
static inline size_t @prefix@_w_image(uint8_t *image, const @prefix@_matrix *w, uint32_t first_tile, uint32_t tiles,
                                      uint32_t first_step, uint32_t steps)
{
    const uint32_t cols = @PREFIX@_VALUE(ARRAY_COLS), depth = @DEPTH@u;
    const uint32_t label_bits = @PREFIX@_VALUE(FORMAT_LABEL_BITS), beta_bits = @PREFIX@_VALUE(FORMAT_BETA_BITS);
    const uint64_t words = (uint64_t)steps * depth;
    const size_t labels = @prefix@_plane_bytes(words, cols, label_bits);
    const size_t tile_bytes = labels + @prefix@_plane_bytes(words, cols, beta_bits);
    if (!image)
        return tiles * tile_bytes;
    for (size_t i = 0; i < tiles * tile_bytes; i++)
        image[i] = 0;
    for (uint32_t tile = 0; tile < tiles; tile++, image += tile_bytes)
        for (uint32_t word = 0; word < words; word++)
            for (uint32_t c = 0; c < cols; c++)
                @prefix@_put_block(image, label_bits, image + labels, w, (first_tile + tile) * cols + c,
                                   first_step * depth + word, (uint64_t)word * cols + c);
    return tiles * tile_bytes;
}

/* Where lane l of word i of the activations of a job comes from, the two digits of int8 counted once. */
static inline void @prefix@_x_place(uint32_t rows, uint32_t steps, uint64_t i, uint32_t l, uint32_t *row, uint32_t *block)
{
    const uint32_t height = @PREFIX@_VALUE(ARRAY_ROWS);
    if (@PREFIX@_VALUE(ARRAY_WEIGHT_STATIONARY)) {
        *row = (uint32_t)(i % rows);
        *block = (uint32_t)(i / rows) * height + l;
    } else {
        *row = (uint32_t)(i / steps) * height + l;
        *block = (uint32_t)(i % steps);
    }
}

/* Words of the activations of a job, the two digits of int8 counted once. */
static inline uint64_t @prefix@_x_words(uint32_t rows, uint32_t steps)
{
    const uint32_t height = @PREFIX@_VALUE(ARRAY_ROWS);
    return (uint64_t)steps * (@PREFIX@_VALUE(ARRAY_WEIGHT_STATIONARY) ? rows : (rows + height - 1) / height);
}

/* Packed activations of a job: so many rows and steps from first ones on. */
static inline size_t @prefix@_x_image(uint8_t *image, const @prefix@_matrix *x, uint32_t first_row, uint32_t rows,
                                      uint32_t first_step, uint32_t steps)
{
    const uint32_t height = @PREFIX@_VALUE(ARRAY_ROWS), lane_bits = @PREFIX@_VALUE(LANES_X_LANE_BITS);
    const uint64_t words = @prefix@_x_words(rows, steps);
    const size_t labels = @prefix@_plane_bytes(words, height, lane_bits);
    const size_t bytes = labels + @prefix@_plane_bytes(words, height, @PREFIX@_VALUE(LANES_X_BETA_BITS));
    if (!image)
        return bytes;
    for (size_t i = 0; i < bytes; i++)
        image[i] = 0;
    for (uint64_t i = 0; i < words; i++)
        for (uint32_t l = 0; l < height; l++) {
            uint32_t row, block;
            @prefix@_x_place(rows, steps, i, l, &row, &block);
            if (row < rows)
                @prefix@_put_block(image, lane_bits, image + labels, x, first_row + row, first_step * @DEPTH@u + block,
                                   i * height + l);
        }
    return bytes;
}

#ifdef @PREFIX@_JOB_X_STRIDE
/* Bytes that a raw row of a job of so many steps is read for: beyond the matrix it has to be zeros. */
static inline size_t @prefix@_raw_row_bytes(uint32_t steps)
{
    const uint32_t segment = @PREFIX@_VALUE(FRONT_END_LENGTH) / 8u, blocks = steps * @DEPTH@u / segment * segment;
    return @prefix@_plane_bytes(blocks, 8, @PREFIX@_VALUE(FRONT_END_RAW_BITS));
}
#endif

/* int8 activations of a job, from a matrix of so many columns, row by row: as @prefix@_x_image. */
static inline size_t @prefix@_int8_image(uint8_t *image, const int8_t *x, uint32_t columns, uint32_t first_row,
                                         uint32_t rows, uint32_t first_step, uint32_t steps)
{
    const uint32_t height = @PREFIX@_VALUE(ARRAY_ROWS), lane_bits = @PREFIX@_VALUE(LANES_X_LANE_BITS);
    const uint64_t words = @prefix@_x_words(rows, steps);
    const size_t bytes = @prefix@_plane_bytes(2 * words, height, lane_bits) +
                         @prefix@_plane_bytes(2 * words, height, @PREFIX@_VALUE(LANES_X_BETA_BITS));
    if (!image)
        return bytes;
    for (size_t i = 0; i < bytes; i++)
        image[i] = 0;
    for (uint64_t i = 0; i < words; i++)
        for (uint32_t l = 0; l < height; l++) {
            uint32_t row, block;
            @prefix@_x_place(rows, steps, i, l, &row, &block);
            for (uint32_t k = 0; k < 8; k++) {
                uint32_t column = (first_step * @DEPTH@u + block) * 8u + k;
                if (row >= rows || column >= columns)
                    continue;
                uint8_t value = (uint8_t)x[(size_t)(first_row + row) * columns + column];
                uint8_t digits[2] = {(uint8_t)(value >> 4), (uint8_t)(value & 15u)};
                for (uint32_t digit = 0; digit < 2; digit++)
                    @prefix@_copy_bits(image, ((2 * i + digit) * height + l) * lane_bits + 4u * k, digits + digit, 0, 4);
            }
        }
    return bytes;
}

#ifdef @PREFIX@_JOB_C_LOW
/* What the output stage does with a column: (accumulator + bias) * mantissa / 2^shift, rounded, from 0 on with a ReLU. */
typedef struct {
    int32_t bias;
    uint16_t mantissa;
    uint8_t shift; /* up to 63 */
    bool relu;
} @prefix@_column;

/* Columns of a job: so many tiles from a first one on, of so many columns in all. */
static inline size_t @prefix@_c_image(uint8_t *image, const @prefix@_column *columns, uint32_t count, uint32_t first_tile,
                                      uint32_t tiles)
{
    const uint32_t cols = @PREFIX@_VALUE(ARRAY_COLS);
    const size_t bytes = @prefix@_plane_bytes(tiles, cols, 64);
    if (!image)
        return bytes;
    for (size_t i = 0; i < bytes; i++)
        image[i] = 0;
    for (uint32_t i = 0; i < tiles * cols && first_tile * cols + i < count; i++) {
        const @prefix@_column *column = columns + first_tile * cols + i;
        uint64_t word = (uint32_t)column->bias | (uint64_t)column->mantissa << 32 | (uint64_t)(column->shift & 63u) << 48 |
                        (uint64_t)column->relu << 54;
        for (uint32_t k = 0; k < 8; k++)
            image[8u * i + k] = (uint8_t)(word >> (8 * k));
    }
    return bytes;
}
#endif

#ifdef @PREFIX@_JOB_R_LOW
/* What the output stage does with a row before that: accumulator * mantissa / 2^shift, rounded. */
typedef struct {
    uint16_t mantissa;
    uint8_t shift; /* up to 63 */
} @prefix@_row;

/* So many rows of a job, from a first one on. */
static inline size_t @prefix@_r_image(uint8_t *image, const @prefix@_row *rows, uint32_t first_row, uint32_t count)
{
    const size_t bytes = @prefix@_plane_bytes(count, 1, 32);
    if (!image)
        return bytes;
    for (size_t i = 0; i < bytes; i++)
        image[i] = 0;
    for (uint32_t i = 0; i < count; i++) {
        const @prefix@_row *row = rows + first_row + i;
        image[4u * i] = (uint8_t)row->mantissa;
        image[4u * i + 1] = (uint8_t)(row->mantissa >> 8);
        image[4u * i + 2] = row->shift & 63u;
    }
    return bytes;
}
#endif

#endif /* @PREFIX@_DRIVER_H */
