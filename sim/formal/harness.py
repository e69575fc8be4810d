"""The circuit around generated units that says whether a claim holds."""

import re
from collections.abc import Iterable
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from amaranth import Cat, ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.back import rtlil
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from numpy.typing import DTypeLike

from golden.errors import ToolError
from hw.generate import Generated, generate
from hw.values import register
from sim.formal.symbolic import Symbol


class Harness:
    """Units in Verilog, with what is assumed of their inputs, what is to be proved, and what must be reachable.

    Inputs that nothing drives are free: the solver chooses them, anew in each cycle.

    Attributes
    ----------
    m : Module
        Clocked by `sync`; its registers are as free as the units' when a proof begins from any state.
    verilog : dict of str to str
        The units' Verilog, by the name of their instance.
    proved, covered : dict of str to Value
        What must hold, and what must be reachable, by what it says.
    assumed : list of Value
    probes : dict of str to str
        Free inputs that are held equal to a wire inside a unit.
    cuts : list of str
        Wires inside a unit that are taken to be anything.
    """

    def __init__(self) -> None:
        self.m = Module()
        # Amaranth warns of what is left half built, as it is where a unit has no such wire.
        self.m._MustUse__used = True
        self.m.domains.sync = self._clock = ClockDomain("sync")
        self.verilog: dict[str, str] = {}
        self.proved: dict[str, Value] = {}
        self.covered: dict[str, Value] = {}
        self.assumed: list[Value] = []
        self.probes: dict[str, str] = {}
        self.cuts: list[str] = []
        self._free: dict[str, Signal] = {}
        self._tops: dict[str, str] = {}

    def place(self, unit: wiring.Component | Generated, name: str = "dut", **tied: Any) -> Any:
        """Adds an instance of a unit as `hw.generate` writes it.

        Returns its ports by name, as signals: free, but for those inputs that are tied here.
        """
        generated = unit if isinstance(unit, Generated) else generated_unit(unit, f"unit_{name}")
        description = generated.description
        self.verilog[description["top"]] = generated.verilog
        self._tops[name] = description["top"]
        ports: dict[str, Signal] = {}
        wires: dict[str, Value] = {}
        for port in description["ports"]:
            key, inward = port["name"], port["direction"] == "in"
            if key in (description["clock"], description["reset"]):
                if f"  input {key};" not in generated.verilog:  # nothing in it has a clock
                    continue
                reset = ResetSignal()
                wires[f"i_{key}"] = ClockSignal() if key == description["clock"] else reset
                if key.endswith("n") and key == description["reset"]:
                    wires[f"i_{key}"] = ~reset
                continue
            ports[key] = Signal(port["width"], name=f"{name}_{key}")
            wires[f"{'i' if inward else 'o'}_{key}"] = ports[key]
            if key in tied:
                self.m.d.comb += ports[key].eq(tied.pop(key))
            elif inward:
                self._free[f"{name}_{key}"] = ports[key]
        if tied:
            raise KeyError(f"{name} has no input {min(tied)}.")
        self.m.submodules[name] = Instance(description["top"], **wires)
        return SimpleNamespace(**ports)

    def free(self, name: str, shape: ShapeLike = 1) -> Any:
        """A signal that the solver chooses, in every cycle."""
        signal = Signal(shape, name=name)
        self._free[name] = Value.cast(signal)
        return signal

    def probe(self, wire: str, bits: int | None = None) -> Signal:
        """What a wire inside a unit is, such as `dut.core.level`: for what a proof has to know of a state.

        Its bits are those that the Verilog gives a wire of the name, if they are not given.

        Raises
        ------
        ToolError
            If the unit's Verilog has no wire of this name.
        """
        name = "probe_" + wire.replace(".", "_")
        if name not in self.probes:
            if bits is None:
                unit, leaf = wire.partition(".")[0], wire.rpartition(".")[2]
                declared = rf"^ *(?:reg|wire) (?:\[(\d+):0\] )?\\?{re.escape(leaf)}[ ;]"
                found = re.search(declared, self.verilog[self._tops[unit]], re.MULTILINE)
                if found is None:
                    raise ToolError(f"There is no wire {wire} in {unit}.")
                bits = int(found[1] or 0) + 1
            self.probes[name] = wire
            self.free(name, bits)
        return self._free[name]

    def cut(self, wire: str, bits: int | None = None) -> Signal:
        """The same of a wire that is taken to be anything, in every cycle, whatever drives it: what is proved is so
        whatever it is, and no solver has to look at what is before it."""
        self.cuts.append(wire)
        return self.probe(wire, bits)

    def always(self, name: str, shape: ShapeLike = 1) -> Any:
        """A value that the solver chooses once."""
        held = Signal(shape, name=name, reset_less=True)
        self.m.d.sync += Value.cast(held).eq(held)
        return held

    def past(self, value: Value, cycles: int = 1) -> Value:
        """The value of so many cycles ago."""
        return register(self.m, "past", value, cycles=cycles)

    def wire(self, value: Value, name: str | None = None) -> Signal:
        """A value with a name of its own, which is written out once."""
        wire = Signal(Value.cast(value).shape(), name=name or "wire")
        self.m.d.comb += wire.eq(value)
        return wire

    def golden(self, value: Value, dtype: DTypeLike) -> Any:
        """A value that golden's functions take for an array."""
        return Symbol(self.m, value, dtype)

    def assume(self, value: Value) -> None:
        """Leaves out every run in which this is not so."""
        self.assumed.append(value)

    def prove(self, what: str, value: Value) -> None:
        """Must hold."""
        self.proved[what] = value

    def grant(self) -> None:
        """Takes for granted what was to be proved so far, in every state: another claim proves it from the same
        assumptions."""
        self.assumed += self.proved.values()
        self.proved.clear()
        self.covered.clear()

    def cover(self, what: str, value: Value) -> None:
        """Must be reachable."""
        self.covered[what] = value

    @cached_property
    def rtlil(self) -> str:
        """The circuit, with the outputs `assume`, `prove_<i>` and `cover_<i>`."""
        ports = {"clk": self._clock.clk, "rst": self._clock.rst, **self._free}
        outputs = {"assume": _all(self.assumed)}
        outputs |= {f"prove_{i}": value for i, value in enumerate(self.proved.values())}
        outputs |= {f"cover_{i}": value for i, value in enumerate(self.covered.values())}
        for name, value in outputs.items():
            ports[name] = Signal(name=name)
            self.m.d.comb += ports[name].eq(value.bool())
        return rtlil.convert(self.m, name="top", ports={key: (s, None) for key, s in ports.items()}, emit_src=False)


class Leaves(wiring.Component):
    """A component behind a port for each signal of each of its interfaces, `<member>_<signal>`.

    Parameters
    ----------
    component : Component
    """

    def __init__(self, component: wiring.Component):
        self.component = component
        leaves = list(component.signature.flatten(component))
        self._inner = {"_".join(map(str, path)): Value.cast(value) for path, _, value in leaves}
        shapes = [
            (member.flow, value.shape()) for (_, member, _), value in zip(leaves, self._inner.values(), strict=True)
        ]
        super().__init__({name: flow(shape) for name, (flow, shape) in zip(self._inner, shapes, strict=True)})

    def elaborate(self, platform: object) -> Module:
        """Connects the ports."""
        m = Module()
        m.submodules.core = self.component
        for name, inner in self._inner.items():
            port, flow = getattr(self, name), self.signature.members[name].flow
            m.d.comb += inner.eq(port) if flow == wiring.In else port.eq(inner)
        return m


def generated_unit(unit: wiring.Component, top: str) -> Generated:
    """A unit's Verilog; one with a bus, which has no ports of its own, behind its leaves."""
    streams = stream.Signature
    plain = all(member.is_port or isinstance(member.signature, streams) for member in unit.signature.members.values())
    return generate(unit if plain else Leaves(unit), top)


def lanes(packed: Value, bits: int, count: int = 8) -> list[Value]:
    """Signed coordinates out of a packed vector."""
    return [packed[i * bits : (i + 1) * bits].as_signed() for i in range(count)]


def _all(values: Iterable[Value]) -> Value:
    bits = [Value.cast(value).bool() for value in values]
    return Cat(bits).all() if bits else Value.cast(1)
