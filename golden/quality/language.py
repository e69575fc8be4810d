"""How well a language model survives quantisation: its perplexity with weights, activations and cache packed.

Each by itself and together, every format with the same help: rotated or not, whichever is better for it; scales
searched for weights and cache; keys less a constant, their mean over text that is not measured, which softmax does not
see; no other calibration for any. What is multiplied is what codecs read back, in float32: with
the packed format that is the exact-integer product but for float32's rounding.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike

from golden.errors import GossetError
from golden.format import Format
from golden.quality import bytelm, smollm
from golden.quality.llama import WINDOW, Array, Ids, Llama, Ways
from golden.quality.rotations import rotated, rotation
from golden.quality.texts import spread
from golden.quantize import Rounding, read_back, rms_scales
from golden.rivals import Codec, Coded
from golden.rivals.integers import IntGroups
from golden.rivals.microscaling import mxfp4, nvfp4
from golden.rivals.trellis import Trellis, hashed
from golden.rounding import choose

TOKENS = 40 * WINDOW
"""Tokens of a whole run."""

QUICK = 2 * WINDOW
"""Tokens of a quick one."""

FITTING = 2
"""Windows on which rotations and constants are chosen; none of them is measured."""

Figures = dict[str, float | bool]
Row = Callable[[str, Figures], object]
"""Called with each format's name and figures as they come."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured.

    Attributes
    ----------
    model : Llama
    text : int64 `(windows, WINDOW)`
        All text that there is; some of it is measured.
    baseline : str
        The name of the network as it is, which others are compared with.
    bits : float
        Of its weights.
    """

    model: Llama
    text: Ids
    baseline: str
    bits: float


def subjects() -> dict[str, Callable[[], Subject]]:
    """The models, by name; loading one raises GossetError if its packages are missing."""
    return {
        "SmolLM2-135M": lambda: Subject(smollm.load()[0], smollm.text(), "Q4_1, as shipped", 5.0),
        "bytes": lambda: Subject(bytelm.load(), bytelm.text(), "float16, as trained", 16.0),
    }


@dataclass(frozen=True)
class Packed:
    """The packed format as a codec, with row scales searched or from the RMS of rows, as a chip has them.

    Parameters
    ----------
    format : Format
    search : bool
    rounding : callable
    threads : int, optional
        Both as `golden.quantize.quantize` takes them.
    """

    format: Format
    search: bool = True
    rounding: Rounding = choose
    threads: int | None = None

    def __call__(self, matrix: ArrayLike) -> Coded:
        """Quantises and reads back."""
        scales = None if self.search else rms_scales(matrix, self.format)
        values = read_back(matrix, self.format, scales=scales, rounding=self.rounding, threads=self.threads)
        return Coded(values, self.format.stored_bits(values.shape[1]) / values.shape[1])


@dataclass(frozen=True)
class Suit:
    """A format, as each kind of data has it.

    Parameters
    ----------
    weights, activations, cached : Codec
        Activations are coded as they come; all keys, or all values, that a token leaves
        in the cache of a layer are a row.
    dresses : tuple of bool
        Whether linear layers, and the cache, are each tried rotated, plain, or both.
    """

    weights: Codec
    activations: Codec
    cached: Codec
    dresses: tuple[bool, ...] = (False, True)


def suits(rounding: Rounding = choose) -> dict[str, Suit]:
    """The formats compared, by name."""
    table = {}
    for q in (16, 8):
        fmt = Format(q)
        weights = Packed(fmt, rounding=rounding)
        cached = replace(weights, threads=1)  # windows are computed side by side
        table[f"E8 q={q}"] = Suit(weights, replace(cached, search=False), cached, (True,))
    mx, nv = partial(mxfp4, search=True), partial(nvfp4, search=True)
    four = IntGroups(4)
    table |= {"int4-g64": Suit(four, four, four), "MXFP4": Suit(mx, mx, mx), "NVFP4": Suit(nv, nv, nv)}
    # 192 entries of a row of the cache are no whole groups of 128.
    table["int4-g128"] = Suit(_large_groups, _large_groups, four)
    return table


def _large_groups(x: ArrayLike) -> Coded:
    """int4 in groups of 128, or of the next smaller number of entries that fills rows without padding."""
    columns = np.shape(x)[1]
    return IntGroups(4, max((n for n in range(64, 129) if columns % n == 0), default=128))(x)


def caches(rounding: Rounding = choose) -> dict[str, tuple[Codec, bool]]:
    """The formats of caches that are compared, and whether rows are rotated, by name."""
    table: dict[str, tuple[Codec, bool]] = {
        f"E8 q={q}, rotated": (Packed(Format(q), rounding=rounding, threads=1), True) for q in (16, 8, 4)
    }
    rivals: dict[str, Codec] = {f"int{bits}-g64": IntGroups(bits) for bits in (4, 3, 2)}
    rivals |= {"MXFP4": partial(mxfp4, search=True), "NVFP4": partial(nvfp4, search=True)}
    for name, codec in rivals.items():
        table |= {name: (codec, False), f"{name}, rotated": (codec, True)}
    return table


def trellises() -> dict[str, Codec]:
    """Codes for weights alone, beside the E8 of about their bits."""
    return {"trellis hashed, 3 bits": Trellis(3, hashed), "trellis hashed, 4 bits": Trellis(4, hashed)}


@dataclass
class Counted:
    """A codec that counts its bits, of rows that are rotated or not.

    Parameters
    ----------
    codec : Codec
    rotate : bool
    width : int, optional
        Of the parts of a row that are rotated, each alike; whole rows if not given.
    back : bool
        Whether what is read back is rotated back.
    """

    codec: Codec
    rotate: bool
    width: int | None = None
    back: bool = True
    _bits: float = field(default=0.0, init=False)
    _entries: int = field(default=0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def __call__(self, x: Array) -> Array:
        """What is read back of rows."""
        width = self.width or x.shape[1]
        rows = rotated(x.reshape(-1, width)).reshape(x.shape) if self.rotate else x
        coded = self.codec(rows)
        with self._lock:  # windows are computed side by side
            self._bits += coded.bits_per_entry * x.size
            self._entries += x.size
        if not (self.rotate and self.back):
            return coded.values
        return (coded.values.reshape(-1, width) @ rotation(width).T).reshape(x.shape)

    @property
    def bits(self) -> float:
        """Everything stored, over all entries so far."""
        return self._bits / self._entries


@dataclass
class Trial:
    """A network whose weights, activations and cache can be quantised in one format and dress.

    Parameters
    ----------
    model : Llama
    suit : Suit
    rotate, cache_rotated : bool
        Of linear layers, and of the cache.
    centres : float32 array
        As `Ways` takes it, where the cache is quantised.
    """

    model: Llama
    suit: Suit
    rotate: bool
    cache_rotated: bool
    centres: Array

    def __post_init__(self) -> None:
        self.weights = Counted(self.suit.weights, self.rotate, back=False)
        self._coded = {name: self.weights(matrix) for name, matrix in self.model.linears.items()}

    def with_cache(self, rotated: bool) -> "Trial":
        """The same weights beside another cache."""
        trial = copy(self)
        trial.cache_rotated = rotated
        return trial

    def ways(self, *, weights: bool, activations: bool, cached: bool) -> Ways:
        """How the network is computed with what is named quantised; queries are, where both their sides are."""
        matrices = self._coded if weights else {}
        if self.rotate and activations and not weights:
            matrices = {name: matrix @ rotation(matrix.shape[1]) for name, matrix in self.model.linears.items()}
        if self.rotate and weights and not activations:
            matrices = {name: matrix @ rotation(matrix.shape[1]).T for name, matrix in self._coded.items()}
        width = self.model.shape.width
        plain, store = Ways(), Counted(self.suit.cached, self.cache_rotated, width)
        return Ways(
            dict(matrices),
            Counted(self.suit.activations, self.rotate, back=False) if activations else plain.activations,
            Counted(self.suit.activations, self.cache_rotated, width) if activations and cached else plain.queries,
            store if cached else plain.keys,
            store if cached else plain.values,
            self.centres if cached else None,
        )


def evaluate(
    subject: Subject,
    tokens: int = TOKENS,
    *,
    quick: bool = False,
    rounding: Rounding = choose,
    report: Row = lambda name, row: None,
    found: Mapping[str, Figures] | None = None,
) -> dict[str, Figures]:
    """Perplexity in each format.

    Parameters
    ----------
    subject : Subject
    tokens : int
    quick : bool
        Whether int4-g128 and the trellis codes are left out.
    rounding : callable
        As `golden.quantize.quantize` takes it.
    report : callable
    found : mapping, optional
        Rows of an earlier run that was stopped; they are not measured again.

    Returns
    -------
    name -> bits (of the weights), rotated, cache_rotated, and the perplexity with weights, activations and cache
    quantised, and with all of them `together`; of trellis codes only the weights'.

    Raises
    ------
    GossetError
        If there is less text.
    """
    model, ids = subject.model, spread(subject.text, tokens)
    text = _fitting(subject, ids)
    centres = model.centres(text)
    rows: dict[str, Figures] = dict(found or {})

    def add(name: str, row: Figures) -> None:
        rows[name] = row
        report(name, row)

    if subject.baseline not in rows:
        add(subject.baseline, {"bits": subject.bits, "weights": model.perplexity(ids)})
    known: dict[tuple[Codec, bool], float] = {}

    def of_cache(trial: Trial) -> float:
        """With the cache alone, which formats may have in common."""
        key = (trial.suit.cached, trial.cache_rotated)
        if key not in known:
            known[key] = model.perplexity(ids, trial.ways(weights=False, activations=False, cached=True))
        return known[key]

    for name, suit in suits(rounding).items():
        if (quick and name == "int4-g128") or name in rows:
            continue
        trial = _dressed(model, suit, centres, text)
        row: Figures = {
            "bits": trial.weights.bits,
            "rotated": trial.rotate,
            "cache_rotated": trial.cache_rotated,
        }
        row["weights"] = model.perplexity(ids, trial.ways(weights=True, activations=False, cached=False))
        row["activations"] = model.perplexity(ids, trial.ways(weights=False, activations=True, cached=False))
        row["cache"] = of_cache(trial)
        row["together"] = model.perplexity(ids, trial.ways(weights=True, activations=True, cached=True))
        add(name, row)
    for name, codec in {} if quick else trellises().items():
        if name in rows:
            continue
        trial = Trial(model, Suit(codec, codec, codec), True, True, centres)
        ways = trial.ways(weights=True, activations=False, cached=False)
        add(name, {"bits": trial.weights.bits, "rotated": True, "weights": model.perplexity(ids, ways)})
    return rows


def evaluate_caches(
    subject: Subject,
    tokens: int = TOKENS,
    *,
    rounding: Rounding = choose,
    report: Row = lambda name, row: None,
    found: Mapping[str, Figures] | None = None,
) -> dict[str, Figures]:
    """Perplexity with nothing but the cache of keys and values quantised.

    Parameters
    ----------
    subject, tokens, rounding, report, found
        As in `evaluate`.

    Returns
    -------
    name -> bits (everything stored), perplexity, more_percent (than with the cache in float32)

    Raises
    ------
    GossetError
        If there is less text.
    """
    model, ids = subject.model, spread(subject.text, tokens)
    centres = model.centres(_fitting(subject, ids))
    exact = float(found["float32"]["perplexity"]) if found else model.perplexity(ids)
    rows: dict[str, Figures] = dict(found or {})

    def add(name: str, bits: float, lost: float) -> None:
        rows[name] = {"bits": bits, "perplexity": lost, "more_percent": 100 * (lost / exact - 1)}
        report(name, rows[name])

    if "float32" not in rows:
        add("float32", 32.0, exact)
    for name, (codec, rotate) in caches(rounding).items():
        if name not in rows:
            counted = Counted(codec, rotate, model.shape.width)
            lost = model.perplexity(ids, Ways(keys=counted, values=counted, centres=centres))
            add(name, counted.bits, lost)
    return rows


def _dressed(model: Llama, suit: Suit, centres: Array, text: Ids) -> Trial:
    """The format with linear layers, and with a cache, rotated or not, as each is better for it on a text."""

    def better(trials: list[Trial], **quantised: bool) -> Trial:
        if len(trials) == 1:
            return trials[0]
        return min(trials, key=lambda trial: model.perplexity(text, trial.ways(**quantised)))

    linear = better(
        [Trial(model, suit, rotate, suit.dresses[0], centres) for rotate in suit.dresses],
        weights=True,
        activations=True,
        cached=False,
    )
    cached = [linear.with_cache(rotate) for rotate in suit.dresses]
    return better(cached, weights=False, activations=False, cached=True)


def _fitting(subject: Subject, measured: Ids) -> Ids:
    """Some windows of text that are not among the measured ones; raises GossetError if there is none."""
    seen, every = {window.tobytes() for window in measured}, subject.text
    windows = [window for window in every[len(every) // 3 :] if window.tobytes() not in seen][:FITTING]
    if not windows:
        raise GossetError(f"Of {every.size:,} tokens of text {WINDOW:,} at least must be left to choose rotations on.")
    return np.array(windows)
