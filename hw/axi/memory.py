"""The accelerator with an AXI4 memory port: it fetches the operands of a job and writes its results by itself."""

from typing import Any, ClassVar

from amaranth import Cat, Const, DomainRenamer, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from golden.lattice import DIM
from golden.output import COLUMN_BITS, ROW_BITS
from hw.axi.bursts import WORDS_BITS
from hw.axi.codes import CodesOut
from hw.axi.core import Core, Top
from hw.axi.map import COLUMNS, ROWS, STRIDE_BITS, along, descriptor_layout
from hw.axi.ports import ADDRESS_BITS, RESPONSE_BITS, PortRegisters, forward, memory
from hw.axi.read import Reader, ReaderShape, ReadMaster, id_bits, operand_shapes, tag_bits
from hw.axi.ring import fetch_layout
from hw.axi.write import WriteMaster
from hw.design import LEAST_PREFETCH, DesignPoint
from hw.engine.accelerator import Routed, raw_sink
from hw.engine.counters import COUNTER_BITS
from hw.engine.output import OutputStage
from hw.engine.planner import FIELD_BITS
from hw.engine.sequencer import Engine
from hw.streams import broadcast
from hw.values import register


class Image(wiring.Component):
    """Where the planes of an operand are in memory.

    For each tile, one after the other: the plane of labels, then that of β indices. A plane is `words` words back to
    back, filled up to a whole beat of the bus. Takes a job every other cycle.

    Parameters
    ----------
    readers : dict of str to Reader
        Of the planes, in their order.
    apart : bool
        Whether the distance from tile to tile is given, in beats, instead of what the planes take.

    Members
    -------
    i : In(stream of address, tiles, words, and stride if they are apart)
    <name> : Out(stream of planes)
        What each reader is to fetch.
    """

    def __init__(self, readers: dict[str, Reader], *, apart: bool = False):
        self.readers, self.apart = readers, apart
        self.tag_bits = next(iter(readers.values())).shape.tag_bits
        others = {"stride": STRIDE_BITS} if apart else {}
        others |= {"tag": self.tag_bits} if self.tag_bits else {}
        operand = data.StructLayout({"address": ADDRESS_BITS, "tiles": FIELD_BITS, "words": WORDS_BITS} | others)
        members = {name: Out(stream.Signature(reader.shape.planes)) for name, reader in readers.items()}
        super().__init__({"i": In(stream.Signature(operand)), **members})

    def elaborate(self, platform: object) -> Module:
        """Beats of each plane, held; addresses and the stride from their sums."""
        m = Module()
        held = Signal(self.i.payload.shape(), reset_less=True)
        full = Signal()
        source = stream.Signature(0).create(path=("held",))
        m.d.comb += [self.i.ready.eq(~full), source.valid.eq(full)]
        with m.If(source.ready):
            m.d.sync += full.eq(0)
        with m.If(~full):  # taken along whether there is anything or not
            m.d.sync += [full.eq(self.i.valid), held.eq(self.i.payload)]

        address = held.address
        stride = 0
        ports = {name: getattr(self, name) for name in self.readers}
        for name, reader in self.readers.items():
            beats = Signal.like(ports[name].payload.beats, name=f"beats_{name}", reset_less=True)
            bus_bits = reader.bus_bits
            with m.If(self.i.ready):
                m.d.sync += beats.eq((self.i.payload.words * reader.word_bits + bus_bits - 1) >> exact_log2(bus_bits))
            m.d.comb += [
                ports[name].payload.address.eq(address),
                ports[name].payload.words.eq(held.words),
                ports[name].payload.beats.eq(beats),
                ports[name].payload.planes.eq(held.tiles),
            ]
            address = address + (beats << reader.offset_bits)
            stride = stride + beats
            if self.tag_bits:
                m.d.comb += ports[name].payload.tag.eq(held.tag)
        if self.apart:
            stride = held.stride
        m.d.comb += [port.payload.stride.eq(stride) for port in ports.values()]
        broadcast(m, source, {name: (port.valid, port.ready) for name, port in ports.items()})
        return m


class MemoryCore(Core):
    """Planner, engine, readers of the planes and a writer of the results.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    memory : Out(AXI4)
    fetch, words, came, lost : of a design with a ring of descriptors
        See `Control`.
    """

    ERRORS: ClassVar = {
        "read_error": "A read was answered by an error; the accelerator is halted.",
        "write_error": "A write was answered by an error; the accelerator is halted.",
    }
    FATAL: ClassVar = tuple(ERRORS)
    ADDRESSED: ClassVar = True

    def __init__(self, design: DesignPoint):
        members: dict[str, wiring.Member] = {"memory": Out(memory(design.bus_bits, id_bits(design)))}
        if design.ring:
            members |= {
                "fetch": In(stream.Signature(fetch_layout())),
                "words": Out(stream.Signature(design.bus_bits)),
                "came": Out(1),
                "lost": Out(1),
            }
        super().__init__(design, members)

    def elaborate(self, platform: object) -> Module:
        """Each job goes to the engine, to either operand's readers and to the writer."""
        m = Module()
        design = self.design
        plans, engine = self.place(m)
        plan = plans.payload
        places = data.View(along(design), plan.tag)

        shapes = operand_shapes(design) | finishing_shapes(design)
        if design.front_end:
            shapes[RAW] = raw_shape(design)
        if design.ring:
            shapes[RING] = ring_shape(design)
        m.submodules.read = reads = ReadMaster(shapes, design.axcache, id_bits(design))
        m.submodules.write = writes = WriteMaster(design)
        m.submodules.results = results = SyncFIFO(width=writes.place.size, depth=design.jobs)
        sinks = {"engine": _passing(m, "engine", engine.plan, plan.out if design.codes else None)}
        sinks["y"] = results.w_en, results.w_rdy
        for side, tiles, count, operand in (
            ("x", 1, plan.x_words, engine.x),
            ("w", plan.tiles, plan.w_words, engine.w),
        ):
            own = {name: reads.readers[name] for name in reads.readers if name.startswith(side)}
            m.submodules[f"image_{side}"] = image = Image(own)
            # Raw rows come another way; those that go to memory are multiplied by nothing.
            passed = {"x": plan.raw if design.front_end else None, "w": plan.out if design.codes else None}[side]
            sinks[side] = _passing(m, side, image.i, passed)
            m.d.comb += [
                image.i.payload.address.eq(places[side]),
                image.i.payload.tiles.eq(tiles),
                image.i.payload.words.eq(count),
            ]
            if design.diagnostics:
                m.d.comb += image.i.payload.tag.eq(places.tag)
            parts = []
            for name in own:
                wiring.connect(m, getattr(image, name), getattr(reads, f"{name}_job"))
                parts.append(getattr(reads, name))
                m.d.comb += operand.payload[name.removeprefix(f"{side}_")].as_value().eq(parts[-1].payload)
            valid = Cat(part.valid for part in parts).all()
            m.d.comb += operand.valid.eq(valid)
            m.d.comb += [part.ready.eq(valid & operand.ready) for part in parts]
        if design.front_end:
            sinks |= self._raw(m, plans, places, reads, engine, writes)
        results_of: Any = engine.acc
        if design.output:
            m.submodules.output = output = OutputStage(design)
            wanted_of = {COLUMNS: (plan.tiles * design.cols, output.columns)}
            if design.output.row_scales:
                wanted_of[ROWS] = (plan.rows, output.scales)
            for name, (count, words_of) in wanted_of.items():
                sinks[name] = self._finishing(m, plan, places, reads, name, count, words_of)
            wiring.connect(m, engine.acc, output.i)
            results_of = output.o
        broadcast(m, plans, sinks)

        m.d.comb += [engine.plan.payload[name].eq(plan[name]) for name in engine.plan.payload.shape().members]
        m.d.comb += [
            results.w_data.eq(
                Cat(
                    *(places[name] for name in along(design).members if name in ("y", "y_stride", "tag")),
                    *([plan.out] if design.codes else []),
                )
            ),
            writes.job.payload.as_value().eq(results.r_data),
            writes.job.valid.eq(results.r_rdy),
            results.r_en.eq(writes.job.ready),
            writes.rows.payload.values.eq(results_of.payload.values),
            *(writes.rows.payload[name].eq(results_of.payload[name]) for name in writes.ends if name != "stop"),
            *([writes.rows.payload.stop.eq(results_of.payload.stop if design.output else 1)] if design.strides else []),
            writes.rows.valid.eq(results_of.valid),
            results_of.ready.eq(writes.rows.ready),
            reads.halt.eq(self.halt),
            writes.halt.eq(self.halt),
            self.quiet.eq(reads.quiet & writes.quiet),
            self.done.eq(writes.done),
            self.errors.read_error.eq(reads.error),
            self.errors.write_error.eq(writes.error),
        ]
        if design.axprot:
            m.d.comb += [reads.memory.arprot.eq(design.axprot), writes.memory.awprot.eq(design.axprot)]
        forward(m, self.memory, reads.memory)
        forward(m, self.memory, writes.memory)
        if design.diagnostics:
            m.d.comb += [engine.freeze.eq(self.freeze), self.diagnosis.refused_tag.eq(places.tag)]
            self._diagnose(m, engine, reads, writes)
        if design.ring:
            self._ring(m, reads)
        return m

    def _ring(self, m: Module, reads: ReadMaster) -> None:
        """The reader of descriptors, each a plane and a burst of its own."""
        axi, planes, words = self.memory, getattr(reads, f"{RING}_job"), getattr(reads, RING)
        beats = descriptor_layout().size // self.design.bus_bits
        here = axi.rvalid & (axi.rid == list(reads.readers).index(RING))
        m.d.comb += [
            planes.payload.address.eq(self.fetch.payload.address),
            planes.payload.words.eq(beats),
            planes.payload.beats.eq(beats),
            planes.payload.planes.eq(1),
            *([planes.payload.tag.eq(self.fetch.payload.number)] if self.design.diagnostics else []),
            planes.valid.eq(self.fetch.valid),
            self.fetch.ready.eq(planes.ready),
            self.came.eq(here & axi.rlast),
            self.lost.eq(here & axi.rresp[1]),
        ]
        wiring.connect(m, words, wiring.flipped(self.words))

    def _diagnose(self, m: Module, engine: Engine, reads: ReadMaster, writes: WriteMaster) -> None:
        """Counters of the bus; whether anything moved; the job that is done; what an error was about."""
        axi, found, error = self.memory, self.diagnosis, self.diagnosis.error
        addressed, sent = axi.awvalid & axi.awready, axi.wvalid & axi.wready
        events = {
            "read_beats": axi.rvalid,
            "read_stalled": axi.arvalid & ~axi.arready,
            "read_waiting": reads.waiting & ~axi.rvalid,
            "write_beats": sent,
            "write_stalled": (axi.awvalid & ~axi.awready) | (axi.wvalid & ~axi.wready),
        }
        for name, event in events.items():
            count = Signal(COUNTER_BITS, name=f"count_{name}")
            m.d.comb += self.counters[name].eq(count)
            with m.If(register(m, name, event, reset_less=False) & ~self.freeze):
                m.d.sync += count.eq(count + 1)

        steps = register(m, "steps", engine.busy[0], reset_less=False)
        answered = axi.bvalid & axi.bready
        asked = axi.arvalid & axi.arready
        # What was fetched ahead may be more than is taken in a long time, and a burst of β indices long in the making.
        words = [engine.x, engine.w, *([getattr(reads, RAW)] if self.design.front_end else [])]
        words += [writes.codes] if self.design.codes else []
        taken = Cat(stream.valid & stream.ready for stream in words).any()
        m.d.sync += found.moved.eq(axi.rvalid | asked | addressed | sent | answered | taken | (engine.busy[0] ^ steps))

        late = register(m, "read_error", Cat(reads.error, axi.rresp, axi.rid), cycles=reads.ABOUT, reset_less=False)
        of_write, of_read = writes.about, reads.about
        m.d.comb += [
            found.done_tag.eq(of_write.tag),
            found.failed.eq(late[0] | writes.error),
            error.write.eq(writes.error),
            error.response.eq(Mux(writes.error, axi.bresp, late[1 : 1 + RESPONSE_BITS])),
            error.id.eq(Mux(writes.error, 0, late[1 + RESPONSE_BITS :])),
            error.tag.eq(Mux(writes.error, of_write.tag, of_read.tag)),
            error.address.eq(Mux(writes.error, of_write.address, of_read.address)),
        ]

    def _raw(
        self, m: Module, plans: Any, places: data.View, reads: ReadMaster, engine: Engine, writes: WriteMaster
    ) -> dict[str, tuple[Value, Value]]:
        """The front end between the reader of raw rows and the engine, or who writes; where plans go on their way to
        either: those of other jobs are passed over."""
        plan, design = plans.payload, self.design
        m.submodules.routed = routed = Routed(design)
        others: dict[str, tuple[Value, Value]] = {}
        if design.codes:
            m.submodules.codes = codes = CodesOut(design)
            wiring.connect(m, routed.blocks, codes.i)
            wiring.connect(m, codes.blocks, engine.blocks)
            wiring.connect(m, codes.o, writes.codes)
            others["codes"] = _passing(m, "codes", codes.job, ~plan.raw)
            m.d.comb += [
                codes.job.payload.rows.eq(plan.rows),
                codes.job.payload.words.eq(plan.x_words),
                codes.job.payload.out.eq(plan.out),
            ]
        else:
            wiring.connect(m, routed.blocks, engine.blocks)
        m.submodules.image_raw = image = Image({RAW: reads.readers[RAW]}, apart=True)
        wiring.connect(m, getattr(image, RAW), getattr(reads, f"{RAW}_job"))
        wanted, words = Signal(name="raw_wanted"), getattr(reads, RAW)
        m.d.comb += [
            image.i.valid.eq(wanted & plan.raw),
            image.i.payload.address.eq(places.x),
            image.i.payload.stride.eq(places.x_stride >> exact_log2(design.bus_bits // 8)),
            image.i.payload.tiles.eq(plan.rows),
            image.i.payload.words.eq(plan.most),
            *([image.i.payload.tag.eq(places.tag)] if design.diagnostics else []),
            routed.seed.eq(self.front_end.seed),
            Cat(routed.raw.payload.x.as_value(), routed.raw.payload.last).eq(words.payload),
            routed.raw.valid.eq(words.valid),
            words.ready.eq(routed.raw.ready),
            # No row goes out, and whoever gave the multipliers knows them.
            routed.multipliers.ready.eq(1),
            routed.codes.ready.eq(1),
        ]

        # The multiplier of a job, as often as it has rows.
        size = len(places.scale)
        m.submodules.scales = scales = SyncFIFO(width=size + len(plan.rows), depth=design.jobs)
        left = Signal(len(plan.rows))
        scaled = Signal(name="scales_wanted")
        m.d.comb += [
            scales.w_data.eq(Cat(places.scale, plan.rows)),
            scales.w_en.eq(scaled & plan.raw),
            routed.scale.valid.eq(left.any()),
            scales.r_en.eq(~left.any()),
        ]
        with m.If(left.any()):
            m.d.sync += left.eq(left - routed.scale.ready)
        with m.Elif(scales.r_rdy):
            m.d.sync += [left.eq(scales.r_data[size:]), routed.scale.payload.as_value().eq(scales.r_data[:size])]
        return others | {
            RAW: (wanted, image.i.ready | ~plan.raw),
            "scales": (scaled, scales.w_rdy | ~plan.raw),
            "rows": raw_sink(m, plans, routed),
        }

    def _finishing(
        self, m: Module, plan: Any, places: data.View, reads: ReadMaster, name: str, count: Value, sink: Any
    ) -> tuple[Signal, Value]:
        """The reader of columns' or rows' words, so many, for the output stage. Returns where plans go on their way to
        it: those of jobs that keep their rows are passed over."""
        m.submodules[f"image_{name}"] = image = Image({name: reads.readers[name]})
        wiring.connect(m, getattr(image, name), getattr(reads, f"{name}_job"))
        words, wanted = getattr(reads, name), Signal(name=f"{name}_wanted")
        passed = plan.keep if self.design.keep_rows else Const(0, 1)
        if self.design.codes:
            passed |= plan.out
        m.d.comb += [
            image.i.valid.eq(wanted & ~passed),
            image.i.payload.address.eq(places[name]),
            image.i.payload.tiles.eq(1),
            image.i.payload.words.eq(count),
            *([image.i.payload.tag.eq(places.tag)] if self.design.diagnostics else []),
            sink.payload.as_value().eq(words.payload),
            sink.valid.eq(words.valid),
            words.ready.eq(sink.ready),
        ]
        return wanted, image.i.ready | passed


def _passing(m: Module, name: str, sink: Any, passed: Value | None) -> tuple[Value, Value]:
    """Valid and ready of who takes plans, but for those that are passed over, if there are any."""
    if passed is None:
        return sink.valid, sink.ready
    wanted = Signal(name=f"{name}_wanted")
    m.d.comb += sink.valid.eq(wanted & ~passed)
    return wanted, sink.ready | passed


def finishing_shapes(design: DesignPoint) -> dict[str, ReaderShape]:
    """The readers of an output stage, of columns' words and of rows': they are few."""
    if not design.output:
        return {}
    jobs = design.jobs if design.prefetch > LEAST_PREFETCH else 0
    depth = max(LEAST_PREFETCH, 2 * design.burst)
    widths = {COLUMNS: COLUMN_BITS} | ({ROWS: ROW_BITS} if design.output.row_scales else {})
    return {
        name: ReaderShape(bits, design.bus_bits, design.burst, depth, jobs, tag_bits(design))
        for name, bits in widths.items()
    }


RAW = "raw"
"""The reader of raw rows."""


def raw_shape(design: DesignPoint) -> ReaderShape:
    """The reader of raw rows: a plane is a row, a word is a block of coordinates."""
    assert design.front_end is not None
    jobs, bits = design.jobs if design.prefetch > LEAST_PREFETCH else 0, DIM * design.front_end.raw_bits
    return ReaderShape(bits, design.bus_bits, design.burst, design.prefetch, jobs, tag_bits(design), marks=True)


RING = "ring"
"""The reader of descriptors."""


def ring_shape(design: DesignPoint) -> ReaderShape:
    """The reader of descriptors: a word is a beat, and several are asked for ahead."""
    depth = max(LEAST_PREFETCH, 2 * design.burst)
    return ReaderShape(design.bus_bits, design.bus_bits, design.burst, depth, design.jobs, tag_bits(design))


class AxiMemoryTop(Top):
    """Jobs by registers, with the addresses of operands and results in memory.

    Operand images are as `Image` says. The rows of results, `cols`·32 bits each, are written back to back.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    m_axi_mem : Out(AXI4)
    idle : Out(1), of a design with `idle`
        See `Control`.
    """

    KIND: ClassVar = "axi"
    CORE: ClassVar = MemoryCore

    def __init__(self, design: DesignPoint):
        self.port = memory(design.bus_bits, id_bits(design), design.address_bits)
        super().__init__(design, {"m_axi_mem": Out(self.port)} | ({"idle": Out(1)} if design.idle else {}))

    def elaborate(self, platform: object) -> Module:
        """The memory port goes straight to the core, or through registers."""
        m = super().elaborate(platform)
        inner: Any = self.core.memory
        if self.design.port_registers:
            registers = PortRegisters(self.port)
            m.submodules.port = DomainRenamer("core")(registers)
            forward(m, registers.inner, inner)
            inner = registers.outer
        forward(m, self.m_axi_mem, inner)
        control = m.submodules.control
        if self.design.ring:
            wiring.connect(m, control.fetch, self.core.fetch)
            wiring.connect(m, control.words, self.core.words)
            m.d.comb += [control.came.eq(self.core.came), control.lost.eq(self.core.lost)]
        if self.design.idle:
            m.d.comb += self.idle.eq(control.idle)
        return m
