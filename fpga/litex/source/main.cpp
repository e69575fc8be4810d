// The board around the system: a clock, the SDRAM's chip, a listener on the serial line, and a light to be looked at.
//
// Arguments: what is in the SDRAM at first; where to write as much of it at the end; where to write what was counted; the
// cycles after which it is given up.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "Vsoc.h"
#include "sdram.h"
#include "verilated.h"

namespace {

constexpr unsigned BIT_CYCLES = CLOCK_HZ / BAUD;
constexpr int END = 4;

// Bytes on a serial line, 8 bits without parity.
class Listener {
  public:
    // The line in this cycle; returns a byte when one has come, else -1.
    int hear(bool line) {
        if (wait == 0) {
            idle |= line;
            if (line || !idle) return -1;
            wait = BIT_CYCLES + BIT_CYCLES / 2;  // to the middle of the first bit
            bits = 0;
            byte = 0;
            return -1;
        }
        if (--wait) return -1;
        if (bits == 8) {
            if (!line) throw std::runtime_error("the serial line has no stop bit");
            return byte;
        }
        byte |= line << bits++;
        wait = BIT_CYCLES;
        return -1;
    }

  private:
    bool idle = false;  // since it was powered up
    unsigned wait = 0, bits = 0;
    int byte = 0;
};

void run(const char* given, const char* left, const char* counted, uint64_t limit) {
    VerilatedContext context;
    Vsoc soc(&context);
    Sdram chip(1e9 / CLOCK_HZ);
    std::ifstream file(given, std::ios::binary);
    const std::string image((std::istreambuf_iterator<char>(file)), {});
    image.copy(reinterpret_cast<char*>(chip.bytes()), image.size());

    Listener listener;
    Sdram::Counts before{}, work{};
    bool lit = false;
    soc.serial_rx = 1;
    for (uint64_t cycle = 0;; cycle++) {
        if (cycle == limit) throw std::runtime_error("it has not come to an end in " + std::to_string(limit) + " cycles");
        soc.rst = cycle < 16;
        soc.clk25 = 1;
        soc.eval();
        chip.edge({soc.sdram_cke != 0, soc.sdram_cs_n != 0, soc.sdram_ras_n != 0, soc.sdram_cas_n != 0,
                   soc.sdram_we_n != 0, soc.sdram_a, soc.sdram_ba, soc.sdram_dm, soc.sdram_dq__out,
                   soc.sdram_dq__en != 0});
        soc.sdram_dq = chip.driving ? chip.data : 0xdead;
        soc.clk25 = 0;
        soc.eval();
        if (soc.user_led0 && !lit) before = chip.counts;
        if (!soc.user_led0 && lit)
            work = {chip.counts.cycles - before.cycles, chip.counts.reads - before.reads,
                    chip.counts.writes - before.writes, chip.counts.activations - before.activations,
                    chip.counts.refreshes - before.refreshes};
        lit = soc.user_led0;
        const int byte = listener.hear(soc.serial_tx);
        if (byte == END) {
            std::ofstream(counted) << "{\"simulated_cycles\": " << cycle << ", \"cycles\": " << work.cycles
                                   << ", \"reads\": " << work.reads << ", \"writes\": " << work.writes
                                   << ", \"activations\": " << work.activations << ", \"refreshes\": " << work.refreshes
                                   << "}\n";
            break;
        }
        if (byte >= 0) {
            std::putchar(byte);
            std::fflush(stdout);
        }
    }
    std::ofstream(left, std::ios::binary).write(reinterpret_cast<char*>(chip.bytes()), std::streamsize(image.size()));
}

}  // namespace

int main(int count, char** words) {
    if (count != 5) return 2;
    try {
        run(words[1], words[2], words[3], std::strtoull(words[4], nullptr, 10));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
