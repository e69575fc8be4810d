"""Planes of words fetched from memory through one AXI4 read port."""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.bursts import WORDS_BITS, Bursts, burst_layout, planes_layout
from hw.axi.gearbox import Gearbox
from hw.axi.map import TAG_BITS
from hw.axi.ports import ADDRESS_BITS, INCR, read
from hw.design import LEAST_PREFETCH, DesignPoint
from hw.engine.banks import w_word, x_word
from hw.engine.planner import FIELD_BITS
from hw.streams import BlockQueue, Skid, broadcast
from hw.values import unreset


def id_bits(design: DesignPoint) -> int:
    """Bits of ARID and AWID."""
    return design.id_bits or design.least_id_bits


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
    tag_bits : int
        Of the tag of a job, which its bursts bear.
    marks : bool
        Whether a bit above each word says that it is the last one of its plane.
    """

    word_bits: int
    bus_bits: int
    burst: int
    depth: int
    jobs: int
    tag_bits: int = 0
    marks: bool = False

    @property
    def planes(self) -> data.StructLayout:
        """What it is to fetch."""
        return planes_layout(self.word_bits, self.bus_bits, self.tag_bits)

    @property
    def bursts(self) -> data.StructLayout:
        """What it asks for."""
        return burst_layout(self.bus_bits, self.burst, self.tag_bits)


def tag_bits(design: DesignPoint) -> int:
    """Bits of the tag of a job as far as the bus."""
    return TAG_BITS if design.diagnostics else 0


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
        shapes[name] = ReaderShape(bits, design.bus_bits, burst, depth, jobs, tag_bits(design))
    return shapes


def operand_shapes(design: DesignPoint) -> dict[str, ReaderShape]:
    """The readers of both operands: of each of their planes, those of activations first."""
    words = {"x": x_word(design), "w": w_word(design)}
    return {
        f"{side}_{name}": shape for side, word in words.items() for name, shape in reader_shapes(design, word).items()
    }


class Reader(wiring.Component):
    """Fetches planes and hands out their words.

    Asks for a burst when its own queue has room for all of it, so that what comes back never has to wait.

    Parameters
    ----------
    shape : ReaderShape

    Members
    -------
    job : In(stream of planes)
    request : Out(stream of bursts)
    beat : In(bus_bits)
    push : In(1)
        A beat has come back.
    o : Out(stream of words)
    """

    def __init__(self, shape: ReaderShape):
        self.shape, self.word_bits, self.bus_bits = shape, shape.word_bits, shape.bus_bits
        self.offset_bits = exact_log2(shape.bus_bits // 8)
        super().__init__(
            {
                "job": In(stream.Signature(shape.planes)),
                "request": Out(stream.Signature(shape.bursts)),
                "beat": In(shape.bus_bits),
                "push": In(1),
                "o": Out(stream.Signature(shape.word_bits + shape.marks)),
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

        depth = self.shape.depth
        m.submodules.queue = queue = BlockQueue(width=self.bus_bits, depth=depth)
        m.d.comb += [queue.w_data.eq(self.beat), queue.w_en.eq(self.push)]
        # Block memories are slow: a register behind them, and one for what is there when none is taken, so that a beat
        # leaves the queue without a look at the words.
        front = Signal(self.bus_bits, reset_less=True)
        spare = Signal(self.bus_bits, reset_less=True)
        has_front = Signal()
        has_spare = Signal()
        take = Signal()
        m.d.comb += queue.r_en.eq(~has_spare)
        with m.If(~has_spare):
            m.d.sync += [
                spare.eq(front),
                has_spare.eq(has_front & ~take & queue.r_rdy),
                has_front.eq(queue.r_rdy | (has_front & ~take)),
            ]
            with m.If(queue.r_rdy):
                m.d.sync += front.eq(queue.r_data)
        with m.Elif(take):
            m.d.sync += has_spare.eq(0)

        # Asking. Room for all of a burst is set aside a cycle before it is on offer; that of a beat which was taken
        # counts a cycle later.
        m.submodules.bursts = bursts = Bursts(self.word_bits, self.bus_bits, self.shape.burst, self.shape.tag_bits)
        burst = bursts.o.payload
        room = Signal(range(depth + 1), init=depth)
        rest = Signal(len(room) + 1)  # of it, less the next burst: negative if it has none
        freed = Signal()
        offer = Signal()
        asked = unreset(m, self.request.payload, "asked")
        m.d.comb += [
            bursts.i.payload.eq(job),
            bursts.i.valid.eq(ask_valid),
            ask_ready.eq(bursts.i.ready),
            # room + freed − (more + 1), in one subtraction: what is freed lends to the lowest bit.
            rest.eq((Cat(freed, room) - Cat(1, burst.more)) >> 1),
            offer.eq(bursts.o.valid & ~rest[-1] & ~self.request.valid),
            bursts.o.ready.eq(offer),
        ]
        m.d.sync += [freed.eq(queue.r_en & queue.r_rdy), room.eq(Mux(offer, rest[:-1], room + freed))]
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        with m.If(offer):
            m.d.sync += self.request.valid.eq(1)
        with m.If(~self.request.valid):  # taken along whether it is on offer or not, so that it does not wait for room
            m.d.sync += asked.eq(burst)

        # Cutting: the last beat of a plane is padded. Words wait in two places, so that no reader looks at another one.
        m.submodules.gearbox = gearbox = Gearbox(self.bus_bits, self.word_bits)
        m.submodules.words = out = Skid(self.word_bits + self.shape.marks)
        cutting = Signal()
        # Of a plane, less two, and what of them is left: the last one's sign.
        words = Signal(signed(WORDS_BITS + 1), reset_less=True)
        word = Signal.like(words, reset_less=True)
        more = Signal(FIELD_BITS, reset_less=True)
        cut = Signal()
        last = Signal()
        m.d.comb += [
            cut_ready.eq(~cutting),
            gearbox.i.payload.data.eq(Mux(has_spare, spare, front)),
            gearbox.i.valid.eq(has_front & cutting),
            take.eq(gearbox.i.ready & cutting),
            gearbox.o.ready.eq(out.i.ready & cutting),
            last.eq(word[-1]),
            gearbox.drop.eq(last),
            out.i.payload.eq(Cat(gearbox.o.payload.data, *([last] if self.shape.marks else []))),
            out.i.valid.eq(gearbox.o.valid & cutting),
            cut.eq(out.i.valid & out.i.ready),
        ]
        wiring.connect(m, out.o, wiring.flipped(self.o))
        with m.If(cut):
            m.d.sync += word.eq(word - 1)
            with m.If(last):
                m.d.sync += [word.eq(words), more.eq(more - 1)]
                with m.If(more == 1):
                    m.d.sync += cutting.eq(0)
        with m.If(cut_valid & cut_ready):
            m.d.sync += [cutting.eq(1), more.eq(to_cut.planes)]
            m.d.sync += [word.eq(to_cut.words - 2), words.eq(to_cut.words - 2)]
        return m


class ReadMaster(wiring.Component):
    """Several readers behind one AXI4 read port; the number of a reader is its ARID.

    Parameters
    ----------
    shapes : dict of str to ReaderShape
        Of the readers, by name; all of one bus.
    axcache : int
        ARCACHE of all bursts.
    id_bits : int
        Bits of ARID.

    Members
    -------
    memory : Out(AXI4)
        The channels that read.
    <name>_job : In(stream of planes)
    <name> : Out(stream of words)
    halt : In(1)
        Nothing new is asked for from the next cycle on.
    quiet : Out(1)
        Nothing that was asked for is missing, and nothing is asked for.
    error : Out(1)
        A response was an error.
    about : Out, of readers with tags
        What an error was about that came `ABOUT` cycles before: the address of its burst, and its tag.
    waiting : Out(1), of readers with tags
        Beats that were asked for are missing.
    """

    ABOUT = 3

    def __init__(self, shapes: dict[str, ReaderShape], axcache: int, id_bits: int):
        self.readers = {name: Reader(shape) for name, shape in shapes.items()}
        self.shape = shape = next(iter(shapes.values()))
        self.bus_bits, self.axcache = shape.bus_bits, axcache
        members: dict[str, wiring.Member] = {"memory": Out(read(self.bus_bits, id_bits))}
        for name, reader in self.readers.items():
            members |= {f"{name}_job": reader.signature.members["job"], name: reader.signature.members["o"]}
        if shape.tag_bits:
            about = data.StructLayout({"address": ADDRESS_BITS, "tag": shape.tag_bits})
            members |= {"about": Out(about), "waiting": Out(1)}
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

        # Who is next is known a cycle before its burst is taken, every other cycle; whoever was the last is the last to
        # be asked. The address is taken along whether anybody asks or not, so that it waits for nothing but the one
        # before it.
        halted = Signal()
        free = Signal()
        moves = Signal()
        chosen = Signal()
        turn = Signal(len(readers), init=1)  # of the one that is next, or was the last
        asks = Signal(len(readers))
        grant = Signal(len(readers))
        araddr, arid, arlen = (unreset(m, port) for port in (axi.araddr, axi.arid, axi.arlen))
        m.d.sync += halted.eq(self.halt)
        m.d.comb += [
            free.eq(~axi.arvalid | axi.arready),
            moves.eq(chosen & free & ~halted),
            asks.eq(Cat(reader.request.valid for _, reader in readers)),
        ]
        for j in range(len(readers)):
            others = [(j - k) % len(readers) for k in range(1, len(readers) + 1)]
            after = (turn[i] & ~Cat(asks[before] for before in others[:k]).any() for k, i in enumerate(others))
            m.d.comb += grant[j].eq(asks[j] & Cat(after).any())
        with m.If(~chosen):
            m.d.sync += [chosen.eq(asks.any()), turn.eq(Mux(asks.any(), grant, turn))]
        with m.Elif(moves):
            m.d.sync += chosen.eq(0)
        number: Value = Const(0)
        burst: Value = Const(0)
        for i, (_, reader) in enumerate(readers):
            number |= Mux(turn[i], i, 0)
            burst |= Mux(turn[i], reader.request.payload.as_value(), 0)
            m.d.comb += reader.request.ready.eq(moves & turn[i])
        taken = data.View(self.shape.bursts, burst)
        with m.If(free):
            m.d.sync += [
                axi.arvalid.eq(chosen & ~halted),
                arid.eq(number),
                araddr.eq(taken.at << exact_log2(self.bus_bits // 8)),
                arlen.eq(taken.more),
            ]

        outstanding = Signal(range(sum(reader.shape.depth for _, reader in readers) + 1))
        begun = Signal()
        ended = Signal()
        m.d.sync += [begun.eq(moves), ended.eq(axi.rvalid & axi.rlast)]
        with m.If(begun & ~ended):
            m.d.sync += outstanding.eq(outstanding + 1)
        with m.Elif(ended & ~begun):
            m.d.sync += outstanding.eq(outstanding - 1)
        m.d.comb += self.quiet.eq((outstanding == 0) & ~begun & halted)
        if self.shape.tag_bits:
            tag = Signal(self.shape.tag_bits, reset_less=True)
            with m.If(free):
                m.d.sync += tag.eq(taken.tag)
            self._remember(m, begun, Cat(axi.araddr, tag))
            m.d.comb += self.waiting.eq(outstanding.any())
        return m

    def _remember(self, m: Module, begun: Signal, what: Value) -> None:
        """What the bursts were that wait for their beats: those of an ID in their order, all IDs in one memory."""
        axi = self.memory
        places = 1 << max(reader.shape.depth - 1 for reader in self.readers.values()).bit_length()
        m.submodules.asked = memory = Memory(shape=len(what), depth=places * len(self.readers), init=[])
        write, read = memory.write_port(), memory.read_port()
        put, got = (
            [Signal(range(places), name=f"{name}_{i}") for i in range(len(self.readers))] for name in ("put", "got")
        )
        for i in range(len(self.readers)):
            m.d.sync += put[i].eq(put[i] + (begun & (axi.arid == i)))
            m.d.sync += got[i].eq(got[i] + (axi.rvalid & axi.rlast & (axi.rid == i)))
        # The place of the beat that came a cycle before, and what is there.
        place = Signal(len(read.addr), reset_less=True)
        m.d.sync += place.eq(Cat(Array(got)[axi.rid], axi.rid))
        m.d.comb += [
            write.addr.eq(Cat(Array(put)[axi.arid], axi.arid)),
            write.data.eq(what),
            write.en.eq(begun),
            read.addr.eq(place),
            read.en.eq((read.addr != write.addr) | ~begun),
        ]
        m.d.sync += unreset(m, self.about, "found").as_value().eq(read.data)
