"""The driver in C that is written beside the header of the memory variant."""

from pathlib import Path

from hw.axi.map import counters
from hw.design import DesignPoint
from hw.registers import RegisterMap

TEXT = Path(__file__).with_name("driver.h")
"""The driver, with places for names and numbers of a design."""


def driver(design: DesignPoint, map: RegisterMap) -> str:
    """Freestanding C99 for a register map whose jobs have addresses: init, images of operands, submit, wait, errors."""
    fixed = [
        register
        for register in map.registers
        if register.fields and all(field.value is not None for field in register.fields)
    ]
    constants = "\n".join(f"        {{0x{register.offset:03x}u, 0x{register.reset:08x}u}}," for register in fixed)
    counted = counters(design, addressed=True)
    depth = design.rows if design.dataflow == "ws" else 1
    places = {
        "@CONSTANTS@": constants,
        "@COUNTERS@": str(len(counted)),
        "@FIRST_COUNTER@": next(iter(counted)).upper(),
        "@DEPTH@": str(depth),
        "@PREFIX@": map.name.upper(),
        "@prefix@": map.name,
    }
    text = TEXT.read_text(encoding="utf-8")
    for place, value in places.items():
        text = text.replace(place, value)
    return text
