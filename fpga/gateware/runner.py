"""Runs one job of the accelerator on operands in the board's memory."""

from amaranth import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, Mux, ResetSignal, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from fpga.gateware.memory import BoardMemory
from fpga.memory import MemoryShape
from hw.design import ACC_BITS, DesignPoint
from hw.engine.accelerator import Accelerator
from hw.engine.banks import w_word, x_word
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import ERRORS, FIELD_BITS
from hw.values import register, unreset, wire

PATIENCE = 16
"""A job is given up when nothing has moved for this many times the cycles in which a bank of activations is read."""

LEAST_PATIENCE = 1 << 14
"""But not in fewer cycles than this: planning takes some as well."""


class Fetcher(wiring.Component):
    """Reads the words of a stream from memory, one after the other, each in whole words of memory.

    Reads ahead: one word of the stream waits, and the next is put together.

    Parameters
    ----------
    shape : MemoryShape
    word_bits : int

    Members
    -------
    start : In(1), address : In
        A pulse, and where the first word is.
    read_valid, read_address : Out; read_ready : In
        Asks for a word of memory. Nothing outside memory is asked for.
    read_data : In
        The word of memory, `BoardMemory.LATENCY` cycles later.
    o : Out(stream of words)
    """

    def __init__(self, shape: MemoryShape, word_bits: int):
        self.shape, self.word_bits = shape, word_bits
        self.pieces = shape.words_of(word_bits)
        super().__init__(
            {
                "start": In(1),
                "address": In(shape.address_bits),
                "read_valid": Out(1),
                "read_ready": In(1),
                "read_address": Out(shape.address_bits),
                "read_data": In(shape.bits),
                "o": Out(stream.Signature(word_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Pieces asked for and not yet in a word that waits: as many as make one, or two of them while none waits."""
        m = Module()
        pieces, bits = self.pieces, self.shape.bits
        # Outside memory until it begins.
        address = Signal(self.shape.address_bits + 1, init=1 << self.shape.address_bits)
        asked = Signal(range(2 * pieces + 1))
        gathered = Signal(range(pieces + 1))
        parts = Signal(pieces * bits, reset_less=True)  # the last pieces that came, the newest at the high end
        word = Signal(self.word_bits, reset_less=True)
        waits = Signal()

        asks = Signal()
        arrives = register(m, "asks", asks, cycles=BoardMemory.LATENCY, reset_less=False)
        moves = Signal()
        m.d.comb += [
            self.read_valid.eq(~address[-1] & (asked < Mux(waits, pieces, 2 * pieces))),
            self.read_address.eq(address),
            asks.eq(self.read_valid & self.read_ready),
            moves.eq((gathered == pieces) & ~waits),
            self.o.valid.eq(waits),
            self.o.payload.eq(word),
        ]
        m.d.sync += [
            asked.eq(Mux(moves, asked - pieces, asked) + asks),
            gathered.eq(Mux(moves, 0, gathered) + arrives),
        ]
        with m.If(asks):
            m.d.sync += address.eq(address + 1)
        with m.If(arrives):
            m.d.sync += parts.eq(Cat(parts, self.read_data)[bits:])
        with m.If(moves):
            m.d.sync += [word.eq(parts), waits.eq(1)]
        with m.Elif(self.o.ready):
            m.d.sync += waits.eq(0)
        with m.If(self.start):
            m.d.sync += address.eq(self.address)
        return m


class Runner(wiring.Component):
    """The accelerator, in reset unless a job runs, and what brings its operands and takes its results.

    Parameters
    ----------
    design : DesignPoint
        Without a front end.
    shape : MemoryShape
        Of the memory. Every word of a stream, and every row of results, begins at a word of memory.

    Members
    -------
    start : In(1)
        A pulse; the job is held until it ends.
    job : In(rows, tiles, steps, int8)
    x, w, y : In
        Addresses of activations, weights and results.
    done : Out(1)
        A pulse after the end.
    refused : Out
        With it: the bits of `hw.engine.planner.ERRORS`, if the job is none.
    stuck : Out(1)
        With it: whether the job came to nothing.
    counters : Out
        Cycles by cause, `hw.engine.counters.COUNTERS`.
    write, write_address, write_data, read_address : Out; read_data : In
        To the memory.
    """

    def __init__(self, design: DesignPoint, shape: MemoryShape):
        self.design, self.shape = design, shape
        fields = {"rows": FIELD_BITS, "tiles": FIELD_BITS, "steps": FIELD_BITS, "int8": 1}
        super().__init__(
            {
                "start": In(1),
                "job": In(data.StructLayout(fields)),
                **{side: In(shape.address_bits) for side in "xwy"},
                "done": Out(1),
                "refused": Out(len(ERRORS)),
                "stuck": Out(1),
                "counters": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))),
                "write": Out(1),
                "write_address": Out(shape.address_bits),
                "write_data": Out(shape.bits),
                "read_address": Out(shape.address_bits),
                "read_data": In(shape.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Accelerator; fetchers; the way of the results; the end."""
        m = Module()
        shape = self.shape
        running = Signal()
        # Not a ResetInserter: units that are instances have registers that it does not reach. The reset is a register,
        # for what it resets is everywhere.
        reset = Signal(init=1, reset_less=True)
        m.d.sync += reset.eq(~running)
        m.domains += ClockDomain("job", local=True)
        m.d.comb += [ClockSignal("job").eq(ClockSignal()), ResetSignal("job").eq(reset)]
        for_job = DomainRenamer("job")
        accelerator = Accelerator(self.design)
        m.submodules.accelerator = for_job(accelerator)
        m.d.comb += [getattr(self.counters, name).eq(getattr(accelerator, name)) for name in COUNTERS]

        begun = Signal()
        offered = Signal(init=1)
        m.d.job += begun.eq(1)
        m.d.comb += [accelerator.job.payload[name].eq(self.job[name]) for name in self.job.shape().members]
        m.d.comb += accelerator.job.valid.eq(offered)
        with m.If(accelerator.job.ready):
            m.d.job += offered.eq(0)

        # Activations are asked for first: a job begins with them.
        fetchers = {}
        readable = ~self.write if shape.spram else 1
        for side, word in (("x", x_word(self.design)), ("w", w_word(self.design))):
            fetcher = Fetcher(shape, word.size)
            m.submodules[f"fetch_{side}"] = for_job(fetcher)
            fetchers[side] = fetcher
            port = getattr(accelerator, side)
            m.d.comb += [
                fetcher.start.eq(~begun),
                fetcher.address.eq(getattr(self, side)),
                fetcher.read_data.eq(self.read_data),
                port.payload.as_value().eq(fetcher.o.payload),
                port.valid.eq(fetcher.o.valid),
                fetcher.o.ready.eq(port.ready),
                fetcher.read_ready.eq(readable & (1 if side == "x" else ~fetchers["x"].read_valid)),
            ]
        x, w = fetchers["x"], fetchers["w"]
        m.d.comb += self.read_address.eq(Mux(x.read_valid, x.read_address, w.read_address))

        ended, outside = self._results(m, accelerator, running)
        quiet = Signal(range(max(PATIENCE * self.design.x_depth, LEAST_PATIENCE)), reset_less=True)
        streams = (accelerator.x, accelerator.w, accelerator.acc)
        moves = register(m, "moves", Cat(s.valid & s.ready for s in streams).any())
        m.d.sync += quiet.eq(Mux(moves | ~running, 0, quiet + 1))
        hopeless = wire(m, "hopeless", outside | quiet.all())
        ends = wire(m, "ends", running & (ended | hopeless | accelerator.errors.any()))
        m.d.sync += [
            unreset(m, self.done).eq(ends),
            unreset(m, self.stuck).eq(hopeless),
            unreset(m, self.refused).eq(accelerator.errors),
        ]
        m.d.sync += running.eq((running | self.start) & ~ends)
        return m

    def _results(self, m: Module, accelerator: Accelerator, running: Signal) -> tuple[Signal, Signal]:
        """Writes rows of results word by word while a job is `running`; returns pulses: the job's last word is written,
        or is outside memory."""
        bits, pieces = self.shape.bits, self.shape.words_of(ACC_BITS * self.design.cols)
        row = Signal(pieces * bits, reset_less=True)
        left = Signal(range(pieces + 1), reset_less=True)
        end = Signal(reset_less=True)
        address = Signal(self.shape.address_bits + 1, reset_less=True)
        ended = Signal()
        outside = Signal()
        acc = accelerator.acc
        next_row = Signal(acc.payload.shape(), reset_less=True)  # what comes out of the accelerator's memory is late
        waits = Signal(reset_less=True)
        free = Signal()
        m.d.comb += [
            free.eq(1 if pieces == 1 else left <= 1),
            self.write.eq(left.any() & ~address[-1]),
            self.write_address.eq(address),
            self.write_data.eq(row),
            acc.ready.eq(~waits | free),
            outside.eq(left.any() & address[-1]),
            ended.eq((left == 1) & end),
        ]
        with m.If(left.any()):
            m.d.sync += [row.eq(row >> bits), left.eq(left - 1), address.eq(address + 1)]
        with m.If(waits & free):
            m.d.sync += [row.eq(next_row.values.as_value()), left.eq(pieces), end.eq(next_row.end)]
        with m.If(acc.ready):
            m.d.sync += [next_row.eq(acc.payload), waits.eq(acc.valid)]
        with m.If(~running):
            m.d.sync += [waits.eq(0), left.eq(0), end.eq(0), address.eq(self.y)]
        return ended, outside
