"""What all units say with values: registers, names, a comparison and an addition as synthesis should see them."""

from collections.abc import Iterable
from typing import Any

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.hdl import ValueLike


def register(m: Module, name: str, value: ValueLike, *, cycles: int = 1, reset_less: bool = True) -> Value:
    """The value of `cycles` clock cycles ago; 0 is the value itself."""
    held = Value.cast(value)
    for i in range(cycles):
        later = Signal(held.shape(), name=f"{name}_d{i}" if i else name, reset_less=reset_less)
        m.d.sync += later.eq(held)
        held = later
    return held


def registers(m: Module, name: str, values: Iterable[ValueLike], *, cycles: int = 1) -> list[Value]:
    """The values of `cycles` clock cycles ago."""
    return [register(m, f"{name}_{i}", value, cycles=cycles) for i, value in enumerate(values)]


def unreset(m: Module, port: Any, name: str = "") -> Any:
    """A register that drives a port and that no reset reaches: for data that something else says are there."""
    held = Signal(port.shape(), name=name or f"{port.name}_held", reset_less=True)
    m.d.comb += port.eq(held)
    return held


def wire(m: Module, name: str, value: ValueLike) -> Signal:
    """A value that has a name: what is used several times would be written out as often without one."""
    named = Signal(Value.cast(value).shape(), name=name)
    m.d.comb += named.eq(value)
    return named


def is_(value: Value, number: int) -> Value:
    """value == number, but for zero as a reduction: Verilog's `!` on several bits is what linters warn of."""
    return value == number if number else ~value.any()


def add(a: Value, b: Value, carry: Value) -> Value:
    """a + b + carry of signed values and a bit, in one carry chain."""
    return (Cat(Const(1, 1), a).as_signed() + Cat(carry, b).as_signed())[1:].as_signed()
