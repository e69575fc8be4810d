"""One interface to everything that multiplies packed matrices; the backend changes, the program does not."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.errors import GossetError
from golden.files import replacing
from golden.format import PackedMatrix
from golden.int8 import quantize_int8
from golden.matmul import Operand, Product, matmul
from golden.quantize import quantize
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.generate import generate_design
from sim.kernels import gpu
from sim.kernels.encoder import chooser
from sim.kernels.product import Kernels, Laid
from sim.rtl.model import Model, Pace
from sim.tiles import Job

Progress = Callable[[int, int], None]
"""Called with the rows of accumulators that came out so far, and how many there will be."""


@dataclass(frozen=True, eq=False)
class Report:
    """What a device says of a job.

    Attributes
    ----------
    job : Job
    product : Product
        The accumulators, and the scaled result.
    seconds : float
        Wall time on the host.
    cycles : int or None
        Clock cycles from the first beat offered to the last row taken; None where there is no clock.
    counters : dict of str to int
        Cycles by cause (`hw.engine.counters.COUNTERS`), from the start of the job to its end.
    """

    job: Job
    product: Product
    seconds: float
    cycles: int | None = None
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def macs_per_cycle(self) -> float | None:
        """Multiply-accumulates per cycle, padding not counted."""
        return self.job.macs / self.cycles if self.cycles else None

    @property
    def utilisation(self) -> float | None:
        """Fraction of the array's peak."""
        return self.macs_per_cycle / self.job.design.macs_per_cycle if self.macs_per_cycle else None


class Device(ABC):
    """Something that multiplies packed matrices.

    Parameters
    ----------
    design : DesignPoint
    """

    def __init__(self, design: DesignPoint):
        self.design = design

    @abstractmethod
    def run(self, job: Job, progress: Progress | None = None) -> Report:
        """Runs a job to its end."""

    def matmul(self, x: ArrayLike, w: PackedMatrix) -> NDArray[np.float32]:
        """x·wᵀ for activations x `(M, K)`, quantised on the way: float32 `(M, N)`.

        Raises
        ------
        GossetError
            If x is no finite matrix or does not fit w, or w is not in the design's format.
        """
        return self.run(Job(self.design, self.activations(x), w)).product.result

    def activations(self, x: ArrayLike) -> Operand:
        """Activations as the design takes them: packed, or int8 where it takes nothing else.

        Raises
        ------
        GossetError
            If x is no finite matrix.
        """
        return quantize(x, self.design.format) if self.design.packed else quantize_int8(x)


class GoldenDevice(Device):
    """The golden model."""

    def run(self, job: Job, progress: Progress | None = None) -> Report:
        """Runs a job in NumPy; there are no cycles to report."""
        start = time.perf_counter()
        product = matmul(job.x, job.w)
        if progress:
            progress(job.output_rows, job.output_rows)
        return Report(job, product, time.perf_counter() - start)


class RtlDevice(Device):
    """The Verilated accelerator, in this process.

    Parameters
    ----------
    design : DesignPoint
    stalls : float or dict of str to float
        Probability that a stream stalls in a cycle, as `sim.rtl.model.Model.run` takes it.
    seed : int
        Of the stalls.
    paces : dict of str to Pace
        How fast the memories behind `x` and `w` are; as fast as can be if not given.
    trace : Path or None
        FST file for the waves of everything that runs.

    Raises
    ------
    ToolError
        If the simulator cannot be built.
    """

    def __init__(
        self,
        design: DesignPoint,
        *,
        stalls: float | dict[str, float] = 0.0,
        seed: int = 0,
        paces: dict[str, Pace] | None = None,
        trace: Path | None = None,
    ):
        super().__init__(design)
        self.stalls, self.seed, self.paces = stalls, seed, paces or {}
        self.model = Model.of(generate_design(design), trace=trace)
        self.model.reset()

    def run(self, job: Job, progress: Progress | None = None) -> Report:
        """Runs a job on the RTL; raises `sim.rtl.model.Stuck` if it hangs."""
        if job.design != self.design:
            raise GossetError(f"This device is {self.design.name}, but the job is for {job.design.name}.")
        start = time.perf_counter()
        before = self._counters()
        run = self.model.run(
            {name: self.model.layout(name).pack(payload) for name, payload in job.inputs().items()},
            {"acc": job.output_rows},
            stalls=self.stalls,
            seed=self.seed,
            paces=self.paces,
            progress=progress and (lambda _cycles, beats: progress(beats, job.output_rows)),
        )
        rows = self.model.layout("acc").unpack(run.outputs["acc"])["acc_values"]
        accumulators = job.accumulators(np.ascontiguousarray(rows).reshape(job.output_rows, -1).view(np.uint32))
        counters = {name: (now - before[name]) % 2**COUNTER_BITS for name, now in self._counters().items()}
        product = Product(accumulators, job.x.scales, job.w.scales)
        return Report(job, product, time.perf_counter() - start, run.cycles, counters)

    def close(self) -> None:
        """Ends the simulation and closes the waves."""
        self.model.close()

    def _counters(self) -> dict[str, int]:
        return {name: int(getattr(self.model.io, name)) for name in COUNTERS}


class CpuDevice(Device):
    """Compiled kernels on this machine's processors.

    Parameters
    ----------
    design : DesignPoint
    path : str, optional
        Instructions, as `sim.kernels.product.Kernels` takes them.
    threads : int, optional

    Raises
    ------
    ToolError
        If the kernels cannot be built, or need instructions that the processor lacks.
    """

    def __init__(self, design: DesignPoint, *, path: str | None = None, threads: int | None = None):
        super().__init__(design)
        self.kernels = Kernels(path, threads)
        self._laid: tuple[PackedMatrix, Laid] | None = None

    def run(self, job: Job, progress: Progress | None = None) -> Report:
        """Runs a job; weights that were those of the job before are not laid out anew."""
        start = time.perf_counter()
        if self._laid is None or self._laid[0] is not job.w:
            self._laid = job.w, self.kernels.lay(job.w)
        product = self._laid[1].product(job.x)
        if progress:
            progress(job.output_rows, job.output_rows)
        return Report(job, product, time.perf_counter() - start)

    def activations(self, x: ArrayLike) -> Operand:
        """As `Device.activations`, by the compiled encoder."""
        if not self.design.packed:
            return quantize_int8(x)
        return quantize(x, self.design.format, rounding=chooser(self.kernels.path))


class GpuDevice(Device):
    """Kernels on a GPU of NVIDIA.

    Parameters
    ----------
    design : DesignPoint
    backend : sim.kernels.gpu.Backend, optional
        What runs the kernels; the GPU that CuPy finds if not given.

    Raises
    ------
    ToolError
        If CuPy or a GPU is missing.
    """

    def __init__(self, design: DesignPoint, backend: gpu.Backend | None = None):
        super().__init__(design)
        self.backend = backend or gpu.Cuda()
        self._laid: gpu.Laid | None = None

    def run(self, job: Job, progress: Progress | None = None) -> Report:
        """Runs a job; weights that were those of the job before are neither laid out nor brought there anew.

        Raises
        ------
        GossetError
            If packed activations do not fit int8.
        """
        start = time.perf_counter()
        if self._laid is None or self._laid.matrix is not job.w:
            self._laid = gpu.Laid.of(job.w)
        how = self.backend.launch(self._laid, len(job.x.scales))
        accumulators = self.backend.product(self._laid, gpu.Activations.of(job.x, how, self._laid.tiles))
        if progress:
            progress(job.output_rows, job.output_rows)
        return Report(job, Product(accumulators, job.x.scales, job.w.scales), time.perf_counter() - start)


BACKENDS: dict[str, type[Device]] = {"golden": GoldenDevice, "cpu": CpuDevice, "gpu": GpuDevice, "rtl": RtlDevice}
"""The backends by name."""


def record_waves(design: DesignPoint, folder: Path) -> Path:
    """Runs a product of two tiles, the second with a row less, and records every signal of the design.

    Returns
    -------
    The path of the FST file.

    Raises
    ------
    GossetError
        If the folder cannot be written to.
    """
    rows, columns = 2 * design.rows - 1 or 1, design.cols
    rng = np.random.default_rng(0)
    x, w = (quantize(rng.normal(size=(n, 64)), design.format) for n in (rows, columns))
    path = folder / f"{design.module}.fst"
    with replacing(path) as beside:
        device = RtlDevice(design, trace=beside)
        device.run(Job(design, x, w))
        device.close()
    return path
