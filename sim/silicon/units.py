"""The units that silicon figures are of: their Verilog, and the events whose energy is taken, with real operands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

import numpy as np
import numpy.typing as npt
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from golden.format import Format
from golden.lattice import DIM
from hw.array.cell import Cell, SquaredNorm, StationaryCell
from hw.array.cells import output_stationary_cell, weight_stationary_cell
from hw.array.operands import Form, Operand, acc_bits, job_bits, packed_operand, sum_bits
from hw.array.output_stationary import OutputStationaryArray
from hw.codec.decoder import Decoder
from hw.design import Dataflow, DesignPoint, Pipeline
from hw.generate import generate
from hw.values import register
from sim.silicon.gates import Stimulus
from sim.silicon.operands import Blocks, Workload, bits, packed

RATES = (16, 8, 4)
"""The q that units are measured at."""

Values = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Unit:
    """Something that is synthesised.

    Attributes
    ----------
    name : str
    verilog : callable
        Gives the Verilog of a module of that name.
    events : dict of str to callable
        What it does in each of the cycles whose energy is taken: the values of its inputs from a workload.
    macs : int
        Multiplications and additions per cycle; 0 if it makes none.
    quick : bool
        Whether it is among those that are measured first.
    warm_up : int
        Cycles, reset included, that are not counted: it takes as many until all of it is at work.
    """

    name: str
    verilog: Callable[[], str]
    events: Mapping[str, Callable[[Workload], Stimulus]] = field(default_factory=dict)
    macs: int = 0
    quick: bool = False
    warm_up: int = 32


class Hop(wiring.Component):
    """A register for a block on its way to its row or column.

    Parameters
    ----------
    block : StructLayout

    Members
    -------
    i : In(block), o : Out(block)
    """

    def __init__(self, block: StructLayout):
        super().__init__({"i": In(block), "o": Out(block)})

    def elaborate(self, platform: object) -> Module:
        """A register."""
        m = Module()
        m.d.comb += self.o.as_value().eq(register(m, "held", self.i.as_value()))
        return m


def units() -> dict[str, Unit]:
    """The parts of arrays, and arrays, by name; what is around them is in `sim.silicon.around`."""
    made: list[Unit] = list(calculator())
    for q in RATES:
        made += _rate(Format(q), quick=q == 16) + _lean(Format(q), quick=q == 16)
    made += [_lean_cell(format) for format in (Format(16, (4,)), Format(16, (2, 3, 4, 6)))]
    made += [
        *(array_unit(size, size, Format(), pipeline) for size in (2, 4) for pipeline in get_args(Pipeline)),
    ]
    return {unit.name: unit for unit in made}


def calculator() -> list[Unit]:
    """An 8×8 multiplier and an 8-bit adder without registers: what published figures can be compared with."""

    def unit(name: str, out: int, operator: str) -> Unit:
        ports = f"input clk, input signed [7:0] a, input signed [7:0] b, output signed [{out - 1}:0] o"
        text = f"module {name}({ports}); assign o = a {operator} b; endmodule\n"

        def random(work: Workload) -> Stimulus:
            return {
                k: v for k, v in zip("ab", np.random.default_rng(0).integers(0, 256, (2, work.blocks)), strict=True)
            }

        return Unit(name, lambda: text, {"compute": random}, 1, quick=True)

    return [unit("multiply_8x8", 16, "*"), unit("add_8", 8, "+")]


def component(
    name: str,
    make: Callable[[], wiring.Component],
    events: Mapping[str, Callable[[Workload], Stimulus]] | None = None,
    macs: int = 0,
    *,
    quick: bool = False,
    warm_up: int = 32,
) -> Unit:
    """The unit that a component is."""
    return Unit(name, lambda: generate(make(), name).verilog, events or {}, macs, quick, warm_up)


def _rate(format: Format, *, quick: bool) -> list[Unit]:
    """The units of one format."""
    side, q = packed_operand(format), format.q
    pair = partial(component, quick=quick)
    norm = {event: partial(inputs, format) for event, inputs in _NORM.items()}
    hop = {event: partial(inputs, format, "norm") for event, inputs in _HOP.items()}
    stationary = {event: partial(inputs, format, "norm", acc_bits(side)) for event, inputs in _STATIONARY.items()}
    return [
        pair(f"decoder_q{q}", lambda: Decoder(format), _decoder_events(format)),
        pair(f"norm_q{q}", lambda: SquaredNorm(side), norm),
        pair(
            f"norm_q{q}_lean", lambda: SquaredNorm(side, stages=(3,)), {k: partial(v, format) for k, v in _NORM.items()}
        ),
        pair(f"hop_q{q}", lambda: Hop(side.with_norm), hop),
        pair(f"cell_q{q}", lambda: Cell(side, side), cell_events(format, "norm"), DIM),
        component(f"stationary_cell_q{q}", lambda: StationaryCell(side, side, 3), stationary, DIM),
        component(f"multiplier_cell_q{q}", lambda: Cell(side, side, multiply=True), cell_events(format, "pairs"), DIM),
    ]


def lean(format: Format, dataflow: Dataflow = "os") -> DesignPoint:
    """The design whose units are measured as lean ones: its jobs have 512 blocks of K, which says how wide its
    accumulators are."""
    return DesignPoint(name="lean", rows=4, cols=4, format=format, dataflow=dataflow, pipeline="lean")


def _lean(format: Format, *, quick: bool) -> list[Unit]:
    """The units of a lean design of one format."""
    q, block, rows = format.q, packed_operand(format).block, lean(format, "ws")
    hop = {event: partial(inputs, format, "block") for event, inputs in _HOP.items()}
    sums = sum_bits(rows, rows.rows)
    stationary = {event: partial(inputs, format, "block", sums) for event, inputs in _STATIONARY.items()}
    decoder = partial(Decoder, format, stages=Decoder.STAGES["lean"])
    return [
        component(f"decoder_q{q}_lean", decoder, _decoder_events(format), quick=quick),
        component(f"hop_q{q}_lean", lambda: Hop(block), hop, quick=quick),
        _lean_cell(format, quick=quick),
        component(f"stationary_cell_q{q}_lean", lambda: weight_stationary_cell(rows, 0), stationary, DIM),
    ]


def _lean_cell(format: Format, *, quick: bool = False) -> Unit:
    """The cell of a lean output-stationary design."""
    betas = "" if format.betas == Format().betas else f"_beta{'_'.join(map(str, format.betas))}"
    name, design = f"cell_q{format.q}{betas}_lean", lean(format)
    events = cell_events(format, "block", job_bits(design))
    return component(name, lambda: output_stationary_cell(design, 0), events, DIM, quick=quick)


def still(stimulus: Stimulus) -> Stimulus:
    """The same inputs, held at their first values."""
    return {name: np.full(len(values), values[0], dtype=object) for name, values in stimulus.items()}


def _decoder_events(format: Format) -> dict[str, Callable[[Workload], Stimulus]]:
    def compute(work: Workload) -> Stimulus:
        x, _ = packed(work, format)
        ones = np.ones(len(x.labels), dtype=np.int64)
        return {"i_valid": ones, "o_ready": ones, "i_label": x.labels, "i_beta": x.betas}

    def idle(work: Workload) -> Stimulus:
        # Not still from the start: a decoder that waits holds what came last.
        stimulus = dict(still(compute(work)))
        return stimulus | {"i_valid": np.zeros(work.blocks, dtype=np.int64)}

    return {"compute": compute, "idle": idle}


def _fields(blocks: Blocks, side: Operand) -> dict[str, npt.NDArray[np.int64]]:
    """A block with its norm."""
    norm = np.square(blocks.points).sum(axis=1) // (4 if side.quartered else 1)
    return {"y": blocks.points, "beta": blocks.betas, "norm": norm}


def words(work: Workload, format: Format, form: Form) -> tuple[Values, Values]:
    """Both sides as cells take them."""
    side, made = packed_operand(format), []
    layout = side.layout(form)
    for blocks, low in zip(packed(work, format), (0, 1), strict=True):
        fields = _fields(blocks, side)
        if form == "pairs":  # see `hw.array.pairs`
            lows, highs = blocks.points[:, low::2], blocks.points[:, 1 - low :: 2]
            fields |= {"low": lows, "high": ~highs + (lows >= 0)}
        made.append(bits(layout, {k: v for k, v in fields.items() if k in layout.members}))
    return made[0], made[1]


def _norm(format: Format, work: Workload) -> Stimulus:
    x, _ = packed(work, format)
    fields = {"y": x.points, "beta": x.betas}
    block = packed_operand(format).block
    return {"i": bits(block, {k: v for k, v in fields.items() if k in block.members})}


def _hop(format: Format, form: Form, work: Workload) -> Stimulus:
    return {"i": words(work, format, form)[0]}


_NORM: dict[str, Callable[[Format, Workload], Stimulus]] = {
    "compute": _norm,
    "idle": lambda format, work: still(_norm(format, work)),
}
_HOP: dict[str, Callable[[Format, Form, Workload], Stimulus]] = {
    "compute": _hop,
    "idle": lambda format, form, work: still(_hop(format, form, work)),
}


def cell_events(format: Format, form: Form, bits: int | None = None) -> dict[str, Callable[[Workload], Stimulus]]:
    """A block per cycle; a cycle without one; a cycle without one in which results, of so many bits, move down."""

    def compute(work: Workload) -> Stimulus:
        x, w = words(work, format, form)
        return {"x": x, "w": w, "token": 1 + 2 * work.last().astype(object)}

    def idle(work: Workload) -> Stimulus:
        stimulus = dict(still(compute(work)))
        return stimulus | {"token": np.zeros(work.blocks, dtype=np.int64)}

    def drain(work: Workload) -> Stimulus:
        results = _results(work, format)
        above = results[np.arange(work.blocks) % len(results)]  # a row of the array moves down in each cycle
        word = (above & ((1 << (bits or acc_bits(packed_operand(format)))) - 1)).astype(object)
        return dict(idle(work)) | {"shift": np.ones(work.blocks, dtype=np.int64), "above": word}

    return {"compute": compute, "idle": idle, "drain": drain}


def _results(work: Workload, format: Format) -> npt.NDArray[np.int64]:
    """The accumulators that a workload leaves, halved as cells keep them."""
    x, w = packed(work, format)
    factors = np.array(format.betas)
    products = (x.points * w.points).sum(axis=1) * factors[x.betas] * factors[w.betas] // 2
    ends = np.flatnonzero(work.last())
    return np.diff(np.cumsum(products)[ends], prepend=0)


def _stationary(format: Format, form: Form, bits: int, work: Workload) -> Stimulus:
    """Activations pass; the weights change with each pair of rows' end, and sums come from above."""
    x, w = words(work, format, form)
    results = _results(work, format)
    above = results[np.arange(len(x)) % len(results)]
    start = np.roll(work.last(), 1).astype(np.int64)
    mask = (1 << bits) - 1
    # A weight comes with the last block of a row, for this cell: with no hops left to go.
    return {"x": x, "w": w, "load": work.last().astype(np.int64), "swap": start, "above": (above & mask).astype(object)}


def _stationary_idle(format: Format, form: Form, bits: int, work: Workload) -> Stimulus:
    stimulus = dict(still(_stationary(format, form, bits, work)))
    zeros = np.zeros(work.blocks, dtype=np.int64)
    return stimulus | {"load": zeros, "swap": zeros}


_STATIONARY: dict[str, Callable[[Format, Form, int, Workload], Stimulus]] = {
    "compute": _stationary,
    "idle": _stationary_idle,
}


def array_unit(rows: int, cols: int, format: Format, pipeline: Pipeline) -> Unit:
    """An output-stationary array whole, without decoders: the check of what is composed from its parts."""
    design = DesignPoint(name=f"array_{rows}x{cols}", rows=rows, cols=cols, format=format, pipeline=pipeline)
    name = f"array_{rows}x{cols}_q{format.q}{'_lean' if pipeline == 'lean' else ''}"

    def compute(work: Workload) -> Stimulus:
        side = packed_operand(format).block
        blocks = packed(work, format)

        def lanes(number: int, count: int) -> Values:
            total: Values = np.zeros(work.blocks, dtype=object)
            fields = {"y": blocks[number].points, "beta": blocks[number].betas}
            words = bits(side, {k: v for k, v in fields.items() if k in side.members})
            for i in range(count):  # each row and column has another part of the workload
                total = total + (np.roll(words, 37 * (i + 1)) << (side.size * i))
            return total

        last = np.arange(work.blocks) % 32 == 31
        ones = np.ones(work.blocks, dtype=np.int64)
        count = np.where(last, rows, 0)
        return {"i_valid": ones, "i_x": lanes(0, rows), "i_w": lanes(1, cols), "i_finish": last * 1, "i_count": count}

    def idle(work: Workload) -> Stimulus:
        stimulus = dict(still(compute(work)))
        return stimulus | {"i_valid": np.zeros(work.blocks, dtype=np.int64)}

    return component(name, lambda: OutputStationaryArray(design), {"compute": compute, "idle": idle}, DIM * rows * cols)
