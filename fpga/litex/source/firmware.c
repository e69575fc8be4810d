/* A layer from SDRAM to SDRAM: what the processor of the example does. soc.h is written beside it. */
#include "gosset_soc_axi_driver.h"
#include "soc.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define PATIENCE 1000000u
#define END "\004"

static void say(const char *text)
{
    for (; *text; text++) {
        while (REGISTER(UART_TXFULL))
            ;
        REGISTER(UART_RXTX) = (uint8_t)*text;
    }
}

static void say_number(uint32_t number)
{
    char digits[11], *digit = digits + 10;
    *digit = 0;
    do
        *--digit = (char)('0' + number % 10u);
    while (number /= 10u);
    say(digit);
}

static void say_pair(const char *name, uint32_t number)
{
    say(name);
    say(" ");
    say_number(number);
    say("\n");
}

/* The SDRAM's commands by hand until it is set up, then litedram's controller. */
static void set_up_sdram(void)
{
    enum { SEL = 1, CKE = 2, ODT = 4, RESET_N = 8 };
    static const struct {
        uint16_t address;
        uint8_t bank, command;
        uint32_t delay;
    } steps[] = {SDRAM_STEPS};
    REGISTER(SDRAM_DFII_CONTROL) = CKE | ODT | RESET_N;
    for (uint32_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        REGISTER(SDRAM_DFII_PI0_ADDRESS) = steps[i].address;
        REGISTER(SDRAM_DFII_PI0_BADDRESS) = steps[i].bank;
        if (steps[i].command) {
            REGISTER(SDRAM_DFII_PI0_COMMAND) = steps[i].command;
            REGISTER(SDRAM_DFII_PI0_COMMAND_ISSUE) = 1;
        }
        for (volatile uint32_t wait = 0; wait < steps[i].delay; wait++)
            ;
    }
    REGISTER(SDRAM_DFII_CONTROL) = SEL | CKE | ODT | RESET_N;
}

/* Cycles since this was last called; `busy` is how many of them the array worked. */
static uint32_t cycles(gosset_soc_axi_device *device, uint32_t *busy)
{
    uint32_t counters[COUNTERS], sum = 0;
    gosset_soc_axi_counters(device, counters);
    for (uint32_t i = 0; i < CAUSES; i++)
        sum += counters[i];
    *busy = counters[0];
    return sum;
}

static int run(gosset_soc_axi_device *device)
{
    int status = gosset_soc_axi_init(device, PATIENCE);
    if (status)
        return status;

    /* Weights are there as an image, made once for all time; activations as they are packed. */
    const gosset_soc_axi_matrix x = {(const uint8_t *)X_LABELS, (const uint8_t *)X_BETAS, ROWS, BLOCKS};
    uint32_t busy, waited, done;
    cycles(device, &busy);
    size_t size = gosset_soc_axi_x_image((uint8_t *)X_IMAGE, &x, 0, ROWS, 0, STEPS);
    waited = cycles(device, &busy);
    say_pair("image_bytes", (uint32_t)size);
    say_pair("image_cycles", waited);

    const gosset_soc_axi_job job = {.rows = ROWS, .tiles = TILES, .steps = STEPS, .x = X_IMAGE, .w = W_IMAGE, .y = Y};
    REGISTER(LEDS_OUT) = 1; /* at work */
    cycles(device, &busy);
    status = gosset_soc_axi_submit(device, &job);
    if (!status)
        status = gosset_soc_axi_wait(device, 1, PATIENCE);
    done = cycles(device, &busy);
    REGISTER(LEDS_OUT) = 0;
    if (status) {
        say_pair("error", gosset_soc_axi_errors(device));
        return status;
    }
    say_pair("cycles", done);
    say_pair("busy", busy);

    const volatile uint32_t *got = (const volatile uint32_t *)Y, *expected = (const volatile uint32_t *)EXPECTED;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < RESULTS; i++)
        if (got[i] != expected[i] && wrong++ == 0) {
            say_pair("first_wrong", i);
            say_pair("got", got[i]);
            say_pair("expected", expected[i]);
        }
    say_pair("compared", RESULTS);
    say_pair("wrong", wrong);
    return 0;
}

int main(void)
{
    gosset_soc_axi_device device = {(volatile uint32_t *)REGISTERS};
    REGISTER(LEDS_OUT) = 0;
    set_up_sdram();
    int status = run(&device);
    say_pair("status", (uint32_t)-status);
    say(END);
    return 0;
}
