"""The report on quality: distortion against the bound, the guarantee on hostile matrices, real networks.

Everything has fixed seeds; sampling errors are in the report.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import theory
from golden.errors import GossetError
from golden.files import read_bytes, writable, write_text
from golden.format import Format
from golden.halfstep import HalfStep
from golden.quality import hostile, language, network
from golden.quality.pictures import plot
from golden.quality.provenance import provenance
from golden.quantize import Rounding
from golden.rivals import Codec, Lattice, ggml
from golden.rivals.d4 import HierarchicalD4
from golden.rivals.e8p import E8P
from golden.rivals.ggml import Ggml
from golden.rivals.grids import PO2_NF4, SFP4, Grids
from golden.rivals.integers import BipolarInt, Int8Outliers, IntGroups
from golden.rivals.microscaling import mxfp4, nvfp4
from golden.rivals.nestquant import BETA0_WEIGHTS, NestQuant
from golden.rivals.trellis import Trellis, hashed, one_mad
from golden.rounding import choose
from golden.universal import Universal

SECTIONS = ("gaussian", "guarantee", "minilm", "language", "kv", "bytes")

MODELS = {"language": "SmolLM2-135M", "kv": "SmolLM2-135M", "bytes": "bytes"}
"""The language models of sections, by their names in `language.subjects`."""

EIGHT_BETAS = {
    4: (5, 6, 7, 8, 9, 10, 12, 14),
    8: (5, 6, 7, 8, 9, 10, 12, 14),
    16: (6, 7, 8, 9, 10, 11, 12, 15),
}
"""Sets of eight multipliers that `fit_betas` finds on Gaussian data, by q."""

TIME_SHARED = Format(4, (9, 14))
"""The code for time sharing: of all, the one whose line from (0, 1) falls most steeply."""

GUARANTEE_FORMAT = Format(8)

Report = Callable[[str], object]
"""Called with a line of text as figures come."""

FINER_BETAS = ((8, (4, 5, 6, 7)), (8, (8, 10, 12, 15)), (16, (8, 10, 12, 15)))
"""Multipliers nearer to each other, which suit Gaussian blocks a little better, and take wider integers."""


def codecs() -> dict[str, Codec]:
    """The codecs compared on Gaussian data, by name; those of llama.cpp where the package that reads them is there."""
    table: dict[str, Codec] = {f"E8 q={q}": Lattice(Format(q)) for q in (4, 8, 16, 32, 64)}
    table |= {f"E8 q={q}, first": Lattice(Format(q), "first") for q in (4, 8, 16)}
    table |= {f"E8 q={q}, best": Lattice(Format(q), "best") for q in (4, 8, 16)}
    table |= {f"E8 q={q}, 8 β": Lattice(Format(q, betas)) for q, betas in EIGHT_BETAS.items()}
    table |= {f"E8 q={q}, 1 β": Lattice(Format(q, (1,))) for q in (4, 8, 16)}
    table |= {f"E8 q={q}, β {'·'.join(map(str, betas))}": Lattice(Format(q, betas)) for q, betas in FINER_BETAS}
    table |= {f"E8 half step, c={c}": HalfStep(c) for c in (2, 4, 8)}
    table |= {f"int{bits}-g64": IntGroups(bits) for bits in (2, 3, 4, 5, 6)}
    table |= {f"int{bits}-g64, not searched": IntGroups(bits, search=False) for bits in (2, 3, 4)}
    table |= {"int4-g128": IntGroups(4, 128), "bipolar int4-g64": BipolarInt(4), "LLM.int8()": Int8Outliers()}
    table |= {"MXFP4": mxfp4, "MXFP4, scale searched": partial(mxfp4, search=True)}
    table |= {"NVFP4": nvfp4, "NVFP4, scale searched": partial(nvfp4, search=True)}
    table |= {"QuIP# E8P": E8P(), "D4, 2 layers": HierarchicalD4()}
    table |= {"NF4 or its partner": Grids(PO2_NF4), "SFP4": Grids(SFP4)}
    if ggml.available():
        table |= {f"llama.cpp {name}": Ggml(name) for name in ggml.TYPES}
    table |= {f"trellis 1MAD, {bits} bits": Trellis(bits, one_mad) for bits in (2, 3, 4)}
    table |= {f"trellis hashed, {bits} bits": Trellis(bits, hashed) for bits in (2, 3, 4)}
    table |= {"NestQuant, activations": NestQuant(), "NestQuant, weights": NestQuant(betas=BETA0_WEIGHTS)}
    return table


def gaussian(
    rows: int = 256, k: int = 4096, seed: int = 0, report: Report = print, few: bool = False
) -> dict[str, dict[str, float]]:
    """Distortion of products of iid Gaussian matrices, both sides quantised, against Γ(R).

    Parameters
    ----------
    rows, k : int
        Shapes of both operands.
    seed : int
    report : callable
    few : bool
        Whether the trellis codes of 65,536 states, which take longest, are left out.

    Returns
    -------
    name -> bits (everything stored), sqnr_db, distortion, distortion_over_gamma and its standard_error (relative)
    """
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows, k)).astype(np.float32)
    exact, unit = a.astype(np.float64) @ b.T, float(np.square(a).sum()) * float(np.square(b).sum()) / k
    result = {}

    def add(name: str, bits: float, sqnr: float, estimate: NDArray[Any]) -> None:
        errors = np.square(exact - estimate)
        distortion = float(errors.sum()) / unit
        ratio = distortion / float(theory.gamma(bits))
        spread = float(errors.std() / errors.mean() / np.sqrt(errors.size))
        result[name] = {
            "bits": bits,
            "sqnr_db": sqnr,
            "distortion": distortion,
            "distortion_over_gamma": ratio,
            "standard_error": spread,
        }
        report(f"{name:28s} {bits:6.3f} bits {sqnr:7.2f} dB  distortion/Γ {ratio:6.2f}")

    for name, codec in codecs().items():
        if few and name.startswith("trellis 1MAD"):
            continue
        left, right = codec(a), codec(b)
        sqnr = 10 * np.log10(np.square(a).sum() / np.square(a - left.values).sum())
        add(name, left.bits_per_entry, float(sqnr), left.values.astype(np.float64) @ right.values.T)
    for rate in (0.5, 1.0, 1.5):
        scheme = Universal(TIME_SHARED, centre=False, fraction=rate / TIME_SHARED.bits_per_entry)
        p, r = scheme.prepare(a), scheme.prepare(b)
        kept = float(np.square(a).sum() / (np.square(a).sum() - np.square(p.packed.dequantize()).sum()))
        add(f"E8 q=4, time shared {rate}", p.bits_per_entry, 10 * np.log10(kept), scheme.product(p, r))
    return result


def guarantees(draws: int = 32, report: Report = print) -> dict[str, dict[str, float | bool]]:
    """The guarantee over the hostile families, with and without centring and rotation.

    Returns
    -------
    family -> bound, measured, standard_error, without, holds
    """
    result: dict[str, dict[str, float | bool]] = {}
    for name, family in hostile.FAMILIES.items():
        rows, times = (2, 8 * draws) if name in hostile.COHERENT else (16, draws)
        verdict = hostile.judge(family, GUARANTEE_FORMAT, rows=rows, draws=times)
        result[name] = {
            "bound": float(verdict.bound),
            "measured": float(verdict.measured),
            "standard_error": verdict.error,
            "without": float(verdict.without),
            "holds": bool(verdict.holds),
        }
        ratio, plain = verdict.measured / verdict.bound, verdict.without / verdict.bound
        report(f"{name:20s} measured/bound {ratio:6.3f} ± {verdict.error / verdict.bound:.3f}; without {plain:10.2f}")
    return result


def quality(
    output: str | Path = "build/quality",
    *,
    sections: tuple[str, ...] = SECTIONS,
    sentences: int = 2000,
    draws: int = 32,
    rows: int = 256,
    tokens: int = language.TOKENS,
    few: bool = False,
    rounding: Rounding = choose,
    command: str = "gosset quality",
    report: Report = print,
) -> dict[str, Any]:
    """Writes report.json, the same as tables in tables.md, and the plots.

    Parameters
    ----------
    output : path
        Folder; sections that are left out keep what an earlier run wrote to its report.
    sections : of `SECTIONS`
    sentences, draws, rows, tokens : int
        Sizes of the networks' data, the guarantee's draws and the Gaussian operands.
    few : bool
        Whether formats that take long are left out.
    rounding : callable
        As `golden.quantize.quantize` takes it, for the networks.
    command : str
        What made the plots, for their captions.
    report : callable

    Returns
    -------
    The report: the sections, as far as there are, and `made`: what made each.

    Raises
    ------
    GossetError
        If a section is unknown, the folder cannot be written to or the network's packages are missing.
    """
    for section in sections:
        if section not in SECTIONS:
            raise GossetError(f"A section of the quality report is one of {', '.join(SECTIONS)}, not {section!r}.")
    folder = Path(output)
    path = folder / "report.json"
    for name in ("report.json", "tables.md"):
        writable(folder / name)
    figures = _before(path)

    def row(name: str, line: Mapping[str, float | bool]) -> None:
        cells = (f"{key} {value if isinstance(value, bool) else format(value, '.4f')}" for key, value in line.items())
        report(f"{name:32s} " + "  ".join(cells))

    for section in sections:
        report(f"— {section}")
        if section == "gaussian":
            figures[section] = gaussian(rows, report=report, few=few)
        elif section == "guarantee":
            figures[section] = guarantees(draws, report)
        elif section in MODELS:
            kept = _Kept.of(folder / f"{section}.rows.json", tokens)

            def keep(name: str, line: Mapping[str, float | bool], kept: _Kept = kept) -> None:
                kept.add(name, line)
                row(name, line)

            measure = language.evaluate_caches if section == "kv" else partial(language.evaluate, quick=few)
            subject = language.subjects()[MODELS[section]]()
            figures[section] = measure(subject, tokens, rounding=rounding, report=keep, found=kept.rows)
            kept.path.unlink(missing_ok=True)
        else:
            figures[section] = network.evaluate(sentences, report=row, rounding=rounding, few=few)
        figures.setdefault("made", {})[section] = {"command": command, **provenance()}
        write_text(path, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
        write_text(folder / "tables.md", "\n".join(_table(figures[s]) for s in SECTIONS if s in figures))
        plot(section, figures[section], folder, f"{command}: {section}")
    return figures


@dataclass
class _Kept:
    """The rows of a section that takes long, kept as they come: a run that was stopped goes on where it was.

    Attributes
    ----------
    path : path
        Of a file that is there until the section is done.
    settings : dict
        What they were measured of, and by which commit: rows of another are not taken.
    rows : dict
    """

    path: Path
    settings: dict[str, Any]
    rows: dict[str, dict[str, float | bool]]

    @classmethod
    def of(cls, path: Path, tokens: int) -> "_Kept":
        """What is there."""
        settings = {"tokens": tokens, "commit": provenance()["commit"]}
        before = _before(path)
        known = not str(settings["commit"]).endswith("-dirty") and before.get("settings") == settings
        return cls(path, settings, before["rows"] if known else {})

    def add(self, name: str, row: Mapping[str, float | bool]) -> None:
        """Keeps a row."""
        self.rows = self.rows | {name: dict(row)}
        text = json.dumps({"settings": self.settings, "rows": self.rows}, indent=2, ensure_ascii=False)
        write_text(self.path, text + "\n")


def _before(path: Path) -> dict[str, Any]:
    """What a report of earlier says."""
    if not path.exists():
        return {}
    try:
        figures = json.loads(read_bytes(path))
        if not isinstance(figures, dict):
            raise ValueError("it is no object")
    except (ValueError, RecursionError) as error:
        raise GossetError(f"{path} is not a report of quality, to which sections are added: {error}.") from error
    return figures


def _table(rows: dict[str, dict[str, Any]]) -> str:
    """A section's figures as a Markdown table."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["| | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, row in rows.items():
        values = [row.get(name, "") for name in names]
        cells = [str(value) if isinstance(value, bool | str) else f"{value:.4g}" for value in values]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
