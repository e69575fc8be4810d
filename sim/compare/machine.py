"""The machine that software runs on: what it is, how fast it reads and multiplies, and what it takes."""

import ctypes
import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from golden.errors import GossetError
from sim.kernels.library import supported
from sim.kernels.product import Kernels, processors

STREAMED = 256 << 20
"""Bytes that calls go through before they see the same ones again."""

POWERCAP = Path("/sys/class/powercap")
"""Where Linux counts the energy of packages (RAPL)."""

ASSUMED_W = {
    "value": 6.0,
    "low": 3.75,
    "high": 10.0,
    "unit": "W per processor that works",
    "source": "thermal design power over cores of AMD's EPYC 9004: 9454 290 W / 48, 9654 360 W / 96, 9374F 320 W / 32",
    "confidence": "C, not measured, and of no processor in particular",
}
"""Power where it cannot be measured."""

SYSTEM = Path("/sys/devices/system/cpu/cpu0/cache")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512vbmi", "gfni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
"""Instructions that matter for products, as Linux names them."""


def describe() -> dict[str, Any]:
    """The processor, as Linux names it: `processor`, `processors`, `flags`, `caches` and the kernels' `paths`."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    known = set(flags.group(1).split()) if flags else set()
    return {
        "processor": name.group(1) if name else platform.processor() or platform.machine(),
        "processors": processors(),
        "flags": [flag for flag in FLAGS if flag in known],
        "caches": caches(),
        "paths": supported(),
        "system": platform.platform(),
    }


def caches() -> dict[str, int]:
    """Bytes of the caches that the first processor sees, by level; empty where Linux does not say."""
    found: dict[str, int] = {}
    for index in sorted(SYSTEM.glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}[size[-1]]
    return found


def reading(kernels: Kernels) -> Callable[[], Any]:
    """Reads `STREAMED` bytes and adds them up, on all threads of `kernels`: what one could reach that did no more."""
    source = np.ones(STREAMED >> 3, dtype=np.uint64)
    read = kernels.library.gosset_read
    read.restype, read.argtypes = ctypes.c_uint64, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    return lambda: read(source.ctypes.data, source.size, kernels.threads)


def peak(kernels: Kernels) -> float:
    """Multiply-accumulates of bytes per second of one core in a loop of its path's own instructions (`PRODUCTS`)."""
    products = PRODUCTS[kernels.path]
    kernels.library.gosset_peak.restype, kernels.library.gosset_peak.argtypes = ctypes.c_double, [ctypes.c_int64]
    count = (1 << 26) // products
    return products * count / min(kernels.library.gosset_peak(count) * 1e-9 for _ in range(20))


PRODUCTS = {"amx": 16 * 16 * 64, "avx512": 64}
"""Multiply-accumulates of an instruction, of the paths that have one for bytes: TDPBSUD and VPDPBUSD."""


@dataclass(frozen=True)
class Power:
    """What the processor takes while it multiplies.

    Attributes
    ----------
    kind : "measured" or "assumed"
        Of the processor's energy.
    source : str
    counters : tuple of path
        Files of energy, in µJ; none if it is assumed.
    watts, low, high : float
        Per processor that works, where it is assumed.
    """

    kind: Literal["measured", "assumed"]
    source: str
    counters: tuple[Path, ...] = ()
    watts: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def find(cls, watts: float | None = None) -> "Power":
        """Counters of all packages where they can be read; else what is given, else `ASSUMED_W`.

        Raises
        ------
        GossetError
            If the watts are no positive number.
        """
        if watts is not None:
            if not 0 < watts < 1e6:
                raise GossetError(f"The power of a processor must be more than 0 W, but it is {watts:g}.")
            return cls("assumed", f"{watts:g} W per processor that works, as given", (), watts, watts, watts)
        counters = tuple(
            path / "energy_uj" for path in sorted(POWERCAP.glob("*:*")) if path.name.count(":") == 1 and _counts(path)
        )
        if counters:
            said = "RAPL's packages, through powercap: the whole package, idle processors included"
            return cls("measured", said, counters)
        value, low, high = (float(ASSUMED_W[key]) for key in ("value", "low", "high"))  # type: ignore[arg-type]
        said = f"{value:g} W per processor that works ({low:g} to {high:g}): {ASSUMED_W['source']}; no counter here"
        return cls("assumed", said, (), value, low, high)

    def joules(self, call: Callable[[], Any], seconds: float, threads: int) -> tuple[float, float, float]:
        """Energy of one call that takes so long: the value, and what it may really be, at least and at most."""
        if not self.counters:
            return tuple(watts * threads * seconds for watts in (self.watts, self.low, self.high))  # type: ignore[return-value]
        calls = max(1, round(MEASURED_S / seconds))
        for _ in range(RETRIES):
            before = [_read(path) for path in self.counters]
            for _ in range(calls):
                call()
            spent = [_read(path) - start for path, start in zip(self.counters, before, strict=True)]
            if min(spent) >= 0:  # a counter that began anew would say less
                value = sum(spent) * 1e-6 / calls
                return value, value, value
        raise GossetError(f"The energy in {self.counters[0]} does not count up.")


MEASURED_S, RETRIES = 0.3, 3
"""Seconds over which a counter of energy is read, and tries if it overflows meanwhile."""


def _counts(folder: Path) -> bool:
    try:
        return "package" in _text(folder / "name") and _read(folder / "energy_uj") >= 0
    except (OSError, ValueError):
        return False


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _read(path: Path) -> int:
    return int(_text(path))


def load() -> list[float]:
    """Processes that wanted a processor, on average over 1, 5 and 15 minutes; empty where the system does not say."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return []


def now() -> str:
    """Date and time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
