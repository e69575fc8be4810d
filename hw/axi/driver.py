"""The driver in C that is written beside the header of the memory variant."""

from pathlib import Path

from hw.axi.map import DESCRIPTOR_MARK, along, counters, descriptor_layout
from hw.design import DesignPoint
from hw.registers import WORD_BITS, RegisterMap

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
        "@DESCRIPTOR@": _descriptor(design),
        "@DESCRIPTOR_WORDS@": str(descriptor_layout().size // WORD_BITS),
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


def _descriptor(design: DesignPoint) -> str:
    """Statements that write a job to the words of its descriptor: the fields that the design has."""
    values = {name: f"job->{name}" for name in ("rows", "tiles", "steps", "mode", *along(design).members)}
    if "scale" in values:
        parts = (
            f"(uint32_t)job->{name} << @PREFIX@_JOB_SCALE_{name.upper()}_SHIFT" for name in ("mantissa", "exponent")
        )
        values["scale"] = f"({' | '.join(parts)})"
    layout = descriptor_layout()
    words: list[list[str]] = [[] for _ in range(layout.size // WORD_BITS)]
    for name, value in (values | {"mark": f"0x{DESCRIPTOR_MARK:08x}u"}).items():
        field = layout[name]
        for low in range(0, field.width, WORD_BITS):
            word, shift = divmod(field.offset + low, WORD_BITS)
            part = f"(uint32_t)({value} >> {low})" if low else f"(uint32_t){value}"
            if field.width < WORD_BITS:
                part = f"({part} & 0x{(1 << field.width) - 1:x}u)"
            words[word].append(f"{part} << {shift}" if shift else part)
    return "\n".join(f"    words[{i}] = {' | '.join(parts) or '0'};" for i, parts in enumerate(words))
