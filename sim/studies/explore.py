"""From a study to its front: the whole grid in slices, or a search where the grid is too large."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError, ToolError
from hw.design import DesignPoint
from sim.studies.evaluate import SLICE, Space
from sim.studies.front import Front
from sim.studies.networks import results
from sim.studies.study import LARGEST_GRID, OBJECTIVES, Study, formats
from sim.studies.units import generated, pipeline

Floats = NDArray[np.float64]

SAMPLE = 4000
"""Points beside the front that are kept for the picture."""

POPULATION = 200
"""Points of a generation of the search."""


@dataclass(eq=False)
class Found:
    """What a study found.

    Attributes
    ----------
    space : Space
    ids : int64 `(points,)`
        The front's numbers in the grid, by the first objective.
    columns : mapping
        Of the front's points.
    sample : mapping
        Of points beside the front, drawn evenly.
    evaluated, missing, excluded : int
        Points with figures; those that there are no machines, units or results of a network of; those beyond a limit.
    grid : bool
        Whether it was the whole grid.
    seconds : float
    """

    space: Space
    ids: NDArray[np.int64]
    columns: dict[str, Floats]
    sample: dict[str, Floats]
    evaluated: int
    missing: int
    excluded: int
    grid: bool
    seconds: float
    refined: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


def objectives(study: Study, found: dict[str, Floats]) -> Floats:
    """Objectives of points, of each less is better: `(points, objectives)`."""
    more = {"quality": True, "network": bool(study.network and results()[study.network]["more"])}
    columns = [(-1 if more.get(name) else 1) * found[OBJECTIVES[name]] for name in study.objectives]
    return np.stack(columns, axis=1)


def explore(study: Study, advance: Callable[[int], None] = lambda points: None) -> Found:
    """Evaluates a study.

    Parameters
    ----------
    study : Study
    advance : callable
        Called with numbers of points as they are done.

    Raises
    ------
    GossetError
        If no point is left, with the limit that excludes most.
    """
    space, front, start = Space(study), Front(len(study.objectives)), time.monotonic()
    rng = np.random.default_rng(study.seed)
    counts = {"evaluated": 0, "tried": 0, "excluded": 0}
    by_limit = dict.fromkeys([*study.most, *study.least], 0)
    kept: list[NDArray[np.int64]] = []
    grid = space.size <= LARGEST_GRID

    def take(numbers: NDArray[np.int64]) -> None:
        ids, found = space.evaluate(numbers)
        counts["tried"] += len(numbers)
        counts["evaluated"] += len(ids)
        if len(ids):
            inside = space.limited(found)
            counts["excluded"] += int((~inside).sum())
            for column in by_limit:
                good = np.ones(len(ids), dtype=np.bool_)
                good &= found[column] <= study.most.get(column, np.inf)
                good &= found[column] >= study.least.get(column, -np.inf)
                by_limit[column] += int((~good).sum())
            front.add(objectives(study, found)[inside], ids[inside])
            of = space.size if grid else study.evaluations
            chosen = inside & (rng.random(len(ids)) < 2 * SAMPLE / of)
            kept.append(ids[chosen])
        advance(len(numbers))

    if grid:
        for first in range(0, space.size, SLICE):
            take(np.arange(first, min(first + SLICE, space.size)))
    else:
        _search(space, study, take)
    if not len(front.ids):
        if not counts["evaluated"]:
            raise GossetError(
                f"{study.title}: none of the {space.size:,} points has measured units in {study.technology} and rows "
                "that fit a panel."
            )
        column = max(by_limit, key=lambda name: by_limit[name])
        limits = [f"{word} {some[column]:g}" for word, some in (("at most", study.most), ("at least", study.least))
                  if column in some]  # fmt: skip
        raise GossetError(
            f"{study.title}: no point is within the limits; {column} of {' and '.join(limits)} alone excludes "
            f"{by_limit[column]:,} of {counts['evaluated']:,}."
        )
    ids, columns = space.evaluate(np.sort(front.ids))
    order = np.argsort(objectives(study, columns)[:, 0], kind="stable")
    beside = np.setdiff1d(np.concatenate(kept), ids)
    if len(beside) > SAMPLE:
        beside = np.sort(rng.choice(beside, SAMPLE, replace=False))
    _, sample = space.evaluate(beside)
    missing = counts["tried"] - counts["evaluated"]
    return Found(
        space=space,
        ids=ids[order],
        columns={name: column[order] for name, column in columns.items()},
        sample=sample,
        evaluated=counts["evaluated"],
        missing=missing,
        excluded=counts["excluded"],
        grid=grid,
        seconds=time.monotonic() - start,
    )


def _search(space: Space, study: Study, take: Callable[[NDArray[np.int64]], None]) -> None:
    """NSGA-II over the axes, a generation at once."""
    try:
        import optuna
    except ImportError as error:
        raise ToolError(
            f"A grid of {space.size:,} points is searched by Optuna; install it with: pip install 'gosset[explore]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=study.seed)
    directions = [optuna.study.StudyDirection.MINIMIZE] * len(study.objectives)
    search = optuna.create_study(directions=directions, sampler=sampler)
    spread: dict[str, Any] = {
        name: optuna.distributions.IntDistribution(0, size - 1)
        for name, size in zip(space.names, space.shape, strict=True)
    }
    done = 0
    while done < study.evaluations:
        trials = [search.ask(spread) for _ in range(min(POPULATION, study.evaluations - done))]
        at = np.array([[trial.params[name] for name in space.names] for trial in trials]).T
        numbers = np.ravel_multi_index(tuple(at), space.shape)
        distinct = np.unique(numbers)
        ids, found = space.evaluate(distinct)
        values = objectives(study, found) if len(ids) else np.empty((0, len(directions)))
        places = {int(number): place for place, number in enumerate(ids)}
        for trial, number in zip(trials, numbers, strict=True):
            place = places.get(int(number))
            if place is None:
                search.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            for name, limit in study.most.items():
                trial.set_constraint(f"most {name}", float(found[name][place] - limit))
            for name, limit in study.least.items():
                trial.set_constraint(f"least {name}", float(limit - found[name][place]))
            search.tell(trial, values[place].tolist())
        take(distinct)
        done += len(trials)


def design_of(settings: dict[str, Any]) -> DesignPoint | None:
    """The design of a point, which can be generated; None of formats of which there are cells only."""
    build = formats()[settings["format"]]
    if not (format := generated(build)):
        return None
    stationary = settings["dataflow"] == "ws"
    name = f"e8_{build.cell.removeprefix('cell_')}_{settings['rows']}x{settings['cols']}_{settings['dataflow']}"
    return DesignPoint(
        name=name,
        format=format,
        pipeline=pipeline(build),
        activations=(settings["activations"],),
        dsp_cols=settings["cols"] * (settings["products"] == "dsps"),
        w_depth=0 if stationary else settings["w_depth"],
        **{key: settings[key] for key in ("rows", "cols", "dataflow", "panel_rows", "x_depth")},
    )


def name_of(settings: dict[str, Any]) -> str:
    """The ID of a point: the same settings have the same one in every study."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]
