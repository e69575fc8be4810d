"""Checkpoints: the safetensors files of a network, packed tensor by tensor into a folder.

The folder has a file for each packed tensor, and `packed.json`, which says what each is and what it was made from. A
tensor is read, quantised and written in parts of its rows, so that memory holds one packed tensor and little more; what
is whole is not made again when packing is begun anew.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from golden.calibration import Calibration
from golden.errors import GossetError
from golden.files import named, read_bytes, writable, write_text
from golden.format import Format, PackedMatrix
from golden.given import shown
from golden.quantize import Rounding, quantize
from golden.rounding import Selection, choose
from golden.tensors import LISTING, MOST_LISTED, Tensor, tensors
from golden.weights import ldlq

VERSION = 1
"""Of `LISTING`."""

PART = 1 << 24
"""Entries of a tensor that are quantised at once."""

LONGEST = 240
"""Characters of a file's name at most; file systems take 255 bytes."""

Advance = Callable[[int], object]
"""Called with the entries that were packed since the last call."""


@dataclass(frozen=True)
class Entry:
    """A packed tensor, as the listing has it.

    Parameters
    ----------
    file : str
    rows, columns : int
        As packed.
    transposed : bool
        Whether its rows are the tensor's columns.
    bits_per_entry : float
        Everything stored.
    sqnr_db : float
        Of the weights.
    output_sqnr_db : float or None
        Of the layer's outputs on the calibration data, if there are any for it.
    """

    file: str
    rows: int
    columns: int
    transposed: bool
    bits_per_entry: float
    sqnr_db: float
    output_sqnr_db: float | None = None


@dataclass
class Packed:
    """A folder of packed tensors.

    Parameters
    ----------
    folder : Path
    made_from : mapping
        The checkpoint's files and the settings: what must be the same for packing to go on.
    entries : mapping
        The tensors that are packed, by name.
    wanted : list of str
        All that are to be packed.
    left : list of str
        The checkpoint's other tensors, which are not in the folder.
    """

    folder: Path
    made_from: Mapping[str, Any]
    wanted: list[str]
    left: list[str]
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Packed":
        """Reads the listing of a folder.

        Raises
        ------
        GossetError
            If there is none, or it is damaged.
        """
        path = folder / LISTING
        if not path.exists():
            raise GossetError(f"{named(folder)} holds no packed tensors: gosset quantize makes such folders.")
        try:
            fields = json.loads(read_bytes(path, MOST_LISTED))
            if fields["version"] != VERSION:
                raise GossetError(
                    f"{named(path)} is of version {shown(fields['version'])}; this program reads {VERSION}."
                )
            entries = {name: Entry(**entry) for name, entry in fields["tensors"].items()}
            if not all(Path(entry.file).name == entry.file for entry in entries.values()):
                raise ValueError("a file of it is elsewhere")
            return cls(folder, fields["made_from"], list(fields["wanted"]), list(fields["left"]), entries)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, GossetError):
                raise
            raise GossetError(f"{named(path)} is damaged: {error}.") from error

    def save(self) -> None:
        """Writes the listing, whole or not at all."""
        fields = {
            "version": VERSION,
            "made_from": self.made_from,
            "wanted": self.wanted,
            "left": self.left,
            "tensors": {name: asdict(entry) for name, entry in self.entries.items()},
        }
        write_text(self.folder / LISTING, json.dumps(fields, indent=1, ensure_ascii=False) + "\n")

    def matrix(self, name: str) -> PackedMatrix:
        """A packed tensor, read and checked.

        Raises
        ------
        GossetError
            If it is not there, is damaged, or is not what the listing says.
        """
        entry = self.entries[name]
        matrix = PackedMatrix.load(self.folder / entry.file)
        if matrix.shape != (entry.rows, entry.columns):
            raise GossetError(
                f"{named(self.folder / entry.file)} is {matrix.shape[0]} × {matrix.shape[1]}, but {LISTING} says "
                f"{entry.rows} × {entry.columns}."
            )
        return matrix

    @property
    def missing(self) -> list[str]:
        """Tensors that are still to be packed."""
        return [n for n in self.wanted if n not in self.entries or not (self.folder / self.entries[n].file).is_file()]

    @property
    def size(self) -> int:
        """Entries of what is packed."""
        return sum(entry.rows * entry.columns for entry in self.entries.values())

    @property
    def bits_per_entry(self) -> float:
        """Everything stored, over all entries."""
        bits = sum(entry.rows * entry.columns * entry.bits_per_entry for entry in self.entries.values())
        return bits / max(self.size, 1)


def begin(
    path: Path,
    folder: Path,
    fmt: Format,
    *,
    selection: Selection = "opt",
    names: tuple[str, ...] = ("*",),
    columns: tuple[str, ...] = (),
    calibration: Calibration | None = None,
) -> tuple[Packed, dict[str, Tensor]]:
    """What is to be packed, with what a run of before has packed already; nothing is written.

    Parameters
    ----------
    path : Path
        As `tensors` takes it.
    folder : Path
        Where packed tensors go.
    fmt, selection
        As in `golden.quantize.quantize`.
    names : tuple of str
        Patterns (`*`, `?`, `[abc]`) of the names of the matrices that are packed.
    columns : tuple of str
        Patterns of those among them that are `(inputs, outputs)`: their columns are packed as rows.
    calibration : Calibration, optional

    Returns
    -------
    packed : Packed
    found : the checkpoint's tensors, by name

    Raises
    ------
    GossetError
        If a pattern fits no matrix, a name is too long for a file, or the folder holds what was made otherwise.
    """
    found = tensors(path)
    matrices = [tensor for tensor in found.values() if tensor.matrix]
    wanted = [tensor.name for tensor in matrices if _any(names, tensor.name)]
    for patterns, among, option in ((names, [t.name for t in matrices], "names"), (columns, wanted, "columns")):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in among):
                some = ", ".join(among[:3]) or "none"
                raise GossetError(
                    f"No matrix of {named(path)} fits {shown(pattern)} of --{option}; there are {some} "
                    f"({len(among)} in all)."
                )
    if calibration is not None:
        calibration.check({name: _shape(found[name], columns)[1] for name in wanted})
    for name in wanted:
        if len(_file(name)) > LONGEST:
            raise GossetError(f"The name {shown(name)} is too long for a file.")
    files = {tensor.file: tensor.file.stat() for tensor in found.values()}
    made_from = {
        "files": {file.name: [stat.st_size, stat.st_mtime_ns] for file, stat in files.items()},
        "format": {"q": fmt.q, "betas": list(fmt.betas)},
        "selection": selection,
        "names": list(names),
        "columns": list(columns),
        "calibration": None if calibration is None else calibration.identity(),
    }
    packed = Packed(folder, made_from, wanted, [name for name in found if name not in wanted])
    writable(folder / LISTING)
    if (folder / LISTING).exists():
        before = Packed.load(folder)
        if differing := [key for key, value in made_from.items() if before.made_from.get(key) != value]:
            raise GossetError(
                f"{named(folder)} holds tensors packed with other {differing[0]}: give another folder, or remove it."
            )
        packed.entries = {name: e for name, e in before.entries.items() if (folder / e.file).is_file()}
    return packed, found


def pack(
    packed: Packed,
    found: Mapping[str, Tensor],
    *,
    calibration: Calibration | None = None,
    rounding: Rounding = choose,
    advance: Advance = lambda entries: None,
) -> None:
    """Packs what is missing in a folder.

    Parameters
    ----------
    packed, found
        As `begin` gives them.
    calibration : Calibration, optional
        Layers that it has inputs or a Hessian of are packed with error feedback (`golden.weights.ldlq`).
    rounding : callable
        As `golden.quantize.quantize` takes it.
    advance : callable

    Raises
    ------
    GossetError
        If a tensor holds what cannot be packed, or a file cannot be read or written. What is whole stays.
    """
    settings = packed.made_from
    fmt, selection = Format(settings["format"]["q"], settings["format"]["betas"]), settings["selection"]
    packed.folder.mkdir(parents=True, exist_ok=True)
    for file in map(Path, (LISTING, *map(_file, packed.wanted))):
        for stale in packed.folder.glob(f".{file.stem[:40]}.*{file.suffix}"):
            stale.unlink(missing_ok=True)  # `golden.files.replacing` left it in a run that was killed
    packed.save()
    for name in packed.missing:
        rows, columns, transposed = _shape(found[name], tuple(settings["columns"]))
        hessian = calibration.hessian(name) if calibration is not None else None
        step, signal, lost, parts = max(1, PART // columns), np.zeros(2), np.zeros(2), []
        for start in range(0, rows, step):
            x = found[name].read(start, min(start + step, rows), transposed=transposed)
            try:
                part = (
                    quantize(x, fmt, selection=selection, rounding=rounding)
                    if hessian is None
                    else ldlq(x, hessian, fmt, rounding=rounding)
                )
            except GossetError as error:
                raise GossetError(f"{shown(name)}, from row {start} on: {error}") from error
            parts.append(part)
            w = np.asarray(x, dtype=np.float64)
            for sums, values in ((signal, w), (lost, w - part.dequantize())):
                sums += np.square(values).sum(), 0 if hessian is None else np.sum((values @ hessian) * values)
            advance(x.size)
        matrix = PackedMatrix(
            fmt,
            columns,
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.betas for part in parts]),
            np.concatenate([part.scales for part in parts]),
        )
        matrix.save(packed.folder / _file(name))
        weights, outputs = (decibels(float(s), float(e)) for s, e in zip(signal, lost, strict=True))
        packed.entries[name] = Entry(
            _file(name),
            rows,
            columns,
            transposed,
            matrix.bits_per_entry,
            weights,
            None if hessian is None else outputs,
        )
        packed.save()


def decibels(signal: float, lost: float) -> float:
    """10·log₁₀(signal/lost); 999 where nothing is lost."""
    return min(10 * float(np.log10(signal / lost)), 999.0) if lost > 0 and signal > 0 else 999.0


def _any(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _shape(tensor: Tensor, columns: tuple[str, ...]) -> tuple[int, int, bool]:
    """Rows and columns as packed, and whether it is transposed."""
    transposed = _any(columns, tensor.name)
    rows, width = tensor.shape[::-1] if transposed else tensor.shape
    return rows, width, transposed


def _file(name: str) -> str:
    """The file of a tensor: its name, with what no file system's names have as %XX."""
    return f"{quote(name, safe='')}.safetensors"
