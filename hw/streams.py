"""The vocabulary of streams: what the units hand to each other, and how it looks at the boundary of the Verilog.

Streams are `amaranth.lib.stream`: a transfer happens in a cycle in which valid and ready are both high; valid never
waits for ready; valid and payload hold until the transfer; ready may depend on anything.
"""

from typing import Any

from amaranth import Cat, ClockDomain, ClockSignal, Module, Mux, Signal, Value, signed
from amaranth.hdl import ShapeLike, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.format import Format
from golden.lattice import DIM
from hw.values import register


def packed_block(format: Format, count: int | None = None) -> dict[str, ShapeLike]:
    """Fields of one packed block, or of `count` blocks side by side: label and β index (if there is a choice of β)."""
    fields: dict[str, ShapeLike] = {}
    for name, width in (("label", format.label_bits), ("beta", format.beta_bits)):
        if width and count is None:
            fields[name] = width
        elif width:
            fields[name + "s"] = data.ArrayLayout(width, count)
    return fields


def point_block(format: Format) -> data.StructLayout:
    """One decoded block: the point y, eight signed coordinates, and the β index."""
    fields: dict[str, ShapeLike] = {"y": data.ArrayLayout(signed(format.point_bits), DIM)}
    if format.beta_bits:
        fields["beta"] = format.beta_bits
    return data.StructLayout(fields)


def broadcast(m: Module, source: Any, sinks: dict[str, tuple[Signal, Value]]) -> None:
    """Hands every transfer of a stream to several sinks, each of which takes it when it likes.

    Parameters
    ----------
    m : Module
    source : stream
    sinks : dict
        By name, the `valid` to drive and the `ready` to wait for.
    """
    settled = []
    for name, (valid, ready) in sinks.items():
        taken = Signal(name=f"taken_{name}")
        settled.append(taken | ready)
        m.d.comb += valid.eq(source.valid & ~taken)
        m.d.sync += taken.eq(source.valid & ~source.ready & (taken | ready))
    m.d.comb += source.ready.eq(Cat(*settled).all())


class Skid(wiring.Component):
    """Two registers in the way of a stream: nothing on one side depends on the other side in the same cycle.

    A transfer in every cycle, one cycle later.

    Parameters
    ----------
    shape : shape
        Of the payload.

    Members
    -------
    i, o : In, Out(stream)
    """

    def __init__(self, shape: ShapeLike):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """What is on offer; what came while it was not taken."""
        m = Module()
        size = len(Value.cast(self.i.payload))
        offered = Signal(size, reset_less=True)
        spare = Signal(size, reset_less=True)
        full = Signal()
        moves = Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            Value.cast(self.o.payload).eq(offered),
            moves.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(moves):
            m.d.sync += [self.o.valid.eq(full | self.i.valid), offered.eq(Mux(full, spare, self.i.payload)), full.eq(0)]
        with m.Elif(self.i.valid):
            m.d.sync += full.eq(1)
        with m.If(~full):
            m.d.sync += spare.eq(self.i.payload)
        return m


class Queue(wiring.Component):
    """A queue that trusts its user: it is never full when something is pushed, and what is popped is there.

    A word pushed into an empty queue can be popped `LATENCY` cycles later, or `depth` cycles later if these are less.

    Parameters
    ----------
    width, depth : int
        The depth is a power of two.

    Members
    -------
    push, d : In
    pop : In
    valid, q : Out
        Whether there is a word to pop; the oldest one.
    """

    LATENCY = 4

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__({"push": In(1), "d": In(width), "pop": In(1), "valid": Out(1), "q": Out(width)})

    def elaborate(self, platform: object) -> Module:
        """A register, or two; or a memory and two registers that are filled ahead, so that q is one in any case."""
        m = Module()
        q = Signal(self.width, name="oldest", reset_less=True)
        m.d.comb += self.q.eq(q)
        if self.depth == 1:
            m.d.sync += self.valid.eq(self.push | (self.valid & ~self.pop))
            with m.If(self.push):
                m.d.sync += q.eq(self.d)
            return m

        if self.depth == 2:
            count = Signal(range(self.depth + 1))
            second = Signal(self.width, reset_less=True)
            m.d.sync += count.eq(count + self.push - self.pop)
            m.d.comb += self.valid.eq(count.any())
            with m.If(self.push):
                m.d.sync += second.eq(self.d)
            with m.If(self.pop & (count == 2)):
                m.d.sync += q.eq(second)
            with m.Elif(self.push & (self.pop | ~count.any())):
                m.d.sync += q.eq(self.d)
            return m

        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        head = Signal(range(self.depth))
        tail = Signal(range(self.depth))
        waiting = Signal(range(self.depth + 1))  # words in the memory that have not been read
        fetched, filled = Signal(), self.valid  # the memory's output and q hold a word
        move = Signal()
        fetch = Signal()
        push = register(m, "pushed", self.push, reset_less=False)
        m.d.comb += [
            write.addr.eq(tail),
            write.data.eq(register(m, "word", self.d)),
            write.en.eq(push),
            move.eq(fetched & (self.pop | ~filled)),
            fetch.eq(waiting.any() & (move | ~fetched)),
            read.addr.eq(head),
            read.en.eq(fetch & ((head != tail) | ~push)),  # see `BlockQueue`
        ]
        m.d.sync += [
            tail.eq(tail + push),
            head.eq(head + fetch),
            waiting.eq(waiting + push - fetch),
            fetched.eq(fetch | (fetched & ~move)),
            filled.eq(move | (filled & ~self.pop)),
        ]
        with m.If(move):
            m.d.sync += q.eq(read.data)
        return m


def queue_members(width: int, most: int | None = None) -> dict[str, wiring.Member]:
    """Members of a queue of words of so many bits, as those of `amaranth.lib.fifo.SyncFIFO`; with `level` if its most
    words are given."""
    level = {} if most is None else {"level": Out(range(most + 1))}
    ends = {"w_data": In(width), "w_en": In(1), "w_rdy": Out(1), "r_data": Out(width), "r_rdy": Out(1), "r_en": In(1)}
    return ends | level


class BlockQueue(wiring.Component):
    """A queue in a block memory, whose first word is at its output: a buffered `SyncFIFO`, cycle for cycle.

    That no word is read while it is written is plain to see in the enable of the read port. Where it is not, synthesis
    provides for it with two registers for each bit, and a choice between them behind the memory.

    Parameters
    ----------
    width, depth : int
        The depth is two at least.

    Members
    -------
    w_data, w_en, w_rdy : In, In, Out
        A word in; nothing happens if the queue is full.
    r_data, r_rdy, r_en : Out, Out, In
        The oldest word, two cycles after it came in at the earliest.
    level : Out
        Words in it.
    """

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__(queue_members(width, depth))

    def elaborate(self, platform: object) -> Module:
        """A memory of all places but the one at the output."""
        m = Module()
        inner = self.depth - 1
        m.submodules.memory = memory = Memory(shape=self.width, depth=inner, init=[])
        write, read = memory.write_port(), memory.read_port()
        inner_level = Signal(range(inner + 1))
        put = Signal()
        get = Signal()
        m.d.comb += [
            self.w_rdy.eq(inner_level != inner),
            self.level.eq(inner_level + self.r_rdy),
            put.eq(self.w_en & self.w_rdy),
            get.eq(inner_level.any() & (~self.r_rdy | self.r_en)),
            write.data.eq(self.w_data),
            write.en.eq(put),
            read.en.eq(get & ((read.addr != write.addr) | ~put)),
            self.r_data.eq(read.data),
        ]
        m.d.sync += [inner_level.eq(inner_level + put - get), self.r_rdy.eq(get | (self.r_rdy & ~self.r_en))]
        for name, port, step in (("tail", write, put), ("head", read, get)):
            place = Signal(range(inner), name=name)
            m.d.comb += port.addr.eq(place)
            with m.If(step):
                m.d.sync += place.eq(Mux(place == inner - 1, 0, place + 1))
        return m


class Flat(wiring.Component):
    """A component behind flat ports with readable names, for Verilog.

    A stream `x` with payload fields f and g becomes `x_valid`, `x_ready`, `x_f`, `x_g` (`x_payload` where the payload
    has no fields), without `x_ready` if it is always ready; a bus `b` with a signal f becomes `b_f`, and so on; a port
    keeps its name. A component that has an output `core_reset` finds the clock domain `core`, which that resets.

    Parameters
    ----------
    component : Component
        Its members are ports, streams and buses.

    Attributes
    ----------
    streams : list of dict
        `name`, `direction` ("in" or "out"), `always_ready` and `payload` (names of ports) of each stream.
    """

    def __init__(self, component: wiring.Component):
        self.component = component
        self.streams: list[dict[str, Any]] = []
        self._inner: dict[str, Value] = {}
        members: dict[str, wiring.Member] = {}

        def add(name: str, value: ValueLike, flow: wiring.Flow) -> None:
            self._inner[name] = Value.cast(value)
            members[name] = flow(self._inner[name].shape())

        for name, member in component.signature.members.items():
            value = getattr(component, name)
            if member.is_port:
                add(name, value, member.flow)
                continue
            if not isinstance(member.signature, stream.Signature):
                for part, line in member.signature.members.items():
                    add(f"{name}_{part}", getattr(value, part), line.flow)
                continue
            forward, back = member.flow, member.flow.flip()
            add(f"{name}_valid", value.valid, forward)
            if not member.signature.always_ready:
                add(f"{name}_ready", value.ready, back)
            fields = _fields(name, value.payload)
            for port, field in fields.items():
                add(port, field, forward)
            self.streams.append(
                {
                    "name": name,
                    "direction": forward.value.lower(),
                    "always_ready": member.signature.always_ready,
                    "payload": list(fields),
                }
            )
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Connects the ports to the component."""
        m = Module()
        m.submodules.core = self.component
        if "core_reset" in self.component.signature.members:
            m.domains.core = core = ClockDomain()
            m.d.comb += [core.clk.eq(ClockSignal()), core.rst.eq(self.component.core_reset)]
        for name, member in self.signature.members.items():
            port, inner = getattr(self, name), self._inner[name]
            m.d.comb += inner.eq(port) if member.flow == In else port.eq(inner)
        return m


def _fields(stream_name: str, payload: ValueLike) -> dict[str, ValueLike]:
    if isinstance(payload, data.View) and isinstance(payload.shape(), data.StructLayout):
        return {f"{stream_name}_{field}": payload[field] for field in payload.shape().members}
    return {f"{stream_name}_payload": payload}
