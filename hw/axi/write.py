"""Rows of results written to memory through an AXI4 write port."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.codes import codes_beat
from hw.axi.gearbox import Gearbox
from hw.axi.map import STRIDE_BITS, TAG_BITS
from hw.axi.ports import ADDRESS_BITS, INCR, write
from hw.axi.read import id_bits
from hw.design import ACC_BITS, DesignPoint
from hw.streams import BlockQueue

LEAST_OUTSTANDING = 8
"""Bursts that can wait for a response, at least."""


def outstanding(design: DesignPoint) -> int:
    """Bursts that can wait for a response: as many as a reader asks for ahead."""
    return max(LEAST_OUTSTANDING, design.prefetch // design.burst)


def result_word_bits(design: DesignPoint) -> int:
    """Bits of results that come at a time: a row of accumulators, or one result of an output stage."""
    return design.result_bits if design.output else ACC_BITS * design.cols


class WriteMaster(wiring.Component):
    """Writes the rows of jobs back to back, each job from an address of its own; or, of designs with `strides`, where
    the job's stride is not zero, each row of a tile so many bytes after the one before it, and each tile beside the one
    before it.

    With an output stage what comes is no row but one result.

    A burst is offered when all of its data are there, so that it never holds up the bus. All bursts are of ID 0, and
    are answered in their order.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    memory : Out(AXI4)
        The channels that write.
    job : In(stream of address, and stride and tag if there are any, and coded)
        Addresses and strides are multiples of the bus width. What is `coded` comes on `codes` instead of `rows`.
    rows : In(stream of values, end, and kept if there are jobs that keep; last and stop if there are strides)
        `end` marks the last row of a job; with `kept` it is none, and all that there is of the job. `last` marks the
        last row of a tile, `stop` the last result of a row.
    codes : In(stream of beats), of designs that write codes
    halt : In(1)
        No burst is begun from the next cycle on.
    quiet : Out(1)
        No burst lacks its response, and none is begun.
    error : Out(1)
        A response was an error.
    done : Out(1)
        The last burst of a job was answered, and none since reset by an error; or one that keeps its rows is next.
    about : Out(address, tag), of a design with diagnostics
        Of the burst that is answered, or of the job that is done.
    """

    def __init__(self, design: DesignPoint):
        row_bits, bus_bits = result_word_bits(design), design.bus_bits
        self.row_bits, self.bus_bits, self.burst, self.axcache = row_bits, bus_bits, design.burst, design.axcache
        self.outstanding = outstanding(design)
        kept, strides = ("kept",) if design.keep_rows else (), ("last", "stop") if design.strides else ()
        self.ends = ("end", *kept, *strides)
        """Fields of a row beside its values."""
        self.tile_bits = design.cols * design.result_bits
        stride = {"stride": STRIDE_BITS} if design.strides else {}
        tag = {"tag": TAG_BITS} if design.diagnostics else {}
        coded = {"coded": 1} if design.codes else {}
        self.place = data.StructLayout({"address": ADDRESS_BITS} | stride | tag | coded)
        """Where the results of a job go to."""
        self.burst_place = data.StructLayout({"address": ADDRESS_BITS} | tag)
        """Where a burst of them goes to."""
        super().__init__(
            {
                "memory": Out(write(bus_bits, id_bits(design))),
                "job": In(stream.Signature(self.place)),
                "rows": In(stream.Signature(data.StructLayout({"values": row_bits, **dict.fromkeys(self.ends, 1)}))),
                **({"codes": In(stream.Signature(codes_beat(design)))} if coded else {}),
                "halt": In(1),
                "quiet": Out(1),
                "error": Out(1),
                "done": Out(1),
                **({"about": Out(self.burst_place)} if tag else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Joining rows into beats; collecting beats into bursts; the three channels."""
        m = Module()
        axi, burst_beats, offset_bits = self.memory, self.burst, exact_log2(self.bus_bits // 8)

        # A row that is none is all there is of its job: it is taken when nothing of the job before is left.
        keeps = "kept" in self.ends
        none = self.rows.payload.kept if keeps else Const(0, 1)
        kept = Signal()
        strides = "stop" in self.ends
        m.submodules.gearbox = gearbox = Gearbox(self.row_bits, self.bus_bits, padded=strides)
        active = Signal()
        taken = Signal()
        # Beats come out of the gearbox, or are codes.
        beat, offered, of_rows = gearbox.o.payload, gearbox.o.valid, active
        codes = "coded" in self.place.members
        if codes:
            coded = Signal(reset_less=True)
            beat = Signal(gearbox.o.payload.shape())
            of_rows = active & ~coded
            m.d.comb += beat.eq(gearbox.o.payload)
            with m.If(coded):
                m.d.comb += [beat.data.eq(self.codes.payload.data), beat.units.eq(-1)]
                m.d.comb += beat.last.eq(self.codes.payload.last)
            offered = Mux(coded, self.codes.valid, gearbox.o.valid)
        stops, finished = self.rows.payload.end, beat.last
        may, joins = self.rows.valid, gearbox.i.ready
        if strides:  # a word is looked at when the stride is known that goes with it
            may, joins = may & of_rows, joins & of_rows
            stops, finished, jumps, place = self._rows(m, gearbox, beat, taken)
        m.d.comb += [
            gearbox.i.payload.data.eq(self.rows.payload.values),
            gearbox.i.payload.last.eq(stops),
            gearbox.i.valid.eq(may & ~none if keeps else may),
            self.rows.ready.eq(Mux(none, kept, joins) if keeps else joins),
        ]

        beats_layout = data.StructLayout({"data": self.bus_bits, "units": len(beat.units), "last": 1})
        m.submodules.beats = beats = BlockQueue(width=beats_layout.size, depth=2 * burst_beats)
        burst_layout = data.StructLayout({"at": ADDRESS_BITS - offset_bits, "more": range(burst_beats)})
        m.submodules.bursts = bursts = SyncFIFO(width=burst_layout.size, depth=self.outstanding)
        tags = self.burst_place.size - ADDRESS_BITS
        about_bits = ADDRESS_BITS - offset_bits + tags if tags else 0
        flags = 1 + keeps
        m.submodules.answers = answers = SyncFIFO(width=flags + about_bits, depth=self.outstanding)

        # Room is known a cycle ahead: what comes meanwhile counts, what goes does not yet.
        room = Signal()
        more = Cat(
            (queue.level < depth - 1) | ((queue.level == depth - 1) & ~queue.w_en)
            for queue, depth in (
                (beats, 2 * burst_beats),
                (bursts, self.outstanding),
                (answers, self.outstanding),
            )
        )
        halted = Signal()
        m.d.sync += [room.eq(more.all() & ~self.halt), halted.eq(self.halt)]

        # A burst goes from `first` to `at`, and ends with the job or at a multiple of as many beats as it may have.
        first = Signal(ADDRESS_BITS - offset_bits, reset_less=True)
        about = [first, Signal(tags, name="tag", reset_less=True)] if tags else []
        at = Signal(ADDRESS_BITS - offset_bits, reset_less=True)
        ends = Signal()
        m.d.comb += [
            gearbox.o.ready.eq(of_rows & room),
            taken.eq(offered & active & room if codes else gearbox.o.valid & gearbox.o.ready),
            ends.eq(beat.last | at[: exact_log2(burst_beats)].all()),
            beats.w_data.eq(Cat(beat.data, beat.units, ends)),
            beats.w_en.eq(taken),
            bursts.w_data.eq(Cat(first, (at - first)[: exact_log2(burst_beats)])),
            bursts.w_en.eq(taken & ends),
            answers.w_data.eq(Cat(finished, *([kept] if keeps else []), *about)),
            answers.w_en.eq((taken & ends) | kept if keeps else taken & ends),
            self.job.ready.eq(~active),
        ]
        with m.If(taken):
            m.d.sync += at.eq(at + 1)
            with m.If(ends):
                m.d.sync += first.eq(at + 1)
            with m.If(finished):
                m.d.sync += active.eq(0)
        if codes:
            m.d.comb += self.codes.ready.eq(active & coded & room)
        if strides:
            with m.If(jumps):
                m.d.sync += [first.eq(place), at.eq(place)]
        if keeps:
            m.d.comb += kept.eq(self.rows.valid & none & of_rows & ~gearbox.o.valid & room)
            with m.If(kept):
                m.d.sync += active.eq(0)
        with m.If(~active):  # taken along whether there is anything or not
            begin = self.job.payload.address[offset_bits:]
            m.d.sync += [active.eq(self.job.valid), first.eq(begin), at.eq(begin)]
            if about:
                m.d.sync += about[1].eq(self.job.payload.tag)
            if codes:
                m.d.sync += coded.eq(self.job.payload.coded)

        # Addresses and data go their own ways.
        burst, out = data.View(burst_layout, bursts.r_data), data.View(beats_layout, beats.r_data)
        complete = Signal(range(self.outstanding + 1))  # bursts of which data are to be sent
        sent = Signal()
        m.d.comb += [
            axi.awvalid.eq(bursts.r_rdy),
            bursts.r_en.eq(axi.awready),
            axi.awaddr.eq(burst.at << offset_bits),
            axi.awlen.eq(burst.more),
            axi.awsize.eq(offset_bits),
            axi.awburst.eq(INCR),
            axi.awcache.eq(self.axcache),
            axi.wvalid.eq(beats.r_rdy & complete.any()),
            beats.r_en.eq(axi.wready & complete.any()),
            axi.wdata.eq(out.data),
            # Zero when nothing is offered: were its bits plain copies of each other, wstrb would look like a loop.
            axi.wstrb.eq(Mux(axi.wvalid, Cat(unit.replicate(gearbox.unit_bits // 8) for unit in out.units), 0)),
            axi.wlast.eq(out.last),
            sent.eq(axi.wvalid & axi.wready & axi.wlast),
        ]
        m.d.sync += complete.eq(complete + bursts.w_en - sent)

        failed = Signal()
        with m.If(self.error):
            m.d.sync += failed.eq(1)
        none_next = answers.r_rdy & answers.r_data[1] if keeps else Const(0, 1)
        answered = axi.bvalid & axi.bready if keeps else axi.bvalid
        done = answered & answers.r_data[0] & ~self.error & ~failed
        m.d.comb += [
            axi.bready.eq(~none_next if keeps else 1),
            answers.r_en.eq(answered | none_next if keeps else answered),
            self.error.eq(answered & axi.bresp[1]),
            self.done.eq(done | (none_next & ~failed) if keeps else done),
            self.quiet.eq(~answers.r_rdy & halted),
        ]
        if about:
            m.d.comb += Cat(self.about.address[offset_bits:], self.about.tag).eq(answers.r_data[flags:])
        return m

    def _rows(self, m: Module, gearbox: Gearbox, beat: Any, taken: Signal) -> tuple[Value, Value, Value, Value]:
        """Where rows begin, in units of the gearbox. Returns whether a word is the last of what is written back to
        back; whether a beat is the last of its job; whether the next one begins a row elsewhere, and there."""
        rows, given = self.rows.payload, self.job.payload
        inside, whole = exact_log2(self.bus_bits // gearbox.unit_bits), exact_log2(gearbox.unit_bits // 8)
        strided = Signal()
        stride = Signal(STRIDE_BITS - whole, reset_less=True)
        tile = Signal(ADDRESS_BITS - whole, reset_less=True)
        row = Signal.like(tile, reset_less=True)
        next_row = Signal.like(tile, reset_less=True)  # known a cycle after the row, which takes two at least
        next_tile = Signal.like(tile, reset_less=True)
        last = Signal()
        job_ends = Signal()
        then = Signal.like(tile)
        jumps = Signal()
        goes_on = strided & ~job_ends
        m.d.comb += [
            then.eq(Mux(last, next_tile, next_row)),
            jumps.eq(taken & beat.last & goes_on),
            gearbox.pad.eq(Mux(goes_on, then[:inside], 0)),
        ]
        m.d.sync += [next_row.eq(row + stride), next_tile.eq(tile + self.tile_bits // gearbox.unit_bits)]
        with m.If(gearbox.i.valid & gearbox.i.ready):
            m.d.sync += [last.eq(rows.last), job_ends.eq(rows.end)]
        with m.If(jumps):
            m.d.sync += row.eq(then)
            with m.If(last):
                m.d.sync += tile.eq(then)
        with m.If(self.job.valid & self.job.ready):
            apart = given.stride.any() & ~given.coded if "coded" in self.place.members else given.stride.any()
            m.d.sync += [strided.eq(apart), stride.eq(given.stride >> whole)]
            m.d.sync += [row.eq(given.address >> whole), tile.eq(given.address >> whole)]
        return Mux(strided, rows.stop, rows.end), beat.last & (job_ends | ~strided), jumps, then[inside:]
