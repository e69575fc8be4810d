"""The vocabulary of streams: what the units hand to each other, and how it looks at the boundary of the Verilog.

Streams are `amaranth.lib.stream`: a transfer happens in a cycle in which valid and ready are both high; valid never
waits for ready; valid and payload hold until the transfer; ready may depend on anything.
"""

from typing import Any

from amaranth import Cat, Module, Signal, Value, signed
from amaranth.hdl import ShapeLike, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from golden.format import Format
from golden.lattice import DIM


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


class Flat(wiring.Component):
    """A component behind flat ports with readable names, for Verilog.

    A stream `x` with payload fields f and g becomes `x_valid`, `x_ready`, `x_f`, `x_g` (`x_payload` where the payload
    has no fields); any other member becomes a port of its own name. Streams that are always ready have no `x_ready`.

    Parameters
    ----------
    component : Component
        Its members are ports and streams.

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
        for name, member in self.signature.members.items():
            port, inner = getattr(self, name), self._inner[name]
            m.d.comb += inner.eq(port) if member.flow == In else port.eq(inner)
        return m


def _fields(stream_name: str, payload: ValueLike) -> dict[str, ValueLike]:
    if isinstance(payload, data.View) and isinstance(payload.shape(), data.StructLayout):
        return {f"{stream_name}_{field}": payload[field] for field in payload.shape().members}
    return {f"{stream_name}_payload": payload}
