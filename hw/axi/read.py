"""Planes of words fetched from memory through one AXI4 read port."""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from hw.axi.gearbox import Gearbox
from hw.axi.ports import ADDRESS_BITS, INCR, read
from hw.design import LEAST_PREFETCH, DesignPoint
from hw.engine.planner import FIELD_BITS
from hw.streams import broadcast

ID_BITS = 2
"""Bits of ARID and AWID: a number for each of four readers."""

WORDS_BITS = FIELD_BITS + 5
"""Bits of the number of words of a plane: steps times, for a weight-stationary array, up to 32 rows."""


def beats_of(words: int, word_bits: int, bus_bits: int) -> int:
    """Beats of the bus that a plane of words takes."""
    return -(-words * word_bits // bus_bits)


def planes_layout(word_bits: int, bus_bits: int) -> data.StructLayout:
    """What a reader fetches: `planes` planes of `words` words, which take `beats` beats each.

    The first begins at `address`, a multiple of the bus width, and each of the others `stride` beats after the one
    before it.
    """
    beats = bits_for(beats_of((1 << WORDS_BITS) - 1, word_bits, bus_bits))
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "words": WORDS_BITS,
            "beats": beats,
            "stride": beats + 1,
            "planes": FIELD_BITS,
        }
    )


@dataclass(frozen=True)
class ReaderShape:
    """What a reader is made for.

    Attributes
    ----------
    word_bits, bus_bits : int
    burst : int
        The most beats of a burst.
    depth : int
        Beats that its queue has room for.
    jobs : int
        Jobs that it can ask for ahead of the one whose words it hands out. If 0, one, which needs no queue.
    """

    word_bits: int
    bus_bits: int
    burst: int
    depth: int
    jobs: int


def reader_shapes(design: DesignPoint, word: data.StructLayout) -> dict[str, ReaderShape]:
    """The reader of each plane of an operand, by the plane's name.

    That of the widest plane asks for `prefetch` beats ahead, and any other one for what comes in the same time, a burst
    more, in whole bursts.
    """
    burst, widths = design.burst, {name: field.width for name, field in word}
    widest = max(widths.values())
    jobs = design.jobs if design.prefetch > LEAST_PREFETCH else 0
    shapes = {}
    for name, bits in widths.items():
        share = (-(-design.prefetch * bits // (widest * burst)) + 1) * burst
        depth = design.prefetch if bits == widest else max(LEAST_PREFETCH, 2 * burst, share)
        shapes[name] = ReaderShape(bits, design.bus_bits, burst, depth, jobs)
    return shapes


class Reader(wiring.Component):
    """Fetches planes and hands out their words.

    Asks for a burst when its own queue has room for all of it, so that what comes back never has to wait. Bursts end at
    multiples of their greatest length, and so never cross 4 KiB.

    Parameters
    ----------
    shape : ReaderShape

    Members
    -------
    job : In(stream of planes)
    request : Out(stream of address, in beats, and length)
    beat : In(bus_bits)
    push : In(1)
        A beat has come back.
    o : Out(stream of words)
    """

    def __init__(self, shape: ReaderShape):
        self.shape, self.word_bits, self.bus_bits = shape, shape.word_bits, shape.bus_bits
        bus_bits, burst = shape.bus_bits, shape.burst
        self.offset_bits = exact_log2(bus_bits // 8)
        super().__init__(
            {
                "job": In(stream.Signature(planes_layout(shape.word_bits, bus_bits))),
                "request": Out(stream.Signature(request_layout(bus_bits, burst))),
                "beat": In(bus_bits),
                "push": In(1),
                "o": Out(stream.Signature(shape.word_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Asking; the queue; cutting beats into words."""
        m = Module()
        job = self.job.payload
        ask_valid = Signal()
        ask_ready = Signal()
        cut_valid = Signal()
        cut_ready = Signal()
        to_cut = job
        if self.shape.jobs:
            shapes = job.shape().members
            to_cut = Signal(data.StructLayout({name: shapes[name] for name in ("words", "planes")}), name="to_cut")
            m.submodules.jobs = jobs = SyncFIFO(width=len(to_cut.as_value()), depth=self.shape.jobs)
            m.d.comb += [jobs.w_data.eq(Cat(job.words, job.planes)), to_cut.as_value().eq(jobs.r_data)]
            m.d.comb += [cut_valid.eq(jobs.r_rdy), jobs.r_en.eq(cut_ready)]
            broadcast(m, self.job, {"ask": (ask_valid, ask_ready), "cut": (jobs.w_en, jobs.w_rdy)})
        else:
            broadcast(m, self.job, {"ask": (ask_valid, ask_ready), "cut": (cut_valid, cut_ready)})

        burst, depth = self.shape.burst, self.shape.depth
        m.submodules.queue = queue = SyncFIFOBuffered(width=self.bus_bits, depth=depth)
        m.d.comb += [queue.w_data.eq(self.beat), queue.w_en.eq(self.push)]

        # Asking: `plane` is where the present plane begins, `at` and `left` what of it has not been asked for.
        asking = Signal()
        plane = Signal(ADDRESS_BITS - self.offset_bits)
        at = Signal(ADDRESS_BITS - self.offset_bits)
        left = Signal.like(job.beats)
        beats = Signal.like(job.beats)
        stride = Signal.like(job.stride)
        planes = Signal(FIELD_BITS)
        length = Signal(range(burst + 1))
        room = Signal(range(depth + 1), init=depth)
        to_boundary = Signal(range(burst + 1))
        asked = Signal()
        m.d.comb += [
            ask_ready.eq(~asking),
            to_boundary.eq(burst - at[: exact_log2(burst)]),
            length.eq(Mux(left < to_boundary, left, to_boundary)),
            self.request.payload.at.eq(at),
            self.request.payload.length.eq(length),
            self.request.valid.eq(asking & (room >= length)),
            asked.eq(self.request.valid & self.request.ready),
        ]
        m.d.sync += room.eq(room - Mux(asked, length, 0) + (queue.r_en & queue.r_rdy))
        with m.If(asked):
            m.d.sync += [at.eq(at + length), left.eq(left - length)]
            with m.If(left == length):
                m.d.sync += [plane.eq(plane + stride), at.eq(plane + stride), left.eq(beats), planes.eq(planes - 1)]
                with m.If(planes == 1):
                    m.d.sync += asking.eq(0)
        with m.If(ask_valid & ask_ready):
            m.d.sync += [
                asking.eq(1),
                plane.eq(job.address[self.offset_bits :]),
                at.eq(job.address[self.offset_bits :]),
                left.eq(job.beats),
                beats.eq(job.beats),
                stride.eq(job.stride),
                planes.eq(job.planes),
            ]

        # Cutting: the last beat of a plane is padded.
        m.submodules.gearbox = gearbox = Gearbox(self.bus_bits, self.word_bits)
        cutting = Signal()
        word = Signal(WORDS_BITS)
        words = Signal(WORDS_BITS)
        more = Signal(FIELD_BITS)
        cut = Signal()
        last = Signal()
        m.d.comb += [
            cut_ready.eq(~cutting),
            gearbox.i.payload.data.eq(queue.r_data),
            gearbox.i.valid.eq(queue.r_rdy & cutting),
            queue.r_en.eq(gearbox.i.ready & cutting),
            self.o.payload.eq(gearbox.o.payload.data),
            self.o.valid.eq(gearbox.o.valid & cutting),
            gearbox.o.ready.eq(self.o.ready & cutting),
            last.eq(word == 1),
            gearbox.drop.eq(last),
            cut.eq(self.o.valid & self.o.ready),
        ]
        with m.If(cut):
            m.d.sync += word.eq(word - 1)
            with m.If(last):
                m.d.sync += [word.eq(words), more.eq(more - 1)]
                with m.If(more == 1):
                    m.d.sync += cutting.eq(0)
        with m.If(cut_valid & cut_ready):
            m.d.sync += [cutting.eq(1), word.eq(to_cut.words), words.eq(to_cut.words), more.eq(to_cut.planes)]
        return m


def request_layout(bus_bits: int, burst: int) -> data.StructLayout:
    """A burst: where it begins, in beats of the bus, and its beats."""
    return data.StructLayout({"at": ADDRESS_BITS - exact_log2(bus_bits // 8), "length": range(burst + 1)})


class ReadMaster(wiring.Component):
    """Several readers behind one AXI4 read port; the number of a reader is its ARID.

    Parameters
    ----------
    shapes : dict of str to ReaderShape
        Of the readers, by name; all of one bus.
    axcache : int
        ARCACHE of all bursts.

    Members
    -------
    memory : Out(AXI4)
        The channels that read.
    <name>_job : In(stream of planes)
    <name> : Out(stream of words)
    halt : In(1)
        Nothing new is asked for.
    quiet : Out(1)
        Nothing that was asked for is missing.
    error : Out(1)
        A response was an error.
    """

    def __init__(self, shapes: dict[str, ReaderShape], axcache: int):
        self.readers = {name: Reader(shape) for name, shape in shapes.items()}
        self.bus_bits, self.axcache = next(iter(shapes.values())).bus_bits, axcache
        members: dict[str, wiring.Member] = {"memory": Out(read(self.bus_bits, ID_BITS))}
        for name, reader in self.readers.items():
            members |= {f"{name}_job": reader.signature.members["job"], name: reader.signature.members["o"]}
        super().__init__(members | {"halt": In(1), "quiet": Out(1), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Bursts in turn, of whoever asks; beats to whoever asked."""
        m = Module()
        axi, readers = self.memory, list(self.readers.items())
        m.d.comb += [
            axi.arsize.eq(exact_log2(self.bus_bits // 8)),
            axi.arburst.eq(INCR),
            axi.arcache.eq(self.axcache),
            axi.rready.eq(1),
            self.error.eq(axi.rvalid & axi.rresp[1]),
        ]
        for i, (name, reader) in enumerate(readers):
            m.submodules[name] = reader
            wiring.connect(m, wiring.flipped(getattr(self, f"{name}_job")), reader.job)
            wiring.connect(m, reader.o, wiring.flipped(getattr(self, name)))
            m.d.comb += [reader.beat.eq(axi.rdata), reader.push.eq(axi.rvalid & (axi.rid == i))]

        # Whoever asked last is the last to be asked.
        free = Signal()
        asks = Signal(len(readers))
        grant = Signal(len(readers))
        latest = Signal(range(len(readers)))
        m.d.comb += [
            free.eq(~self.halt & (~axi.arvalid | axi.arready)),
            asks.eq(Cat(reader.request.valid for _, reader in readers)),
        ]
        with m.Switch(latest):
            for i in range(len(readers)):
                with m.Case(i):
                    order = [(i + 1 + k) % len(readers) for k in range(len(readers))]
                    for k, j in enumerate(order):
                        m.d.comb += grant[j].eq(asks[j] & ~Cat(asks[before] for before in order[:k]).any())
        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        for i, (_, reader) in enumerate(readers):
            m.d.comb += reader.request.ready.eq(free & grant[i])
            with m.If(reader.request.valid & reader.request.ready):
                request = reader.request.payload
                m.d.sync += [
                    latest.eq(i),
                    axi.arvalid.eq(1),
                    axi.arid.eq(i),
                    axi.araddr.eq(request.at << reader.offset_bits),
                    axi.arlen.eq(request.length - 1),
                ]

        outstanding = Signal(range(sum(reader.shape.depth for _, reader in readers) + 1))
        m.d.sync += outstanding.eq(outstanding + (asks.any() & free) - (axi.rvalid & axi.rlast))
        m.d.comb += self.quiet.eq(outstanding == 0)
        return m
