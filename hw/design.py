"""The design point: everything that describes one machine, in one place."""

import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from golden.errors import GossetError
from golden.files import named, read_bytes
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.given import integer, shown, table
from golden.lattice import DIM
from golden.output import OutputRules
from hw.names import check_name

ACC_BITS = 32
"""Bits of an accumulator."""

NIBBLE = 4
"""Bits of the two digits of an int8 activation: the high one is signed, the low one is not."""

MAX_EDGE = 32
"""The most rows or columns of an array."""

MAX_DEPTH = 32768
"""The most words of a memory bank."""

KEEPING = 3
"""Cycles that a row of accumulators takes past those that are kept on chip, of designs that keep any."""

LEAST_KEPT = 4
"""Rows of accumulators that a job which adds or keeps has at least: the next job's are read when they are in place."""

MAX_DSP_Q = 16
"""The largest q whose pairs of coordinates fit multipliers of 18×18 bits; they need 16×16. See `hw.array.pairs`."""

LEAST_PREFETCH, MAX_PREFETCH = 64, 8192
"""Beats of the bus that a reader asks for ahead, at least and at most."""

MAX_ID_BITS = 16
"""The most bits of an ID of the memory port."""

PAGE = 4096
"""Bytes of which no burst may cross a multiple."""

LATER = (
    "keep_rows",
    "burst",
    "prefetch",
    "axcache",
    "axprot",
    "output",
    "diagnostics",
    "strides",
    "codes",
    "address_bits",
    "id_bits",
    "port_registers",
    "ring",
    "coalescing",
    "idle",
    "abort",
)
"""Fields that `DesignPoint.as_dict` leaves out where they are as by default: they came later, and what describes a
design without them stays as it was."""

MAX_FILE = 1 << 20
"""Bytes of a design file at most."""

Dataflow = Literal["os", "ws"]
"""What stays in the cells: the accumulators (output-stationary) or the weights (weight-stationary)."""

Pipeline = Literal["deep", "lean"]
"""Where registers stand: `deep` as an FPGA wants them, `lean` as standard cells do."""

Activation = Literal["packed", "int8"]
"""What the activations can be."""


@dataclass(frozen=True, kw_only=True)
class DesignPoint:
    """One machine.

    Parameters
    ----------
    name : str
        Names the files and the Verilog module `gosset_<name>`; see `hw.names` for what it may be.
    rows, cols : int
        Edges of the array, 1 to 32: rows·cols cells of eight lanes.
    format : Format
        The packed format of the weights, and of packed activations.
    dataflow : "os" or "ws"
        Output-stationary or weight-stationary.
    activations : tuple of "packed", "int8"
        The kinds of activations that a job may have; one or both.
    dsp_cols : int
        Columns of the array, the last ones, whose cells take products from multipliers (DSPs), four each, instead of
        tables of squares: 0 to `cols`; for q up to 16.
    pipeline : "deep" or "lean"
        Where registers stand, and what follows from it; results are the same. For an FPGA, "deep": six in a decoder,
        seven in a cell, norms at the edge and squares in the cells, accumulators of 32 bits. For standard cells, where
        registers are most of that, "lean": one in a decoder; a cell has one for each operand, on its way to the next
        one, one behind the inner product, which a carry-save tree adds up from the bits of all products, and
        accumulators of as many bits as the longest job needs. Without `dsp_cols`.
    panel_rows : int
        The most rows of a job: `rows` to 1024. A weight-stationary array keeps accumulators for as many.
    x_depth : int
        Words of either bank of the activations' memory: a power of two.
    w_depth : int
        Words of either bank of the weights' memory, a power of two; 512 if 0 is given. A weight-stationary array has
        none, 0: there the second bank is in the cells.
    drain_rows : int
        Rows of finished accumulators that the output queue holds, a power of two. Room is set aside when a row's last
        beat is taken. At least, and if 0 is given, as many as keep the array busy with a consumer that is always ready.
    jobs : int
        Jobs that can wait: 2 to 16.
    keep_rows : int
        Rows of accumulators, of `cols` each, that jobs can leave on chip for others to add to, so that a K too long for
        a bank is summed up there: a power of two from `panel_rows`, and 4, on; 0 for none, the host adds then.
    front_end : FrontEndRules, optional
        A front end in front of the activations' memory, which rotates and packs raw rows; of the design's format. Jobs
        may then have raw activations too.
    output : OutputRules, optional
        An output stage behind the memory port's results, which scales, adds a bias and rounds; 32-bit accumulators are
        written if none is given. With `row_scales` rows have scales as well.
    bus_bits : int
        Width of the AXI data bus to memory: 32 to 512, a power of two.
    burst : int
        The most beats of a burst on that bus: 16 to 256, a power of two, and 4 KiB at most.
    prefetch : int
        Beats of a plane of labels that its reader asks for ahead, and has room for: a power of two from two bursts to
        8192. It hides as many cycles of memory latency, less a burst or two. A plane of β indices has its share.
    axcache, axprot : int
        ARCACHE and AWCACHE, ARPROT and AWPROT of all transfers: normal, not cacheable, bufferable, 3, and unprivileged,
        secure, data, 0, if not given. 15 makes a coherent port look into caches.
    address_bits, id_bits : int
        Bits of the port's addresses, 32 to 64, and of its IDs: if 0, as many as there are readers to tell apart.
    port_registers : bool
        Whether registers stand between the port and all that is inside, on all channels and in both directions.
    diagnostics : bool
        Whether registers beside the memory port tell more: the tag of the job done last, and of the one refused last;
        what a bus error was about; a watchdog; what the bus did, in counters; and whether counters stand still.
    strides : bool
        Whether a job can have its results written row by row, with a distance of its own from row to row.
    codes : bool
        Whether a raw job can have its rows written to memory as packed codes, the image of a later job's activations,
        instead of multiplied. With a front end.
    ring : bool
        Whether jobs can be given by descriptors in memory, which the accelerator fetches by itself.
    coalescing : bool
        Whether the interrupt can wait until several jobs are done, or for some time after one.
    idle : bool
        Whether an output of the memory port says that there is nothing to do, so that its clock can be stopped.
    abort : bool
        Whether a job can be given up that is queued or under way, and those behind it go on. Without `keep_rows`.

    Raises
    ------
    GossetError
        If a parameter is out of range, or they do not go together.
    """

    name: str
    rows: int
    cols: int
    format: Format = field(default_factory=Format)
    dataflow: Dataflow = "os"
    activations: tuple[Activation, ...] = ("packed",)
    dsp_cols: int = 0
    pipeline: Pipeline = "deep"
    panel_rows: int = 64
    x_depth: int = 1024
    w_depth: int = 0
    drain_rows: int = 0
    jobs: int = 4
    keep_rows: int = 0
    front_end: FrontEndRules | None = None
    bus_bits: int = 64
    burst: int = 16
    prefetch: int = LEAST_PREFETCH
    axcache: int = 0b0011
    axprot: int = 0b000
    output: OutputRules | None = None
    address_bits: int = 64
    id_bits: int = 0
    port_registers: bool = False
    diagnostics: bool = False
    strides: bool = False
    codes: bool = False
    ring: bool = False
    coalescing: bool = False
    idle: bool = False
    abort: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        for name, kind in (("format", Format), ("front_end", FrontEndRules | None), ("output", OutputRules | None)):
            if not isinstance(getattr(self, name), kind):
                raise GossetError(f"{name} of a design point cannot be {shown(getattr(self, name))}.")
        if self.dataflow not in get_args(Dataflow):
            raise GossetError(
                f'The dataflow is "os" (output-stationary) or "ws" (weight-stationary), not {shown(self.dataflow)}.'
            )
        self._check_activations()
        for name in ("port_registers", "diagnostics", "strides", "codes", "ring", "coalescing", "idle", "abort"):
            if not isinstance(getattr(self, name), bool):
                raise GossetError(f"{name} is true or false, not {shown(getattr(self, name))}.")
        for name, least, most in (("rows", 1, MAX_EDGE), ("cols", 1, MAX_EDGE), ("jobs", 2, 16)):
            self._check_range(name, least, most)
        self._check_range("dsp_cols", 0, self.cols)
        if self.dsp_cols and self.format.q > MAX_DSP_Q:
            raise GossetError(
                f"Pairs of coordinates of q = {self.format.q} do not fit a multiplier of 18×18 bits: "
                f"q is at most {MAX_DSP_Q} with dsp_cols."
            )
        if self.pipeline not in get_args(Pipeline):
            raise GossetError(
                f'The pipeline is "deep" (for FPGAs) or "lean" (for standard cells), not {shown(self.pipeline)}.'
            )
        if self.dsp_cols and self.pipeline == "lean":
            raise GossetError("A lean pipeline has no cells for an FPGA's multipliers: leave dsp_cols or lean out.")
        self._check_range("panel_rows", self.rows, 1024)
        self._check_range("w_depth", 0, MAX_DEPTH)
        self._check_range("drain_rows", 0, MAX_DEPTH)
        if self.w_depth == 0 and self.dataflow == "os":
            object.__setattr__(self, "w_depth", 512)
        if self.drain_rows == 0:
            object.__setattr__(self, "drain_rows", 1 << (self.least_drain_rows - 1).bit_length())
        if self.dataflow == "ws" and self.w_depth != 0:
            raise GossetError("A weight-stationary array has no memory of weights: leave w_depth out.")
        if self.dataflow == "os":
            self._check_power("w_depth", 4, MAX_DEPTH)
        self._check_power("x_depth", 4, MAX_DEPTH)
        if integer(self.keep_rows, "keep_rows", 0, MAX_DEPTH):
            self._check_power("keep_rows", max(LEAST_KEPT, self.panel_rows), MAX_DEPTH)
        self._check_power("drain_rows", self.least_drain_rows, MAX_DEPTH)
        self._check_power("bus_bits", 32, 512)
        self._check_power("burst", 16, min(256, PAGE // (self.bus_bits // 8)))
        self._check_power("prefetch", max(LEAST_PREFETCH, 2 * self.burst), MAX_PREFETCH)
        self._check_range("axcache", 0, 15)
        self._check_range("axprot", 0, 7)
        self._check_range("address_bits", 32, 64)
        if integer(self.id_bits, "id_bits", 0, MAX_ID_BITS):
            self._check_range("id_bits", self.least_id_bits, MAX_ID_BITS)
        if self.abort and self.keep_rows:
            raise GossetError(
                "Jobs that are begun anew cannot add twice to what was kept: leave keep_rows or abort out."
            )
        if self.front_end and self.front_end.format != self.format:
            raise GossetError(f"The front end packs as {self.front_end.format}, but the design takes {self.format}.")
        if self.codes and not self.front_end:
            raise GossetError("Packed codes to be written come out of a front end, which the design has not.")
        if self.front_end and not self.packed:
            raise GossetError("A front end makes packed activations, but the design only takes int8 ones.")

    def _check_range(self, name: str, least: int, most: int) -> None:
        object.__setattr__(self, name, integer(getattr(self, name), name, least, most))

    def _check_power(self, name: str, least: int, most: int) -> None:
        self._check_range(name, least, most)
        if getattr(self, name) & (getattr(self, name) - 1):
            raise GossetError(f"{name} must be a power of two, but it is {getattr(self, name)}.")

    def _check_activations(self) -> None:
        kinds, known = self.activations, get_args(Activation)
        if (
            not isinstance(kinds, tuple)
            or not kinds
            or any(kind not in known for kind in kinds)
            or len(set(kinds)) < len(kinds)
        ):
            raise GossetError(f'The activations are "packed", "int8", or both, not {shown(kinds)}.')
        object.__setattr__(self, "activations", tuple(kind for kind in get_args(Activation) if kind in kinds))

    @property
    def int8(self) -> bool:
        """Whether activations can be int8."""
        return "int8" in self.activations

    @property
    def packed(self) -> bool:
        """Whether activations can be packed."""
        return "packed" in self.activations

    @property
    def x_lane_bits(self) -> int:
        """Bits of a lane of an activation word: a label, or one digit of each of eight int8."""
        return max(self.packed * self.format.label_bits, self.int8 * DIM * NIBBLE)

    @property
    def x_beta_bits(self) -> int:
        """Bits of the β index beside a lane of an activation word."""
        return self.packed * self.format.beta_bits

    @property
    def least_drain_rows(self) -> int:
        """Rows on their way from the array's input to the output queue, at most, and what is set aside meanwhile."""
        keeping = KEEPING if self.keep_rows else 0
        return (28 if self.pipeline == "deep" else 15) + 3 * self.rows + self.cols + keeping

    @property
    def least_id_bits(self) -> int:
        """Bits that tell the readers of a memory port apart: four, more with an output stage, raw rows or a ring."""
        return 3 if self.output or self.front_end or self.ring else 2

    @property
    def result_bits(self) -> int:
        """Bits of a result in memory."""
        return self.output.bits if self.output else ACC_BITS

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle when every cell works."""
        return 8 * self.rows * self.cols

    @property
    def module(self) -> str:
        """Name of the Verilog module."""
        return f"gosset_{self.name}"

    def with_format(self, format: Format) -> "DesignPoint":
        """The same machine for another packed format, with q in its name; itself if it is the same format."""
        if format == self.format:
            return self
        front_end = replace(self.front_end, format=format) if self.front_end else None
        return replace(self, name=f"{self.name}_q{format.q}", format=format, front_end=front_end)

    def as_dict(self) -> dict[str, Any]:
        """The design point as JSON and TOML write it."""
        fields = asdict(self)
        fields["format"] = {"q": self.format.q, "betas": list(self.format.betas)}
        fields["activations"] = list(self.activations)
        if self.front_end:
            del fields["front_end"]["format"]
        if self.output and not self.output.row_scales:
            del fields["output"]["row_scales"]
        defaults = self.__dataclass_fields__
        return {name: value for name, value in fields.items() if name not in LATER or value != defaults[name].default}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "DesignPoint":
        """The inverse of `as_dict`; fields with defaults may be left out.

        Raises
        ------
        GossetError
            If a field is unknown, missing or out of range.
        """
        fields = table(fields, "A design point", tuple(cls.__dataclass_fields__))
        if missing := [name for name in ("name", "rows", "cols") if name not in fields]:
            raise GossetError(f"A design point needs the field {missing[0]!r}.")
        format = Format(**table(fields.pop("format", {}), "The format of a design point", ("q", "betas")))
        if (front_end := fields.pop("front_end", None)) is not None:
            known = tuple(name for name in FrontEndRules.__dataclass_fields__ if name != "format")
            front_end = FrontEndRules(format=format, **table(front_end, "The front end of a design point", known))
        if isinstance(fields.get("activations"), list):
            fields["activations"] = tuple(fields["activations"])
        if (output := fields.pop("output", None)) is not None:
            known = tuple(OutputRules.__dataclass_fields__)
            output = OutputRules(**table(output, "The output of a design point", known))
        return cls(**fields, format=format, front_end=front_end, output=output)

    @classmethod
    def load(cls, design: str) -> "DesignPoint":
        """The preset of that name, or the design point that a TOML file of that path describes.

        Raises
        ------
        GossetError
            If there is neither, or the file describes no design point.
        """
        if design in PRESETS:
            return PRESETS[design]
        if Path(design).suffix != ".toml":
            raise GossetError(
                f"No design is called {shown(design)}; give {', '.join(PRESETS)}, or the path of a .toml file."
            )
        data = read_bytes(design, MAX_FILE)
        try:
            fields = tomllib.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, an integer too long, tables too deep
            raise GossetError(f"{named(design)} does not describe a design point: {error}.") from error
        try:
            return cls.from_dict(fields)
        except GossetError as error:
            raise GossetError(f"{named(design)} does not describe a design point: {error}") from error


PRESETS = {
    design.name: design
    for design in (
        DesignPoint(name="tiny", rows=1, cols=1),
        DesignPoint(name="small", rows=4, cols=4),
        DesignPoint(name="medium", rows=8, cols=8),
        DesignPoint(name="small_ws", rows=4, cols=4, dataflow="ws", activations=("packed", "int8")),
        DesignPoint(name="silicon", rows=8, cols=8, pipeline="lean"),
    )
}
"""The named design points."""
