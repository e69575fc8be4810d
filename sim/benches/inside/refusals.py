"""Why a job is refused: said once more, of the numbers of the job, for the testbenches."""

from collections.abc import Iterable

from hw.design import LEAST_KEPT, DesignPoint
from hw.engine.planner import KEPT_ERROR, errors
from sim.benches.inside.signals import Beat


def reasons(design: DesignPoint, job: Beat) -> list[str]:
    """Why a job of packed or int8 activations is refused: all that is wrong with it by itself; or else what is the
    first to be too much, row tile by row tile."""
    output_stationary = design.dataflow == "os"
    summed = design.keep_rows and (job["add"] or job["keep"])
    wrong = {
        "empty": not (job["rows"] and job["tiles"] and job["steps"]),
        "too_many_rows": job["rows"] > design.panel_rows,
        "x_too_long": job["steps"] > design.x_depth,
        "w_too_long": output_stationary and job["steps"] > design.w_depth,
        "activations": bool(job["raw"]) or ("int8" if job["int8"] else "packed") not in design.activations,
        KEPT_ERROR: summed and max(1, job["rows"]) * max(1, job["tiles"]) < LEAST_KEPT,
    }
    if not any(wrong.values()):
        rows = design.rows if output_stationary else 1
        for tiles in range(1, -(-job["rows"] // rows) + 1):
            wrong["x_too_long"] = tiles * job["steps"] * (1 + job["int8"]) > design.x_depth
            wrong[KEPT_ERROR] = summed and tiles * job["tiles"] > design.keep_rows // rows
            if any(wrong.values()):
                break
    return [reason for reason, holds in wrong.items() if holds]


def bits(design: DesignPoint, wrong: Iterable[str]) -> int:
    """The error bits of some reasons."""
    return sum(1 << errors(design).index(reason) for reason in wrong)
