"""Packed rows on their way to memory instead of into the array."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.axi.gearbox import Gearbox
from hw.design import DesignPoint
from hw.engine.banks import fill_by_block, x_lane
from hw.engine.follower import Follower
from hw.streams import packed_block


def codes_job(design: DesignPoint) -> data.StructLayout:
    """What a raw job says of its packed rows: how many there are, their words, and whether they go to memory."""
    return data.StructLayout(
        {"rows": range(design.panel_rows + 1), "words": range(design.x_depth + 1), "out": 1},
    )


def codes_beat(design: DesignPoint) -> data.StructLayout:
    """A beat of an image in memory; `last` marks that of the image."""
    return data.StructLayout({"data": design.bus_bits, "last": 1})


class CodesOut(wiring.Component):
    """Where the blocks of raw jobs go: on to the array, or, as an image of activations, to memory.

    Rows that go to memory fill a bank of their own, lane by lane, as others fill one of the engine's. When it is full
    its words come out as the planes of `hw.axi.memory.Image`: all labels, then all β indices if there are any, each
    filled up with zeros to a whole beat. Blocks wait meanwhile.

    Parameters
    ----------
    design : DesignPoint
        With a front end.

    Members
    -------
    job : In(stream of `codes_job`)
        Every raw job, in their order.
    i : In(stream of label, beta, last)
    blocks : Out(stream of the same)
        Of the jobs that do not go to memory.
    o : Out(stream of `codes_beat`)
    """

    def __init__(self, design: DesignPoint):
        self.design = design
        block = data.StructLayout(packed_block(design.format) | {"last": 1})
        super().__init__(
            {
                "job": In(stream.Signature(codes_job(design))),
                "i": In(stream.Signature(block)),
                "blocks": Out(stream.Signature(block)),
                "o": Out(stream.Signature(codes_beat(design))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Whose blocks they are; the bank; its words; their planes, one after the other."""
        m = Module()
        design, given = self.design, self.job.payload
        fields = {"left": range(-1, design.panel_rows), **codes_job(design).members}
        m.submodules.jobs = jobs = Follower(fields, ("left",), design.jobs)
        m.d.comb += [
            jobs.i.valid.eq(self.job.valid),
            self.job.ready.eq(jobs.i.ready),
            jobs.i.payload.left.eq(given.rows - 2),
            *(jobs.i.payload[name].eq(given[name]) for name in codes_job(design).members),
        ]

        # Blocks.
        reading = Signal()
        filling = Signal()
        into = self.i.signature.create(path=("into",))
        m.d.comb += [
            filling.eq(jobs.there & jobs.now.out & ~reading),
            into.payload.eq(self.i.payload),
            into.valid.eq(self.i.valid),
            self.blocks.payload.eq(self.i.payload),
            self.blocks.valid.eq(self.i.valid & jobs.there & ~jobs.now.out),
            self.i.ready.eq(Mux(jobs.now.out, filling, self.blocks.ready & jobs.there)),
            jobs.go.eq(self.i.valid & self.i.ready & self.i.payload.last),
        ]
        lane = x_lane(design)
        shape = data.ArrayLayout(lane, design.rows)
        m.submodules.memory = memory = Memory(shape=shape, depth=design.x_depth, init=[])
        write, fetch = memory.write_port(granularity=1), memory.read_port()
        index = Signal(range(design.x_depth))
        m.d.comb += write.addr.eq(index)
        filled = fill_by_block(m, design, into, jobs.now, index, write, filling, whole=True)

        # Words of one plane after the other, two of them on their way.
        planes = list(lane.members)
        words = Signal(range(-1, design.x_depth), reset_less=True)  # of a plane, less one
        left = Signal(range(-1, design.x_depth), reset_less=True)
        plane = Signal(range(len(planes)))
        last_plane = plane == len(planes) - 1
        ends = left == 0
        about = data.StructLayout({"plane": range(len(planes)), "last": 1})
        came = Signal(about, reset_less=True)
        there = Signal(2)
        moves = Signal(2)
        held = Signal(shape, reset_less=True)
        held_about = Signal(about, reset_less=True)
        gears = {}
        for name in planes:
            gears[name] = Gearbox(design.rows * lane.members[name], design.bus_bits)
            m.submodules[f"gear_{name}"] = gears[name]
        of_plane = {name: held_about.plane == i for i, name in enumerate(planes)}
        taken: Value = gears[planes[0]].i.ready
        for name in planes[1:]:
            taken = Mux(of_plane[name], gears[name].i.ready, taken)
        m.d.comb += [
            moves[1].eq(~there[1] | taken),
            moves[0].eq(~there[0] | moves[1]),
            fetch.en.eq(reading & moves[0]),
        ]
        place = Signal(range(design.x_depth))
        m.d.comb += fetch.addr.eq(place)
        with m.If(filled):
            m.d.sync += [reading.eq(1), words.eq(jobs.now.words - 1), left.eq(jobs.now.words - 1)]
        with m.If(fetch.en):
            m.d.sync += [came.plane.eq(plane), came.last.eq(ends), left.eq(Mux(ends, words, left - 1))]
            m.d.sync += place.eq(Mux(ends, 0, place + 1))
            with m.If(ends):
                m.d.sync += [plane.eq(Mux(last_plane, 0, plane + 1)), reading.eq(~last_plane)]
        with m.If(moves[0]):
            m.d.sync += there[0].eq(reading)
        with m.If(moves[1]):
            m.d.sync += [there[1].eq(there[0]), held.eq(fetch.data), held_about.eq(came)]

        out = Signal(range(len(planes)))
        for i, name in enumerate(planes):
            gear = gears[name]
            marked = Cat(unit.replicate(gear.unit_bits) for unit in gear.o.payload.units)
            m.d.comb += [
                gear.i.payload.data.eq(Cat(held[k][name] for k in range(design.rows))),
                gear.i.payload.last.eq(held_about.last),
                gear.i.valid.eq(there[1] & of_plane[name]),
                gear.o.ready.eq(self.o.ready & (out == i)),
            ]
            with m.If(out == i):
                m.d.comb += [
                    self.o.valid.eq(gear.o.valid),
                    self.o.payload.data.eq(gear.o.payload.data & marked),
                    self.o.payload.last.eq(gear.o.payload.last & (i == len(planes) - 1)),
                ]
                with m.If(gear.o.valid & gear.o.ready & gear.o.payload.last):
                    m.d.sync += out.eq((i + 1) % len(planes))
        return m
