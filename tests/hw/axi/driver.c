/* The driver's functions for ctypes; registers are read and written by whoever calls. */
#include <stdint.h>

static uint32_t (*read_word)(uint32_t offset);
static void (*write_word)(uint32_t offset, uint32_t word);

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(TOP, _##name)

static uint32_t shim_read(uint32_t offset) { return read_word(offset); }
static void shim_write(uint32_t offset, uint32_t word) { write_word(offset, word); }

/* The macros that the driver looks for are defined on the command line, in terms of these. */
#include DRIVER

static NAME(device) device;

void use(uint32_t (*read)(uint32_t), void (*write)(uint32_t, uint32_t)) { read_word = read, write_word = write; }
int init(uint32_t patience) { return NAME(init)(&device, patience); }
uint32_t errors(void) { return NAME(errors)(&device); }
void enable_interrupt(int job_done, int error) { NAME(enable_interrupt)(&device, job_done, error); }
uint32_t acknowledge(void) { return NAME(acknowledge)(&device); }
int wait(uint32_t jobs, uint32_t patience) { return NAME(wait)(&device, jobs, patience); }
uint32_t done(void) { return NAME(done)(&device); }
void counters(uint32_t *values) { NAME(counters)(&device, values); }

static NAME(job) described(uint32_t rows, uint32_t tiles, uint32_t steps, uint32_t mode, uint64_t x, uint64_t w,
                           uint64_t y)
{
    NAME(job) job = {.rows = rows, .tiles = tiles, .steps = steps, .mode = mode, .x = x, .w = w, .y = y};
#ifdef COLUMNS
    job.c = y + COLUMNS;
    job.r = y + 2 * COLUMNS;
#endif
#ifdef SCALE
    job.x_stride = 8 * rows, job.y_stride = 16 * rows;
    job.mantissa = SCALE & 63, job.exponent = SCALE >> 6;
#endif
#ifdef TAG
    job.tag = (uint16_t)(TAG + rows);
#endif
    return job;
}

int submit(uint32_t rows, uint32_t tiles, uint32_t steps, uint32_t mode, uint64_t x, uint64_t w, uint64_t y)
{
    NAME(job) job = described(rows, tiles, steps, mode, x, w, y);
    return NAME(submit)(&device, &job);
}

#ifdef RING
static NAME(ring) ring;

int ring_open(uint32_t *memory, uint32_t size, uint64_t address)
{
    ring.memory = memory, ring.size = size;
    return NAME(ring_open)(&device, &ring, address);
}
int ring_put(uint32_t rows, uint32_t tiles, uint32_t steps, uint32_t mode, uint64_t x, uint64_t w, uint64_t y)
{
    NAME(job) job = described(rows, tiles, steps, mode, x, w, y);
    return NAME(ring_put)(&device, &ring, &job);
}
void ring_go(void) { NAME(ring_go)(&device, &ring); }
int ring_error(uint32_t *fields)
{
    NAME(lost) lost;
    if (!NAME(ring_error)(&device, &lost))
        return 0;
    fields[0] = lost.bad, fields[1] = lost.misaligned, fields[2] = lost.bus, fields[3] = lost.number;
    return 1;
}
void coalesce(uint32_t jobs, uint32_t cycles) { NAME(coalesce)(&device, (uint8_t)jobs, cycles); }
#endif

#ifdef ABORT
uint32_t next_number(void) { return NAME(next_number)(&device); }
int give_up(uint32_t number, uint32_t patience) { return NAME(abort)(&device, (uint16_t)number, patience); }
uint32_t aborted(void) { return NAME(aborted)(&device); }
#endif

#ifdef SCALE
uint64_t raw_row_bytes(uint32_t steps) { return NAME(raw_row_bytes)(steps); }
#endif

#ifdef TAG
uint32_t done_tag(void) { return NAME(done_tag)(&device); }
uint32_t refused_tag(void) { return NAME(refused_tag)(&device); }
void watch(uint32_t cycles) { NAME(watch)(&device, cycles); }
void freeze(int still) { NAME(freeze)(&device, still != 0); }
int bus_error(uint64_t *fields)
{
    NAME(fault) fault;
    if (!NAME(bus_error)(&device, &fault))
        return 0;
    fields[0] = fault.write, fields[1] = fault.id, fields[2] = fault.response, fields[3] = fault.tag;
    fields[4] = fault.address;
    return 1;
}
#endif

uint64_t w_image(uint8_t *image, const uint8_t *labels, const uint8_t *betas, uint32_t rows, uint32_t blocks,
                 uint32_t first_tile, uint32_t tiles, uint32_t first_step, uint32_t steps)
{
    NAME(matrix) matrix = {labels, betas, rows, blocks};
    return NAME(w_image)(image, &matrix, first_tile, tiles, first_step, steps);
}

uint64_t x_image(uint8_t *image, const uint8_t *labels, const uint8_t *betas, uint32_t all_rows, uint32_t blocks,
                 uint32_t first_row, uint32_t rows, uint32_t first_step, uint32_t steps)
{
    NAME(matrix) matrix = {labels, betas, all_rows, blocks};
    return NAME(x_image)(image, &matrix, first_row, rows, first_step, steps);
}

uint64_t int8_image(uint8_t *image, const int8_t *x, uint32_t columns, uint32_t first_row, uint32_t rows,
                    uint32_t first_step, uint32_t steps)
{
    return NAME(int8_image)(image, x, columns, first_row, rows, first_step, steps);
}

#ifdef COLUMNS
uint64_t c_image(uint8_t *image, const int32_t *bias, const uint16_t *mantissa, const uint8_t *shift, const uint8_t *relu,
                 uint32_t count, uint32_t first_tile, uint32_t tiles)
{
    NAME(column) columns[64];
    for (uint32_t i = 0; i < count; i++)
        columns[i] = (NAME(column)){bias[i], mantissa[i], shift[i], relu[i] != 0};
    return NAME(c_image)(image, columns, count, first_tile, tiles);
}

uint64_t r_image(uint8_t *image, const uint16_t *mantissa, const uint8_t *shift, uint32_t all_rows, uint32_t first_row,
                 uint32_t rows)
{
    NAME(row) given[64];
    for (uint32_t i = 0; i < all_rows; i++)
        given[i] = (NAME(row)){mantissa[i], shift[i]};
    return NAME(r_image)(image, given, first_row, rows);
}
#endif
