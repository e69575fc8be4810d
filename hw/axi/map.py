"""The register map: what every register and field of the control interface is for."""

from importlib.metadata import version
from typing import get_args

from amaranth.hdl import ShapeLike
from amaranth.lib import data
from amaranth.utils import exact_log2

from golden.frontend import GAIN_EXPONENT_BITS, MANTISSA_BITS, SEED, SEED_BITS, FrontEndRules, ScaleMode
from hw.axi.ports import ADDRESS_BITS, RESPONSE_BITS
from hw.codec.frontend import multiplier
from hw.design import DesignPoint
from hw.engine.counters import COUNTERS
from hw.engine.planner import FIELD_BITS, SUMS, modes
from hw.registers import Access, Field, Register, RegisterMap

IDENTIFICATION = int.from_bytes(b"GOSS", "big")
"""What the first register reads as."""

ADDRESSES = ("x", "w", "y")
"""What a job of the memory variant has an address of: activations, weights, results."""

COLUMNS = "c"
"""What it has an address of beside in a design with an output stage: what is done with its columns."""

ROWS = "r"
"""And where rows have scales: those."""


def addresses(design: DesignPoint) -> tuple[str, ...]:
    """What a job of the memory variant has an address of."""
    finishing = (COLUMNS, *([ROWS] if design.output.row_scales else [])) if design.output else ()
    return (*ADDRESSES, *finishing)


TAG_BITS = 16
"""Bits of the tag of a job."""

STRIDE_BITS = 32
"""Bits of the distance from row to row, in bytes."""

DESCRIPTOR_MARK = int.from_bytes(b"GJOB", "big")
"""What the last word of a descriptor reads as."""


def descriptor_layout() -> data.StructLayout:
    """A job as it is in memory, the same for all designs: what one has no register for is not looked at.

    The fields hold what the registers of a job hold that have their names; `mode` and `scale` are the words of
    `job_mode` and `job_scale`. `mark` is `DESCRIPTOR_MARK`.
    """
    fields: dict[str, ShapeLike] = {**dict.fromkeys(SHAPE, FIELD_BITS), "mode": 16}
    fields |= dict.fromkeys((*ADDRESSES, COLUMNS, ROWS), ADDRESS_BITS) | {"y_stride": STRIDE_BITS}
    return data.StructLayout(fields | {"x_stride": STRIDE_BITS, "scale": 16, "tag": TAG_BITS, "mark": 32})


RING_BITS = 16
"""Bits of the number of a descriptor."""

SIZE_BITS = RING_BITS.bit_length() - 1
"""Bits of the logarithm of a ring's size: up to half as many descriptors as there are numbers."""

JOB_BITS = 16
"""Bits of the number of a job."""

WAITING_BITS, PATIENCE_BITS = 8, 24
"""Bits of the number of jobs, and of cycles, that an interrupt waits for."""

BUS_COUNTERS = {
    "read_beats": "Beats read",
    "read_stalled": "Cycles in which an address of reads was not taken",
    "read_waiting": "Cycles without a beat, although some were asked for",
    "write_beats": "Beats written",
    "write_stalled": "Cycles in which an address or a beat of writes was not taken",
}
"""What a design with diagnostics counts of the bus."""


def counters(design: DesignPoint, addressed: bool) -> dict[str, str]:
    """What there are counters of, with their meaning: cycles by cause, and in the memory variant those of the bus."""
    causes = {name: f"Cycles {name}" for name in COUNTERS}
    return causes | (BUS_COUNTERS if design.diagnostics and addressed else {})


SHAPE = {
    "rows": "Rows of activations.",
    "tiles": "Tiles of weights, of as many columns each as the array has.",
    "steps": "Words per row of activations: blocks (output-stationary) or slices of blocks (weight-stationary).",
}


def job_layout(design: DesignPoint, addressed: bool) -> data.StructLayout:
    """A job as the registers give it: shape, modes, and in the memory variant what goes with it."""
    fields: dict[str, ShapeLike] = {**dict.fromkeys(SHAPE, FIELD_BITS), **modes(design)}
    return data.StructLayout(fields | (dict(along(design).members) if addressed else {}))


def along(design: DesignPoint) -> data.StructLayout:
    """What goes along with a job of the memory variant: addresses; strides, the multiplier of raw rows and
    its tag, if there are any."""
    others = {"y_stride": STRIDE_BITS} if design.strides else {}
    if design.front_end:
        others |= {"x_stride": STRIDE_BITS, "scale": multiplier(design.front_end).size}
    others |= {"tag": TAG_BITS} if design.diagnostics else {}
    return data.StructLayout(dict.fromkeys(addresses(design), ADDRESS_BITS) | others)


def bus_error_layout() -> data.StructLayout:
    """What a bus error was about: a write or a read, its ID and response, tag of its job, address of its burst."""
    fields = {"write": 1, "id": 3, "response": RESPONSE_BITS, "tag": TAG_BITS, "address": ADDRESS_BITS}
    return data.StructLayout(fields)


def diagnosis_layout() -> data.StructLayout:
    """What a core with diagnostics tells: tags of the job that is done, or refused, in that cycle; whether anything
    moved; and a bus error, if `failed`."""
    tags = {"done_tag": TAG_BITS, "refused_tag": TAG_BITS}
    return data.StructLayout(tags | {"moved": 1, "failed": 1, "error": bus_error_layout()})


def front_end_layout() -> data.StructLayout:
    """What registers tell a front end: seed of the signs, gain of measured scales, and whether rows go out as codes."""
    gain = {"gain_mantissa": MANTISSA_BITS, "gain_exponent": GAIN_EXPONENT_BITS}
    return data.StructLayout({"seed": SEED_BITS, **gain, "out": 1})


def register_map(design: DesignPoint, module: str, errors: dict[str, str], *, addressed: bool) -> RegisterMap:
    """The registers of a design.

    Parameters
    ----------
    design : DesignPoint
    module : str
        Name of the top module.
    errors : dict of str to str
        What each error of the core means, by name; those of the doorbell are added here.
    addressed : bool
        Whether jobs have addresses in memory.
    """

    def constant(name: str, low: int, bits: int, value: int, description: str) -> Field:
        return Field(name, low, bits, "RO", description, value=value)

    def word(name: str, offset: int, access: Access, description: str, value: int | None = None) -> Register:
        return Register(name, offset, description, (Field("value", 0, 32, access, description, value=value),))

    doorbell = {"queue_full": "The doorbell was rung while there was no room in the queue; nothing was queued."}
    if addressed:
        doorbell["misaligned"] = (
            f"The doorbell was rung with an address{' or a stride' * design.strides} that is no multiple of the bus "
            f"width; nothing was queued.{' Or a descriptor had one, and was passed over.' * design.ring}"
        )
    observed = design.diagnostics and addressed
    stuck = "Jobs were under way, and for as many cycles as `watchdog` says nothing moved."
    errors = doorbell | errors | ({"stuck": stuck} if observed else {})
    if design.ring and addressed:
        errors["bad_descriptor"] = (
            "A descriptor had no mark or a mode that the design does not have; it was passed over."
        )
    if design.abort and addressed:
        errors["aborted"] = "A job was given up, as was asked for."
    major, minor, patch = (int(part) for part in version("gosset").split(".")[:3])
    format = design.format
    registers = [
        word("id", 0x000, "RO", 'Identification, "GOSS".', IDENTIFICATION),
        Register(
            "version",
            0x004,
            "Version of the generator.",
            (
                constant("patch", 0, 8, patch, "Patch."),
                constant("minor", 8, 8, minor, "Minor version."),
                constant("major", 16, 8, major, "Major version."),
            ),
        ),
        Register(
            "array",
            0x008,
            "The array.",
            (
                constant("rows", 0, 8, design.rows, "Rows of cells."),
                constant("cols", 8, 8, design.cols, "Columns of cells."),
                constant("weight_stationary", 16, 1, int(design.dataflow == "ws"), "0: output-stationary."),
                constant("packed", 17, 1, int(design.packed), "Takes packed activations."),
                constant("int8", 18, 1, int(design.int8), "Takes int8 activations."),
                constant("memory", 19, 1, int(addressed), "1: fetches operands from memory. 0: takes streams."),
            ),
        ),
        Register(
            "format",
            0x00C,
            "The packed format.",
            (
                constant("q", 0, 8, format.q, "Nesting ratio."),
                constant("betas", 8, 8, len(format.betas), "Number of multipliers."),
                constant("label_bits", 16, 8, format.label_bits, "Bits of a label."),
                constant("beta_bits", 24, 8, format.beta_bits, "Bits of a β index."),
            ),
        ),
        Register(
            "lanes",
            0x010,
            "Lanes of a word of activations.",
            (
                constant("x_lane_bits", 0, 8, design.x_lane_bits, "Bits of a lane."),
                constant("x_beta_bits", 8, 8, design.x_beta_bits, "Bits of the β index beside it."),
                constant("bus_bits", 16, 16, design.bus_bits, "Bits of the memory bus."),
            ),
        ),
        Register(
            "depths",
            0x014,
            "Words per memory bank.",
            (
                constant("x", 0, 16, design.x_depth, "Of activations."),
                constant("w", 16, 16, design.w_depth or 0, "Of weights; 0 if weight-stationary."),
            ),
        ),
        Register(
            "limits",
            0x018,
            "Limits.",
            (
                constant("panel_rows", 0, 16, design.panel_rows, "The most rows of a job."),
                constant("jobs", 16, 16, design.jobs, "Jobs that the queue has room for."),
            ),
        ),
        Register(
            "control",
            0x040,
            "Control.",
            (
                Field(
                    "reset",
                    0,
                    1,
                    "RW",
                    "Soft reset: 1 ends everything under way and keeps the core in reset once all that was begun on "
                    "the memory bus has been answered, for which it waits without a limit."
                    if addressed
                    else "Soft reset: 1 ends everything under way and keeps the core in reset.",
                ),
            ),
        ),
        Register(
            "status",
            0x044,
            "Status.",
            (
                Field("busy", 0, 1, "RO", "A job is queued or under way."),
                Field("halted", 1, 1, "RO", "Stopped by a bus error until a soft reset."),
                Field("in_reset", 2, 1, "RO", "The core is in soft reset."),
                Field("room", 16, 8, "RO", "Jobs that the queue takes now; 0 while halted or in reset."),
            ),
        ),
        Register(
            "error",
            0x048,
            "Errors since they were last cleared.",
            tuple(Field(name, i, 1, "W1C", text) for i, (name, text) in enumerate(errors.items())),
        ),
        Register(
            "irq_status",
            0x04C,
            "Causes of an interrupt.",
            (
                Field("job_done", 0, 1, "W1C", "A job was done."),
                Field("error", 1, 1, "W1C", "An error happened."),
            ),
        ),
        Register(
            "irq_enable",
            0x050,
            "Which causes raise `irq`.",
            (
                Field("job_done", 0, 1, "RW", "A job was done."),
                Field("error", 1, 1, "RW", "An error happened."),
            ),
        ),
        word("jobs_accepted", 0x054, "RO", "Jobs found legal since the last reset, soft or not, modulo 2^32."),
        word(
            "jobs_refused",
            0x058,
            "RO",
            "Jobs found illegal and dropped since the last reset, soft or not, modulo 2^32.",
        ),
        word("jobs_done", 0x05C, "RO", "Jobs done since the last reset, soft or not, modulo 2^32."),
        *(
            Register(f"job_{name}", 0x080 + 4 * i, text, (Field("value", 0, FIELD_BITS, "RW", text),))
            for i, (name, text) in enumerate(SHAPE.items())
        ),
    ]
    kinds = [Field("int8", 0, 1, "RW", "Activations: 0 packed, 1 int8.")]
    if design.front_end:
        registers += _front_end_registers(design.front_end, addressed)
        kinds.append(Field("raw", 1, 1, "RW", "Activations: 1 raw rows through the front end."))
    if design.keep_rows:
        kept = (constant("rows", 0, 32, design.keep_rows, "Rows of accumulators, a tile wide."),)
        registers.append(Register("kept", 0x020, "What is kept on chip from job to job.", kept))
        texts = "1: adds to the accumulators that were kept.", "1: keeps the accumulators; no results come out."
        kinds += [Field(name, 2 + i, 1, "RW", texts[i]) for i, name in enumerate(SUMS)]
    if design.codes and addressed:
        kinds.append(Field("out", 4, 1, "RW", "1: raw rows go to `y`, as packed codes; nothing is multiplied."))
    if design.output:
        result = (
            constant("bits", 0, 8, design.output.bits, "Bits of a result."),
            constant("floating", 8, 1, design.output.floating, "1: in bfloat16, 0: integers."),
            *([constant("row_scales", 9, 1, 1, "1: rows have scales.")] if design.output.row_scales else []),
        )
        registers.append(Register("output", 0x024, "The output stage.", result))
    registers.append(Register("job_mode", 0x08C, "Kind.", tuple(kinds)))
    if addressed:
        for i, name in enumerate(addresses(design)):
            offset = 0x068 if name == ROWS else 0x090 + 8 * i
            for j, half in enumerate(("low", "high")):
                text = f"Address of {name}, {half} half."
                registers.append(word(f"job_{name}_{half}", offset + 4 * j, "RW", text))
        if design.strides:
            text = "Bytes from a row of results to the next one; 0: rows are back to back, tile by tile."
            registers.append(word("job_y_stride", 0x070, "RW", text))
    registers += [
        Register(
            "doorbell",
            0x0B0,
            "Doorbell.",
            (Field("go", 0, 1, "WO", "Queues the job that the job registers describe."),),
        ),
        Register(
            "counter_control",
            0x0C0,
            "What to do with the counters.",
            (
                Field("snapshot", 0, 1, "WO", "Copies all counters, at the same moment, to where they are read."),
                Field("clear", 1, 1, "WO", "Has all counters begin at zero."),
            ),
        ),
        *(
            word(f"count_{name}", 0x0C4 + 4 * i, "RO", f"{text}, as of the last snapshot, modulo 2^32.")
            for i, (name, text) in enumerate(counters(design, addressed).items())
        ),
    ]
    if observed:
        registers += _diagnosis_registers()
    if design.ring and addressed:
        registers += _ring_registers()
    if design.abort and addressed:
        registers += _abort_registers()
    if design.coalescing:
        wait = (
            Field("jobs", 0, WAITING_BITS, "RW", "Jobs done, of which the last one is told of; 0 or 1: each."),
            Field("cycles", WAITING_BITS, PATIENCE_BITS, "RW", "Cycles after which fewer are told of; 0: never."),
        )
        registers.append(Register("irq_coalescing", 0x138, "What `irq_status.job_done` waits for.", wait))
    return RegisterMap(module, tuple(sorted(registers, key=lambda register: register.offset)))


def _diagnosis_registers() -> list[Register]:
    """The registers of diagnostics."""

    def value(name: str, offset: int, bits: int, access: Access, text: str) -> Register:
        return Register(name, offset, text, (Field("value", 0, bits, access, text),))

    about = (
        Field("valid", 0, 1, "W1C", "There was one, and the fields beside say of the first what it was about."),
        Field("write", 1, 1, "RO", "0: of a read. 1: of a write."),
        Field("response", 2, RESPONSE_BITS, "RO", "2: SLVERR. 3: DECERR."),
        Field("id", 4, 3, "RO", "ID of the burst."),
        Field("tag", 16, TAG_BITS, "RO", "Tag of its job."),
    )
    return [
        value("job_tag", 0x0B4, TAG_BITS, "RW", "Tag of the job: any number, for whoever looks at the tags below."),
        value("counter_freeze", 0x0B8, 1, "RW", "1: all counters stand still."),
        value("watchdog", 0x0BC, 32, "RW", "Cycles without a move after which jobs are stuck; 0: never."),
        value("done_tag", 0x100, TAG_BITS, "RO", "Tag of the job done last; jobs are done in their order."),
        value("refused_tag", 0x104, TAG_BITS, "RO", "Tag of the job that was refused last."),
        Register("bus_error", 0x108, "A bus error.", about),
        value("bus_error_low", 0x10C, 32, "RO", "Address of its burst, low half."),
        value("bus_error_high", 0x110, 32, "RO", "Address of its burst, high half."),
    ]


def _ring_registers() -> list[Register]:
    """The registers of a ring of descriptors."""
    low = exact_log2(descriptor_layout().size // 8)
    base = Field("value", low, 32 - low, "RW", "Address of the ring, a multiple of a descriptor, low half.")
    high = Field("value", 0, 32, "RW", "Address of the ring, high half.")
    size = Field("value", 0, SIZE_BITS, "RW", "Logarithm to base 2 of the number of descriptors it has room for.")
    tail = Field("value", 0, RING_BITS, "RW", "Descriptors written, modulo 2^16: a write has the new ones fetched.")
    head = Field("value", 0, RING_BITS, "RO", "Descriptors taken, modulo 2^16: their places are free again.")
    about = (
        Field("valid", 0, 1, "W1C", "There was one, and the fields beside say of the first what it was about."),
        Field("bad", 1, 1, "RO", "No mark, or a mode that the design does not have."),
        Field("misaligned", 2, 1, "RO", "An address or a stride is no multiple of the bus width."),
        Field("bus", 3, 1, "RO", "A read of it was answered by an error."),
        Field("number", 16, RING_BITS, "RO", "The descriptor, counted as `ring_head` counts."),
    )
    return [
        Register("ring_base_low", 0x120, "The ring; to be changed only while it is empty.", (base,)),
        Register("ring_base_high", 0x124, "The ring; to be changed only while it is empty.", (high,)),
        Register("ring_size", 0x128, "Its size; to be changed only while it is empty.", (size,)),
        Register("ring_tail", 0x12C, "Doorbell of the ring.", (tail,)),
        Register("ring_head", 0x130, "How far the ring was read.", (head,)),
        Register("ring_error", 0x134, "A descriptor that became no job.", about),
    ]


def _abort_registers() -> list[Register]:
    """The registers that have a job given up."""
    number = Field("number", 0, JOB_BITS, "WO", "Its number, as `jobs_queued` counts.")
    ask = (
        number,
        Field("pending", 30, 1, "RO", "What was asked for is under way."),
        Field("go", 31, 1, "WO", "Has a job given up, unless it is done or was refused."),
    )
    queued = Field("value", 0, JOB_BITS, "RO", "Jobs queued since the last reset, soft or not: the next one's number.")
    aborted = Field("value", 0, JOB_BITS, "RO", "Number of the job that was given up last.")
    return [
        Register("jobs_queued", 0x13C, "Jobs queued.", (queued,)),
        Register("abort", 0x140, "A job to be given up.", ask),
        Register("aborted", 0x144, "The job that was given up last.", (aborted,)),
    ]


def _front_end_registers(rules: FrontEndRules, addressed: bool) -> list[Register]:
    """The registers of a front end. What they hold must not change while rows are under way."""

    def constant(name: str, low: int, bits: int, value: int, description: str) -> Field:
        return Field(name, low, bits, "RO", description, value=value)

    modes = get_args(ScaleMode)
    described = (
        constant("length", 0, 12, rules.length, "Coordinates per segment of the transform."),
        constant("raw_bits", 12, 6, rules.raw_bits, "Bits of a raw coordinate."),
        constant("scale", 18, 2, modes.index(rules.scale), f"Where scales come from: {', '.join(modes)}."),
    )
    seed = Field("value", 0, SEED_BITS, "RW", "Where the signs start from.", reset=SEED)
    registers = [
        Register("front_end", 0x01C, "The front end.", described),
        Register("front_end_seed", 0x060, "Seed of the front end's signs.", (seed,)),
    ]
    if addressed:
        stride = Field("value", 0, STRIDE_BITS, "RW", "Bytes from a raw row to the next one.")
        scale = (
            Field("mantissa", 0, MANTISSA_BITS, "RW", "Mantissa."),
            Field("exponent", 8, rules.exponent_bits, "RW", "Exponent."),
        )
        return [
            *registers,
            Register("job_scale", 0x074, "Multiplier of all raw rows of the job.", scale),
            Register("job_x_stride", 0x078, "Where raw rows are.", (stride,)),
        ]
    registers.append(
        Register(
            "front_end_route",
            0x064,
            "Where rows go.",
            (Field("out", 0, 1, "RW", "0: into the array, for raw jobs. 1: out again, as packed codes."),),
        )
    )
    if rules.scale != "host":
        gain = (
            Field("mantissa", 0, MANTISSA_BITS, "RW", "Mantissa."),
            Field("exponent", 8, GAIN_EXPONENT_BITS, "RW", "Exponent."),
        )
        registers.append(Register("front_end_gain", 0x068, "Gain of measured scales.", gain))
    return registers
