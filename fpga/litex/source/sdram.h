// An SDRAM chip as its pins see it, MT48LC16M16A2 at CAS latency 2: 4 banks of 8192 rows of 512 words of 16 bits. A command
// that its data sheet forbids, by the state of the banks or by time, throws.

#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

class Sdram {
  public:
    static constexpr unsigned BANKS = 4, ROWS = 8192, COLUMNS = 512;

    struct Pins {
        bool cke, cs_n, ras_n, cas_n, we_n;
        unsigned address, bank, mask, data;
        bool driven;  // whether the controller drives the data
    };

    struct Counts {
        uint64_t cycles, reads, writes, activations, refreshes;
    };

    explicit Sdram(double period_ns) : period_ns(period_ns), words(BANKS * ROWS * COLUMNS) {}

    uint8_t* bytes() { return reinterpret_cast<uint8_t*>(words.data()); }

    // What it drives from this edge to the next one; valid if `driving`.
    bool driving = false;
    uint16_t data = 0;
    Counts counts{};

    // An edge of its clock.
    void edge(const Pins& pins) {
        now++;
        counts.cycles++;
        driving = due[now % due.size()].valid;
        data = due[now % due.size()].word;
        due[now % due.size()].valid = false;
        if (driving && pins.driven) fail("both sides drive the data");
        if (pins.cke && !pins.cs_n) command(pins);
        if (mode_set && refreshed + 9 * REFRESH_NS / period_ns < now) fail("nine refreshes are missing");
    }

  private:
    // Nanoseconds of the data sheet, speed grade -75. tRC is over when tRAS and tRP are, in whole cycles.
    static constexpr double RCD_NS = 20, RP_NS = 20, RAS_NS = 44, RFC_NS = 66, RRD_NS = 15, WR_NS = 15;
    static constexpr double REFRESH_NS = 64e6 / 8192, POWER_UP_NS = 100e3;
    static constexpr uint64_t MODE_CYCLES = 2, LATENCY = 2;

    struct Bank {
        bool open = false;
        unsigned row = 0;
        uint64_t activated = 0, precharged = 0, written = 0, read = 0;
    };
    struct Due {
        bool valid = false;
        uint16_t word = 0;
    };

    const double period_ns;
    std::vector<uint16_t> words;
    std::array<Bank, BANKS> banks;
    std::array<Due, 8> due;
    uint64_t now = 1000, last_activation = 0, refreshed = 0, loaded = 0;  // long after whatever was before
    const uint64_t begin = now;
    unsigned refreshes_before_use = 0;
    bool mode_set = false, precharged_once = false;

    [[noreturn]] void fail(const std::string& what) const {
        throw std::runtime_error("the SDRAM, in cycle " + std::to_string(now - begin) + ": " + what);
    }
    uint64_t whole(double ns) const { return uint64_t(std::ceil(ns / period_ns)); }
    void after(uint64_t then, double ns, const char* name) const {
        if ((now - then) * period_ns < ns) fail(std::string(name) + " is not over");
    }

    void command(const Pins& pins) {
        const int kind = pins.ras_n << 2 | pins.cas_n << 1 | pins.we_n;
        if (kind == 0b111) return;
        if (now - loaded < MODE_CYCLES) fail("tMRD is not over");
        switch (kind) {
            case 0b011: return activate(banks[pins.bank], pins.address);
            case 0b101: return access(banks[pins.bank], pins, false);
            case 0b100: return access(banks[pins.bank], pins, true);
            case 0b010:
                after(begin, POWER_UP_NS, "the time to power up");
                for (unsigned i = 0; i < BANKS; i++)
                    if (pins.address >> 10 & 1 || i == pins.bank) precharge(banks[i]);
                precharged_once = true;
                return;
            case 0b001: return refresh();
            case 0b000: return load(pins.address);
            default: fail("a burst is stopped that is none");
        }
    }
    void activate(Bank& bank, unsigned row) {
        if (!mode_set || refreshes_before_use < 2) fail("it is used before it is set up");
        if (bank.open) fail("a bank is opened that is open");
        after(bank.precharged, RP_NS, "tRP");
        after(last_activation, RRD_NS, "tRRD");
        after(refreshed, RFC_NS, "tRFC");
        bank.open = true;
        bank.row = row;
        bank.activated = last_activation = now;
        counts.activations++;
    }
    void access(Bank& bank, const Pins& pins, bool write) {
        if (!bank.open) fail("a bank is used that is not open");
        after(bank.activated, RCD_NS, "tRCD");
        const bool closes = pins.address >> 10 & 1;
        uint16_t& word = words[(bank.row * BANKS + pins.bank) * COLUMNS + pins.address % COLUMNS];
        if (write) {
            if (!pins.driven) fail("a write without data");
            const unsigned kept = (pins.mask & 1 ? 0x00ff : 0) | (pins.mask & 2 ? 0xff00 : 0);
            word = uint16_t((word & kept) | (pins.data & ~kept));
            bank.written = now;
            counts.writes++;
        } else {
            if (pins.mask) fail("a read is masked, which this model does not know");
            // From the edge before that at which it is taken.
            due[(now + LATENCY - 1) % due.size()] = {true, word};
            bank.read = now;
            counts.reads++;
        }
        if (closes) {  // by itself, as soon as it may
            bank.open = false;
            const uint64_t used = now + (write ? whole(WR_NS) : 1);
            const uint64_t open = bank.activated + whole(RAS_NS);
            bank.precharged = used > open ? used : open;
        }
    }
    void precharge(Bank& bank) {
        if (!bank.open) return;
        after(bank.activated, RAS_NS, "tRAS");
        after(bank.written, WR_NS, "tWR");
        bank.open = false;
        bank.precharged = now;
    }
    void refresh() {
        if (!precharged_once) fail("it is refreshed before it is precharged");
        for (const Bank& bank : banks) {
            if (bank.open) fail("it is refreshed while a bank is open");
            after(bank.precharged, RP_NS, "tRP");
        }
        after(refreshed, RFC_NS, "tRFC");
        refreshed = now;
        refreshes_before_use++;
        counts.refreshes++;
    }
    void load(unsigned mode) {
        if (!precharged_once) fail("its mode is set before it is precharged");
        for (const Bank& bank : banks)
            if (bank.open) fail("its mode is set while a bank is open");
        // litedram resets a DLL that SDR chips do not have, and loads the mode again without that bit.
        mode_set = mode == LATENCY << 4;
        loaded = now;
    }
};
