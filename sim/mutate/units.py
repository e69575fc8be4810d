"""The units of which mutants are made, and the testbench that has to find them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from golden.errors import GossetError
from golden.frontend import FrontEndRules
from golden.output import OutputRules
from hw.axi.write import outstanding
from hw.design import DesignPoint
from hw.generate import Generated
from sim.benches.catalogue import BENCHES, SMALL, STATIONARY


@dataclass(frozen=True)
class Unit:
    """A part of the hardware.

    Attributes
    ----------
    name : str
    bench : str
        One of `sim.benches.catalogue.BENCHES`.
    design : DesignPoint
    modules : str
        Regular expression of the whole name of a Verilog module, without that of the top.
    blocks : int
        Size of each test, smaller than the testbench's own, so that one run takes seconds.
    points : dict of str to str
        Where an input carries points of Λ and nothing else, as the claims on decoders say: its name, by a regular
        expression of the module's.
    reset_cycles : int
        Cycles that a reset from outside takes at least.
    claims : mapping of str to tuple of str
        Claims of `sim.formal` that together say all that some modules do, by a regular expression of the modules'
        names: a mutant of which they hold is none.
    """

    name: str
    bench: str
    design: DesignPoint
    modules: str
    blocks: int
    points: dict[str, str] = field(default_factory=dict)
    reset_cycles: int = 1
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def generated(self) -> Generated:
        """The Verilog that the testbench is for."""
        return BENCHES[self.bench].generate(self.design)

    def carriers(self, top: str, module: str) -> list[str]:
        """The inputs of a module that carry points of Λ."""
        name = module.removeprefix(top)
        return [port for modules, port in self.points.items() if re.fullmatch(modules, name)]

    def claimed(self, top: str, module: str) -> tuple[str, ...]:
        """The claims that say all that a module does, if there are any."""
        name = module.removeprefix(top)
        return next((claims for modules, claims in self.claims.items() if re.fullmatch(modules, name)), ())

    def has(self, top: str, module: str) -> bool:
        """Whether a module of the Verilog belongs to the unit."""
        return re.fullmatch(self.modules, module.removeprefix(top)) is not None


GIVEN = replace(
    SMALL,
    name="uneven_given",
    front_end=FrontEndRules(format=SMALL.format, length=64, scale="host"),
)
"""The small design with a front end whose transform joins eight blocks, which come with gaps: their scale is known."""

BOTH = replace(SMALL, name="uneven_both", rows=4, activations=("packed", "int8"))
"""The small design with int8 activations as well, and so many rows that tiles of several beats have to wait, too."""

STRIDED = replace(SMALL, name="uneven_strided", cols=3, strides=True)
"""The small design with rows of results that words of the bus do not fit, and that can be written apart."""

CONTROLLED = replace(
    GIVEN,
    name="uneven_controlled",
    keep_rows=0,
    output=OutputRules(row_scales=True),
    diagnostics=True,
    strides=True,
    codes=True,
    ring=True,
    coalescing=True,
    idle=True,
    abort=True,
)
"""The small design with all that its registers can have."""

DECODER = ("decoder_q16_deep", "decoder_q16_deep_pauses")
"""What there is to say of the decoder: of its stages, and of its pauses."""

ENCODER = (
    *("encoder_division_or_end", "encoder_q16_ends", "encoder_q16_choice", "encoder_in_time"),
    *("encoder_q16_decisions", "encoder_q16_codeword", "encoder_q16_reduced", "encoder_q16_overload"),
)
"""What there is to say of the encoder: of its divisions and its choice, and of the candidates between them."""

WRITER_QUEUES = {
    r".*\.write\.(answers|bursts)": (f"queue_fifo_{outstanding(STRIDED)}",),
    r".*\.write\.beats": (f"queue_block_{2 * STRIDED.burst}",),
}
"""What there is to say of the queues of the writer of results."""

READER_QUEUES = {r".*\.queue": (f"queue_block_{SMALL.prefetch}",)}
"""What there is to say of the queues of readers."""

ROTATOR_QUEUES = {rf".*\.between_{depth}": (f"queue_trusting_{depth}",) for depth in (2, 4)}
"""What there is to say of the queues of the rotator, which keeps to their rules: `rotator_64_queues`."""

UNITS = {
    unit.name: unit
    for unit in (
        Unit("decoder", "decoder", SMALL, r"\.core", 100, claims={r"\.core": DECODER}),
        Unit("cell", "cell", SMALL, r"\.core", 100),
        Unit("array", "array", SMALL, r"\.core|__norm_.*", 60, points={"__norm_.*": "i"}),
        Unit("stationary_array", "accelerator", STATIONARY, r".*\.engine\.array|__stationary_cell_.*", 10),
        Unit("encoder", "encoder", SMALL, r"\.core|__candidate_.*", 50, claims={".*": ENCODER}),
        Unit("scaler", "scaler", SMALL, r"\.core", 50),
        Unit("rotator", "front_end", GIVEN, r".*\.rotator(\..*)?", 50, claims=ROTATOR_QUEUES),
        Unit("sequencer", "accelerator", BOTH, r".*\.(engine|planner)", 10),
        Unit("banks", "accelerator", SMALL, r".*\.engine\.(turns|follow|keeper|queue).*", 10),
        Unit("axi_read", "axi_read", SMALL, r"\.core(\..*)?", 10, claims=READER_QUEUES),
        Unit("axi_write", "axi_memory", STRIDED, r".*\.(write(\..*)?|results)", 4, claims=WRITER_QUEUES),
        Unit("control", "control", CONTROLLED, r"\.core(\.registers)?", 10, reset_cycles=2),
        Unit("jobs", "control", CONTROLLED, r"\.core\.(queue|ring)", 10, reset_cycles=2),
        Unit("framer", "axi_stream", SMALL, r".*\.frame_.*", 4),
    )
}
"""The units by name; others may add theirs."""


def chosen(names: list[str]) -> list[Unit]:
    """Units by their names; all without any.

    Raises
    ------
    GossetError
        If there is no such unit.
    """
    for name in names:
        if name not in UNITS:
            raise GossetError(f"No unit is called {name!r}; there are {', '.join(UNITS)}.")
    return [UNITS[name] for name in names or UNITS]
