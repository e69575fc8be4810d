// The C++ half of sim.rtl.shim: one Verilated design, seen from Python as a table of signals, and a loop that streams whole
// jobs through it. Compiled once per design; `ports.inc` is written beside it from the ports of the Verilated class.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vgosset.h"
#include "verilated.h"

#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Waves = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using Waves = VerilatedVcdC;
#endif

#if GOSSET_PUBLIC
#include "verilated_syms.h"
#endif

#define GOSSET_API extern "C" __attribute__((visibility("default")))

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "beats are rows of little-endian 32-bit words");

// Verilator's own versions of these end the process, and Python with it.
void vl_finish(const char* file, int line, const char*) VL_MT_UNSAFE {
    throw std::runtime_error(std::string("the design called $finish at ") + file + ":" + std::to_string(line));
}
void vl_stop(const char* file, int line, const char*) VL_MT_UNSAFE {
    throw std::runtime_error(std::string("the design stopped (a failed assertion or $stop) at ") + file + ":" +
                             std::to_string(line));
}
void vl_fatal(const char*, int, const char*, const char* message) VL_MT_UNSAFE { throw std::runtime_error(message); }

// ---- The structures below are mirrored by ctypes classes in sim/rtl/shim.py: change both together. ----

struct Signal {
    const char* name;
    void* data;
    uint32_t width;   // bits of one word
    uint32_t depth;   // words; 0: not a memory
    uint32_t output;  // 1: an output port
};

struct Lane {  // one payload port of a stream
    void* port;
    uint32_t bytes;  // what Verilator keeps it in: 1, 2, 4, 8, or whole 32-bit words
    uint32_t words;  // its share of a beat
};

struct Stream {
    uint8_t* valid;
    uint8_t* ready;  // null: always ready
    const Lane* lanes;
    uint64_t lane_count;
    uint32_t* data;  // `beats` rows of `words`
    uint64_t words;
    uint64_t beats;
    uint64_t done;     // cycles in which a beat was transferred; more than `beats` where an output is always ready
    uint64_t stalled;  // cycles with valid and not ready
    uint64_t idle;     // cycles without valid
    uint64_t random;   // state of the generator; not zero
    uint64_t earliest;  // inputs: the cycle of the job from which on the next beat may be offered
    uint64_t period;    // inputs: cycles from a transfer to the next offer, at least
    uint32_t hold;     // withhold valid (an input) or ready (an output) where a random 32-bit number is below this
    uint32_t pending;  // valid was up at the end of the last cycle and no transfer followed
    uint32_t* held;    // outputs: the payload of the pending beat; one more row behind it is scratch
};

struct Job {
    Stream* inputs;
    Stream* outputs;
    uint64_t input_count;
    uint64_t output_count;
    uint64_t cycles;
    uint64_t quiet;      // cycles since the last transfer
    uint64_t max_quiet;  // give up after so many
    uint64_t awaited;    // beats still to come before the job is done
    uint64_t culprit;    // index of the output stream that broke a rule
};

enum Status : int { kSlice, kDone, kStuck, kWithdrawn, kChanged, kWaits, kError };

struct Instance {
    VerilatedContext context;
    std::unique_ptr<Vgosset> top;
#if VM_TRACE
    std::unique_ptr<Waves> waves;
#endif
    std::vector<Signal> ports;
    std::vector<std::string> names;
    std::vector<Signal> internals;
    uint8_t* clock = nullptr;
    uint64_t cycles = 0;

    // Cycle n is the time from 2n to 2n+2: inputs settle under a low clock at 2n, the rising edge is at 2n+1.
    void dump([[maybe_unused]] uint64_t time) {
#if VM_TRACE
        if (waves) waves->dump(time);
#endif
    }

    // Settle everything that hangs on inputs combinationally, under a low clock, before the edge.
    void settle() {
        *clock = 0;
        top->eval();
    }

    void edge() {
        *clock = 1;
        top->eval();
        dump(2 * cycles + 1);
        ++cycles;
    }
};

namespace {

thread_local std::string error;

// Run `body`; an exception becomes `failed` and its text is kept for gosset_error.
template <typename Result, typename Body>
Result guarded(Result failed, Body body) {
    try {
        return body();
    } catch (const std::exception& exception) {
        error = exception.what();
        return failed;
    }
}

#if GOSSET_PUBLIC
bool is_bits(VerilatedVarType type) {
    return type == VLVT_UINT8 || type == VLVT_UINT16 || type == VLVT_UINT32 || type == VLVT_UINT64 || type == VLVT_WDATA;
}

void list_internals(Instance& model) {
    for (const auto& [scope_name, scope] : *model.context.scopeNameMap()) {
        if (!scope->varsp()) continue;
        for (const auto& [name, variable] : *scope->varsp()) {
            if (variable.isParam() || !is_bits(variable.vltype())) continue;
            uint32_t depth = variable.udims() ? 1 : 0;
            for (const auto& range : variable.unpackedRanges()) depth *= range.elements();
            model.names.push_back(std::string(scope_name) + "." + name);
            model.internals.push_back({nullptr, variable.datap(), variable.entBits(), depth, 0});
        }
    }
    for (size_t i = 0; i < model.names.size(); ++i) model.internals[i].name = model.names[i].c_str();
}
#endif

bool withheld(Stream& stream) {
    if (!stream.hold) return false;
    // xorshift64*: small, fast, and the same numbers on every machine.
    stream.random ^= stream.random >> 12;
    stream.random ^= stream.random << 25;
    stream.random ^= stream.random >> 27;
    return uint32_t((stream.random * 0x2545F4914F6CDD1DULL) >> 32) < stream.hold;
}

void put_payload(const Stream& stream, const uint32_t* row) {
    for (const Lane *lane = stream.lanes, *end = lane + stream.lane_count; lane != end; row += lane++->words) {
        switch (lane->bytes) {
        case 1: *static_cast<uint8_t*>(lane->port) = uint8_t(*row); break;
        case 2: *static_cast<uint16_t*>(lane->port) = uint16_t(*row); break;
        case 4: *static_cast<uint32_t*>(lane->port) = *row; break;
        default: std::memcpy(lane->port, row, lane->bytes);
        }
    }
}

void get_payload(const Stream& stream, uint32_t* row) {
    for (const Lane *lane = stream.lanes, *end = lane + stream.lane_count; lane != end; row += lane++->words) {
        switch (lane->bytes) {
        case 1: *row = *static_cast<const uint8_t*>(lane->port); break;
        case 2: *row = *static_cast<const uint16_t*>(lane->port); break;
        case 4: *row = *static_cast<const uint32_t*>(lane->port); break;
        default: std::memcpy(row, lane->port, lane->bytes);
        }
    }
}

// Offer the next beat unless one is pending: a raised valid stays, payload frozen, until the beat is taken.
void drive_input(Stream& stream, uint64_t now) {
    if (stream.pending) return;
    const bool offer = stream.done < stream.beats && now >= stream.earliest && !withheld(stream);
    if (offer) put_payload(stream, stream.data + stream.done * stream.words);
    *stream.valid = offer;
    stream.pending = offer;
}

// Beyond the awaited beats ready stays low: what follows is left for the next job.
void drive_output(Stream& stream) {
    if (stream.ready) *stream.ready = stream.done < stream.beats && !withheld(stream);
}

bool is_ready(const Stream& stream) { return !stream.ready || *stream.ready; }

// Returns whether a beat is transferred at the coming edge.
bool sample_input(Stream& stream, uint64_t now) {
    const bool transfer = stream.pending && is_ready(stream);
    if (transfer) stream.earliest = now + stream.period;
    stream.done += transfer;
    stream.stalled += stream.pending && !transfer;
    stream.idle += !stream.pending;
    stream.pending = stream.pending && !transfer;
    return transfer;
}

// Stream rule: valid never waits for ready. Where ready is withheld at random and valid is low, see what a high ready
// would have done; under a low clock this leaves no trace in the design.
bool waits_for_ready(Instance& model, Stream& stream) {
    if (!stream.hold || *stream.ready || *stream.valid || stream.done == stream.beats) return false;
    *stream.ready = 1;
    model.top->eval();
    const bool waits = *stream.valid;
    *stream.ready = 0;
    model.top->eval();
    return waits;
}

// Returns kDone where an awaited beat is transferred at the coming edge, kSlice where not, or the rule broken.
Status sample_output(Stream& stream) {
    if (stream.pending) {
        if (!*stream.valid) return kWithdrawn;
        uint32_t* const now = stream.held + stream.words;
        get_payload(stream, now);
        if (std::memcmp(now, stream.held, stream.words * sizeof(uint32_t))) return kChanged;
    }
    if (!*stream.valid) {
        ++stream.idle;
        return kSlice;
    }
    if (!is_ready(stream)) {
        ++stream.stalled;
        if (!stream.pending) get_payload(stream, stream.held);
        stream.pending = 1;
        return kSlice;
    }
    stream.pending = 0;
    if (stream.done++ >= stream.beats) return kSlice;
    get_payload(stream, stream.data + (stream.done - 1) * stream.words);
    return kDone;
}

// One clock cycle. Both sides of a handshake may be combinational functions of what this side drives (a ready from the
// valid and payload of any input and the ready of any output), so nothing of the design may be sampled before all of
// this side's signals are set and settled; and what decides about the transfer is the level right before the rising
// edge. What this side drives depends on earlier cycles only, hence one evaluation under the low clock settles the
// whole cycle. It is also the evaluation that shows Verilator the falling edge without which there is no rising one:
// two evaluations per cycle are both enough and the least.
Status cycle(Instance& model, Job& job) {
    Stream* const inputs_end = job.inputs + job.input_count;
    Stream* const outputs_end = job.outputs + job.output_count;
    for (Stream* stream = job.inputs; stream != inputs_end; ++stream) drive_input(*stream, job.cycles);
    for (Stream* stream = job.outputs; stream != outputs_end; ++stream) drive_output(*stream);
    model.settle();
    model.dump(2 * model.cycles);
    for (Stream* stream = job.outputs; stream != outputs_end; ++stream) {
        if (!waits_for_ready(model, *stream)) continue;
        job.culprit = stream - job.outputs;
        return kWaits;
    }
    uint64_t taken = 0, given = 0;
    for (Stream* stream = job.inputs; stream != inputs_end; ++stream) taken += sample_input(*stream, job.cycles);
    for (Stream* stream = job.outputs; stream != outputs_end; ++stream) {
        const Status status = sample_output(*stream);
        if (status > kDone) {
            job.culprit = stream - job.outputs;
            return status;
        }
        given += status == kDone;
    }
    model.edge();
    ++job.cycles;
    job.awaited -= job.output_count ? given : taken;
    job.quiet = taken + given ? 0 : job.quiet + 1;
    if (!job.awaited) return kDone;
    return job.quiet == job.max_quiet ? kStuck : kSlice;
}

}  // namespace

GOSSET_API const char* gosset_error() { return error.c_str(); }

// `clock`: name of the clock port, or null; `waves`: the file to write, or null. Returns null on failure.
GOSSET_API Instance* gosset_open(const char* clock, [[maybe_unused]] const char* waves) {
    return guarded<Instance*>(nullptr, [&] {
        auto model = std::make_unique<Instance>();
        Verilated::threadContextp(&model->context);
        model->context.traceEverOn(waves != nullptr);
        model->top = std::make_unique<Vgosset>(&model->context, "TOP");
        auto& top = *model->top;
        model->ports = {
#include "ports.inc"
        };
        for (const Signal& port : model->ports) {
            if (clock && !std::strcmp(port.name, clock)) model->clock = static_cast<uint8_t*>(port.data);
        }
#if GOSSET_PUBLIC
        list_internals(*model);
#endif
#if VM_TRACE
        if (waves) {
            model->waves = std::make_unique<Waves>();
            top.trace(model->waves.get(), 99);
            model->waves->open(waves);
        }
#endif
        top.eval();
        return model.release();
    });
}

GOSSET_API int gosset_close(Instance* model) {
    const std::unique_ptr<Instance> owner(model);
    return guarded<int>(kError, [&] {
        Verilated::threadContextp(&model->context);
        model->dump(2 * model->cycles);
        model->top->final();
        return kDone;
    });
}

GOSSET_API const Signal* gosset_ports(Instance* model, uint64_t* count) {
    *count = model->ports.size();
    return model->ports.data();
}

GOSSET_API const Signal* gosset_internals(Instance* model, uint64_t* count) {
    *count = model->internals.size();
    return model->internals.data();
}

GOSSET_API uint64_t gosset_cycles(const Instance* model) { return model->cycles; }

GOSSET_API int gosset_eval(Instance* model) {
    return guarded<int>(kError, [&] {
        Verilated::threadContextp(&model->context);
        model->top->eval();
        return kDone;
    });
}

GOSSET_API int gosset_tick(Instance* model, uint64_t cycles) {
    return guarded<int>(kError, [&] {
        Verilated::threadContextp(&model->context);
        while (cycles--) {
            model->settle();
            model->dump(2 * model->cycles);
            model->edge();
        }
        return kDone;
    });
}

// Go on with a job for at most `limit` cycles. Returns a Status; kSlice: not done yet.
GOSSET_API int gosset_run(Instance* model, Job* job, uint64_t limit) {
    return guarded<int>(kError, [&] {
        Verilated::threadContextp(&model->context);
        Status status = job->awaited ? kSlice : kDone;
        while (status == kSlice && limit--) status = cycle(*model, *job);
        return status;
    });
}

// Leave a job, done or not: lower every valid and ready that it drives.
GOSSET_API int gosset_park(Instance* model, Job* job) {
    for (uint64_t i = 0; i < job->input_count; ++i) *job->inputs[i].valid = 0;
    for (uint64_t i = 0; i < job->output_count; ++i) {
        if (job->outputs[i].ready) *job->outputs[i].ready = 0;
    }
    return gosset_eval(model);
}
