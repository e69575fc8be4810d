"""The testbenches by name, and what each of them tests."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from golden.errors import GossetError
from golden.format import Format
from golden.frontend import FrontEndRules
from hw.array.cells import output_stationary_cell
from hw.array.edges import latency
from hw.array.operands import job_bits
from hw.array.output_stationary import OutputStationaryArray
from hw.axi.control import Control
from hw.axi.memory import AxiMemoryTop, MemoryCore
from hw.axi.read import ReadMaster, id_bits, operand_shapes
from hw.codec.decoder import Decoder
from hw.codec.encoder import Encoder
from hw.codec.frontend import FrontEnd, Scaler
from hw.design import DesignPoint
from hw.engine.planner import errors
from hw.generate import Generated, generate, generate_axi, generate_design
from sim.benches.gated import generate_gated


@dataclass(frozen=True)
class Bench:
    """A testbench.

    Attributes
    ----------
    module : str
        Python module of the tests.
    blocks : int
        Size of each of its tests, unless another is given.
    generate : callable
        Verilog of what it tests, from a design point or a format.
    applies : callable
        Whether it is one for a design point.
    """

    module: str
    blocks: int
    generate: Callable[[DesignPoint | Format], Generated]
    applies: Callable[[DesignPoint], bool] = lambda design: True


def format_of(design: DesignPoint | Format) -> Format:
    """The packed format of a design point, or the format itself."""
    return design.format if isinstance(design, DesignPoint) else design


@cache
def _decoder(design: DesignPoint | Format) -> Generated:
    format, pipeline = format_of(design), design.pipeline if isinstance(design, DesignPoint) else "deep"
    decoder = Decoder(format, stages=Decoder.STAGES[pipeline])
    return generate(decoder, "bench_decoder", format=asdict(format), latency=decoder.latency)


@cache
def _cell(design: DesignPoint | Format) -> Generated:
    if not isinstance(design, DesignPoint):
        design = DesignPoint(name="cell", rows=1, cols=1, format=design)
    design = replace(design, dataflow="os", activations=("packed",), front_end=None, codes=False)
    cell = output_stationary_cell(design, design.cols - 1)
    acc = {"form": cell.form, "acc_bits": job_bits(design)}
    return generate(cell, "bench_cell", format=asdict(design.format), latency=cell.depth, **acc)


@cache
def _array(design: DesignPoint | Format) -> Generated:
    point = point_of(design, "array")
    return generate(OutputStationaryArray(point), "bench_array", design=point.as_dict(), latency=latency(point))


@cache
def _accelerator(design: DesignPoint | Format) -> Generated:
    return generate_design(replace(point_of(design, "accelerator"), output=None))


@cache
def _axi_memory(design: DesignPoint | Format) -> Generated:
    point = point_of(design, "AXI memory top")
    given = point.front_end is not None and point.front_end.scale == "host"
    return generate_axi(point if given else replace(point, front_end=None, codes=False), "axi")


def with_example(generated: Generated) -> Generated:
    """The accelerator with an AXI4 memory port, and beside it the system in which it runs a layer."""
    text = Path(__file__).with_name("layer.py").read_text(encoding="utf-8")
    return replace(generated, files=generated.files | {f"{generated.description['top']}_layer.py": text})


@cache
def _axi_read(design: DesignPoint | Format) -> Generated:
    point = point_of(design, "AXI port that reads")
    reads = ReadMaster(operand_shapes(point), point.axcache, id_bits(point))
    return generate(reads, "bench_axi_read", design=point.as_dict())


@cache
def _control(design: DesignPoint | Format) -> Generated:
    point = point_of(design, "registers and jobs")
    given = point.front_end is not None and point.front_end.scale == "host"
    point = point if given else replace(point, front_end=None, codes=False)
    registers = AxiMemoryTop.registers(point)
    control = Control(point, registers, errors(point), MemoryCore.FATAL)
    return generate(control, "bench_control", design=point.as_dict(), registers=registers.as_dict())


@cache
def _axi_stream(design: DesignPoint | Format) -> Generated:
    return generate_axi(replace(point_of(design, "AXI stream top"), output=None), "axis")


@cache
def _axi_raw(design: DesignPoint | Format) -> Generated:
    point = replace(point_of(design, "AXI stream top with a front end"), output=None)
    return generate_axi(_with_front_end(point), "axis")


@cache
def _axi_control(design: DesignPoint | Format) -> Generated:
    point = point_of(design, "AXI memory top with all of its control")
    given = point.front_end is not None and point.front_end.scale == "host"
    if not point.ring:
        ids = max(point.id_bits, 3) if point.id_bits else 0
        point = replace(point, name=f"{point.name}_ring", ring=True, id_bits=ids)
    point = replace(point, coalescing=True, idle=True, abort=True, keep_rows=0, diagnostics=True)
    return generate_gated(point if given else replace(point, front_end=None, codes=False))


@cache
def _front_end(design: DesignPoint | Format) -> Generated:
    point = _with_front_end(point_of(design, "front end"))
    assert point.front_end is not None
    return generate(FrontEnd(point.front_end), "bench_front_end", design=point.as_dict())


@cache
def _encoder(design: DesignPoint | Format) -> Generated:
    point = _with_front_end(point_of(design, "encoder"))
    assert point.front_end is not None
    encoder = Encoder(point.front_end)
    about = {"latency": encoder.latency, "cycles": encoder.cycles}
    return generate(encoder, "bench_encoder", design=point.as_dict(), **about)


@cache
def _scaler(design: DesignPoint | Format) -> Generated:
    point = _with_front_end(point_of(design, "scaler"))
    assert point.front_end is not None
    return generate(Scaler(point.front_end), "bench_scaler", design=point.as_dict(), latency=Scaler.LATENCY)


def _with_front_end(point: DesignPoint) -> DesignPoint:
    """A design with a front end, its own if it has one."""
    if point.front_end:
        return point
    rules = FrontEndRules(format=point.format, length=16, scale="rms", row_blocks=32)
    return replace(point, name=f"{point.name}_raw", front_end=rules)


def point_of(design: DesignPoint | Format, name: str) -> DesignPoint:
    """The design point, of which a testbench by this name needs all.

    Raises
    ------
    GossetError
        If it is only a format.
    """
    if isinstance(design, DesignPoint):
        return design
    raise GossetError(f"The bench of the {name} needs a design point, not only a format.")


BENCHES = {
    "decoder": Bench("sim.benches.inside.decoder_tests", 1000, _decoder),
    "cell": Bench("sim.benches.inside.cell_tests", 2000, _cell),
    "array": Bench("sim.benches.inside.array_tests", 500, _array, lambda design: design.dataflow == "os"),
    "front_end": Bench("sim.benches.inside.front_end_tests", 300, _front_end, lambda design: design.packed),
    "scaler": Bench("sim.benches.inside.scaler_tests", 500, _scaler, lambda design: design.packed),
    "encoder": Bench("sim.benches.inside.encoder_tests", 500, _encoder, lambda design: design.packed),
    "accelerator": Bench("sim.benches.inside.accelerator_tests", 300, _accelerator),
    "axi_read": Bench("sim.benches.inside.axi_read_tests", 100, _axi_read),
    "control": Bench("sim.benches.inside.control_tests", 20, _control),
    "axi_memory": Bench("sim.benches.inside.axi_memory_tests", 50, _axi_memory),
    "axi_control": Bench("sim.benches.inside.axi_control_tests", 50, _axi_control),
    "axi_stream": Bench("sim.benches.inside.axi_stream_tests", 50, _axi_stream),
    "axi_raw": Bench("sim.benches.inside.axi_raw_tests", 50, _axi_raw, lambda design: design.packed),
}
"""The testbenches by name; others may add theirs."""

SMALL = DesignPoint(
    name="uneven", rows=3, cols=2, panel_rows=9, x_depth=32, w_depth=16, keep_rows=32, axcache=15, axprot=3
)
"""A small design point whose edges differ, with memories that most products do not fit, and sums that stay on chip."""

STATIONARY = replace(SMALL, name="uneven_ws", dataflow="ws", w_depth=0, activations=("packed", "int8"))
"""The same, weight-stationary, and with int8 activations as well."""

LEAN = replace(SMALL, name="uneven_lean", pipeline="lean")
"""The small one, lean."""

MULTIPLYING = replace(SMALL, name="uneven_dsp", dsp_cols=1)
"""The small one with multipliers in the cells of its second column."""
