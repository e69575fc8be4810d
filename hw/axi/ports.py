"""AXI interfaces as signatures, seen from the manager, and a component behind flat ports with the names of AXI."""

from itertools import chain
from typing import Any

from amaranth import Cat, ClockDomain, Module, Value
from amaranth.hdl import ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.streams import Skid

ADDRESS_BITS = 64
"""Bits of a memory address."""

RESPONSE_BITS = 2

OKAY, SLVERR = 0b00, 0b10
"""Responses; the upper bit of any response says that it is an error."""

INCR = 0b01
"""The type of a burst whose addresses increase."""


class AxiSignature(wiring.Signature):
    """An AXI interface.

    Parameters
    ----------
    protocol : str
        "AXI4-Lite", "AXI4" or "AXI4-Stream".
    members : dict
        Its signals, as the manager drives them.
    """

    def __init__(self, protocol: str, members: dict[str, wiring.Member]):
        self.protocol = protocol
        super().__init__(members)


def lite(address_bits: int) -> AxiSignature:
    """AXI4-Lite of 32 data bits."""
    return AxiSignature(
        "AXI4-Lite",
        {
            **_channel("aw", {"addr": address_bits, "prot": 3}),
            **_channel("w", {"data": 32, "strb": 4}),
            **_channel("b", {"resp": RESPONSE_BITS}, flow=In),
            **_channel("ar", {"addr": address_bits, "prot": 3}),
            **_channel("r", {"data": 32, "resp": RESPONSE_BITS}, flow=In),
        },
    )


def read(bus_bits: int, id_bits: int, address_bits: int = ADDRESS_BITS) -> AxiSignature:
    """The two channels of AXI4 that read."""
    return AxiSignature(
        "AXI4",
        {
            **_channel("ar", {"id": id_bits, "addr": address_bits} | _BURST),
            **_channel("r", {"id": id_bits, "data": bus_bits, "resp": RESPONSE_BITS, "last": 1}, flow=In),
        },
    )


def write(bus_bits: int, id_bits: int, address_bits: int = ADDRESS_BITS) -> AxiSignature:
    """The three channels of AXI4 that write."""
    return AxiSignature(
        "AXI4",
        {
            **_channel("aw", {"id": id_bits, "addr": address_bits} | _BURST),
            **_channel("w", {"data": bus_bits, "strb": bus_bits // 8, "last": 1}),
            **_channel("b", {"id": id_bits, "resp": RESPONSE_BITS}, flow=In),
        },
    )


def memory(bus_bits: int, id_bits: int, address_bits: int = ADDRESS_BITS) -> AxiSignature:
    """AXI4, all five channels."""
    sides = (side(bus_bits, id_bits, address_bits).members.items() for side in (write, read))
    return AxiSignature("AXI4", dict(chain(*sides)))


class PortRegisters(wiring.Component):
    """Two registers on each channel between a manager and its port: a transfer comes a cycle later, and nothing on one
    side depends on the other side in the same cycle.

    Parameters
    ----------
    signature : AxiSignature
        Of AXI4.

    Members
    -------
    inner : In(AXI4)
    outer : Out(AXI4)
    """

    def __init__(self, signature: AxiSignature):
        super().__init__({"inner": In(signature), "outer": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        """A skid for each channel, in the direction of its payload."""
        m = Module()
        for channel in ("aw", "w", "b", "ar", "r"):
            source, sink = (self.inner, self.outer) if channel in ("aw", "w", "ar") else (self.outer, self.inner)
            names = [
                name
                for name in self.inner.signature.members
                if name.startswith(channel) and name.removeprefix(channel) not in ("valid", "ready")
            ]
            payload = Cat(getattr(source, name) for name in names)
            m.submodules[channel] = skid = Skid(len(payload))
            m.d.comb += [
                skid.i.payload.eq(payload),
                skid.i.valid.eq(getattr(source, f"{channel}valid")),
                getattr(source, f"{channel}ready").eq(skid.i.ready),
                Cat(getattr(sink, name) for name in names).eq(skid.o.payload),
                getattr(sink, f"{channel}valid").eq(skid.o.valid),
                skid.o.ready.eq(getattr(sink, f"{channel}ready")),
            ]
        return m


def axi_stream(bits: int) -> AxiSignature:
    """AXI4-Stream with tlast; tdata is padded to whole bytes."""
    return AxiSignature("AXI4-Stream", _channel("t", {"data": -(-bits // 8) * 8, "last": 1}))


def forward(m: Module, outer: Any, inner: Any) -> None:
    """Connects the manager's interface `inner` to all signals of the same names of `outer`, one level further out."""
    for name, member in inner.signature.members.items():
        here, there = getattr(inner, name), getattr(outer, name)
        m.d.comb += there.eq(here) if member.flow == Out else here.eq(there)


_BURST = {"len": 8, "size": 3, "burst": 2, "cache": 4, "prot": 3}


def _channel(prefix: str, fields: dict[str, int], flow: wiring.Flow = Out) -> dict[str, wiring.Member]:
    """Signals of a channel whose payload flows so."""
    members: dict[str, wiring.Member] = {prefix + name: flow(bits) for name, bits in fields.items()}
    return members | {f"{prefix}valid": flow(1), f"{prefix}ready": flow.flip()(1)}


class AxiPorts(wiring.Component):
    """A component behind flat ports as block designs want them, with clock `aclk` and reset `aresetn`, active low.

    Signal `awaddr` of the interface `s_axi_ctrl` becomes `s_axi_ctrl_awaddr`; a member that is a port keeps its name.

    The component finds the clock domain `sync`, and others of the same clock: `core`, which its output `core_reset`
    resets, and `accelerator` likewise, if it has that output. Those are registers which `aresetn` sets, so that nothing
    stands between them and what they reset: `aresetn` is held for two cycles.

    Parameters
    ----------
    component : Component
        Its members are ports, one of them `core_reset`, and AXI interfaces.

    Attributes
    ----------
    interfaces : list of dict
        `name`, `protocol`, `role` ("manager" or "subordinate") and `ports` of each AXI interface.
    """

    def __init__(self, component: wiring.Component):
        self.component = component
        self.interfaces: list[dict[str, Any]] = []
        self._inner: dict[str, Value] = {}
        members: dict[str, wiring.Member] = {"aclk": In(1), "aresetn": In(1)}

        def add(name: str, value: ValueLike, flow: wiring.Flow) -> str:
            self._inner[name] = Value.cast(value)
            members[name] = flow(self._inner[name].shape())
            return name

        for name, member in component.signature.members.items():
            value = getattr(component, name)
            if member.is_port:
                if not name.endswith("_reset"):
                    add(name, value, member.flow)
            else:
                ports = [
                    add(f"{name}_{signal}", getattr(value, signal), line.flow)
                    for signal, line in member.signature.members.items()
                ]
                self.interfaces.append(
                    {
                        "name": name,
                        "protocol": member.signature.protocol,
                        "role": "manager" if member.flow == Out else "subordinate",
                        "ports": ports,
                    }
                )
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Clock domains, and the ports connected to the component."""
        m = Module()
        resets = {"sync": ~self.aresetn, "core": self.component.core_reset}
        if "accelerator_reset" in self.component.signature.members:
            resets["accelerator"] = self.component.accelerator_reset
        for name, reset in resets.items():
            domain = ClockDomain(name)
            domain.clk = self.aclk
            m.domains += domain
            m.d.comb += domain.rst.eq(reset)
        m.submodules.core = self.component
        for name, inner in self._inner.items():
            port, flow = getattr(self, name), self.signature.members[name].flow
            m.d.comb += inner.eq(port) if flow == In else port.eq(inner)
        return m
