"""Claims on streams: what is offered stays; and what goes in comes out, once, in its order."""

from collections.abc import Callable
from functools import partial

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from golden.format import Format
from golden.frontend import FrontEndRules
from hw.axi.codes import CodesOut
from hw.axi.gearbox import Gearbox
from hw.axi.memory import Image
from hw.axi.read import Reader, ReaderShape
from hw.codec.decoder import Decoder
from hw.design import DesignPoint
from hw.engine.banks import x_lane
from hw.engine.planner import Planner
from hw.engine.rows import RowFramer
from hw.generate import generate
from hw.streams import broadcast
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction
from sim.formal.rules import StreamRules

OUTPUT = DesignPoint(name="os", rows=1, cols=2, x_depth=4, w_depth=4, panel_rows=2)
RAW = DesignPoint(name="raw", rows=1, cols=1, x_depth=4, w_depth=4, front_end=FrontEndRules(length=16))
"""Small designs: the rules of a unit hang on no size."""


class Fork(wiring.Component):
    """`hw.streams.broadcast` to two sinks."""

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(4)), "a": Out(stream.Signature(4)), "b": Out(stream.Signature(4))})

    def elaborate(self, platform: object) -> Module:
        """The payload goes to both."""
        m = Module()
        broadcast(m, self.i, {name: (sink.valid, sink.ready) for name, sink in (("a", self.a), ("b", self.b))})
        m.d.comb += [self.a.payload.eq(self.i.payload), self.b.payload.eq(self.i.payload)]
        return m


def _image() -> Image:
    """`hw.axi.memory.Image` of two planes."""
    readers = {name: Reader(ReaderShape(bits, 32, 16, 64, 0)) for name, bits in (("label", 32), ("beta", 4))}
    for reader in readers.values():
        reader._MustUse__silence = True  # of which only the widths are asked
    return Image(readers)


Unit = Callable[[], wiring.Component]

UNITS: dict[str, tuple[str, Unit, Bug]] = {
    "decoder": (
        "a decoder",
        lambda: Decoder(Format(4)),
        Bug("it moves without its consumer", r"assign advance = .*;", "assign advance = 1'h1;"),
    ),
    "gearbox_wider": (
        "a gearbox from 16 to 24 bits",
        lambda: Gearbox(16, 24),
        Bug("it lets words go that nobody takes", r"assign leaves = .*;", "assign leaves = o__valid;"),
    ),
    "gearbox_narrower": (
        "a gearbox from 24 to 16 bits",
        lambda: Gearbox(24, 16),
        Bug("it lets words go that nobody takes", r"assign leaves = .*;", "assign leaves = o__valid;"),
    ),
    "fork": (
        "what hands a stream to two consumers",
        Fork,
        Bug("one consumer is only offered what the other takes", r"(assign a__valid = .*);", r"\1 & b__ready;"),
    ),
    "planner": (
        "the planner",
        lambda: Planner(OUTPUT),
        Bug("it does not wait for its consumer", r"= o__ready \? (.*) : fsm_state;", r"= \1;"),
    ),
    "image": (
        "what says where planes are in memory",
        _image,
        Bug("one reader is only told when the other is", r"(assign label__valid = .*);", r"\1 & beta__ready;"),
    ),
    "rows": (
        "the framer of raw rows",
        lambda: RowFramer(RAW),
        Bug(
            "it offers nothing when its door is full", r"assign o__valid = (.*);", r"assign o__valid = (\1) & i__ready;"
        ),
    ),
    "codes": (
        "what sends packed rows to the array or to memory",
        lambda: CodesOut(RAW),
        Bug("beats of β go that nobody takes", r"(assign \\o__ready\$\d+ +=) \\o__ready\$\d+ +& out;", r"\1 out;"),
    ),
}


def queue(h: Harness, path: str, depth: int) -> None:
    """What holds of a queue of `amaranth.lib.fifo` with that many words, a power of two."""
    level = h.probe(f"{path}.level", bits_for(depth))
    at = exact_log2(depth)
    produce, consume = (h.probe(f"{path}.{name}", max(1, at)) for name in ("produce", "consume"))
    h.prove(f"{path} holds no more than it can", level <= depth)
    h.prove(f"{path} holds what lies between its ends", level[:at] == (produce - consume)[:at])


def gearbox_level(h: Harness, gearbox: Gearbox, path: str = "dut.core") -> Signal:
    """The level of a gearbox, and what holds of it."""
    unit = gearbox.unit_bits
    taken, out = gearbox.i_bits // unit, gearbox.o_bits // unit
    held = h.probe(f"{path}.level", bits_for(taken + out - 1))
    few, near, enough = (h.probe(f"{path}.{name}", 1) for name in ("few", "near", "enough"))
    h.prove(f"{path} holds no more than it can", held < taken + out)
    h.prove(f"{path} knows of its level", Cat(few, near, enough) == Cat(held <= out, held < 2 * out, held >= out))
    return held


def raw_rows(h: Harness) -> None:
    """A row that is filled up has begun."""
    h.prove("a row that is filled up has begun", ~(h.probe("dut.core.filling") & h.probe("dut.core.first")))
    queue(h, "dut.core.door", 2)


def keeps_rules(name: str, h: Harness) -> None:
    """Every stream in is assumed to keep the rules, and every stream out is proved to."""
    component = UNITS[name][1]()
    generated = generate(component, "unit")
    dut = h.place(generated)
    if name == "rows":
        raw_rows(h)
    if isinstance(component, Gearbox):
        gearbox_level(h, component)
    if isinstance(component, CodesOut):
        for field, bits in x_lane(RAW).members.items():
            gearbox = Gearbox(RAW.rows * bits, RAW.bus_bits)
            gearbox._MustUse__silence = True  # of which only the widths are asked
            gearbox_level(h, gearbox, f"dut.core.gear_{field}")
    for description in generated.description["streams"]:
        if description["always_ready"]:
            continue
        name = description["name"]
        payload = Cat(getattr(dut, field) for field in description["payload"])
        valid, ready = getattr(dut, f"{name}_valid"), getattr(dut, f"{name}_ready")
        h.m.submodules[f"rules_{name}"] = rules = StreamRules(len(payload))
        h.m.d.comb += [rules.valid.eq(valid), rules.ready.eq(ready), rules.payload.eq(payload)]
        if description["direction"] == "in":
            h.assume(rules.giver)
        else:
            h.prove(f"{name} stays on offer, as it is", rules.giver)
            h.cover(f"{name} waits", valid & ~ready)


def claims() -> list[Claim]:
    """All of them."""
    return [
        Claim(
            f"stream_{name}",
            f"The streams out of {what} keep the rules, if those into it do: what is offered stays on offer, as it is, "
            "until it is taken, whatever the pauses.",
            partial(keeps_rules, name),
            Induction(2 if name == "planner" else 1, reach=16),  # what it says of a job is a cycle old
            bug,
        )
        for name, (what, _, bug) in UNITS.items()
    ]
