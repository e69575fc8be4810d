"""Heavy tasks on a cluster: each result is in the store before anyone is told of it, and none is computed again."""

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

from golden.errors import ToolError
from sim.studies.store import Store, key_of, same

try:
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker
except ImportError as error:
    raise ToolError("Dask is missing; install it with: pip install 'gosset[explore]'.") from error

Task = Callable[[Any], dict[str, Any]]
"""Computes the result of inputs; both are what JSON can write."""

CONNECT = 10
"""Seconds in which a scheduler must answer."""


def run_tasks(
    task: Task,
    inputs: Sequence[Any],
    store: Store,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    advance: Callable[[int], None] = lambda tasks: None,
) -> list[dict[str, Any]]:
    """The results of all inputs, in order.

    Parameters
    ----------
    task : callable
        A function of a module, which workers import.
    inputs : sequence
    store : Store
        What is there already is not computed.
    scheduler : str, optional
        Address of Dask's scheduler, `tcp://HOST:PORT`; without one, a local cluster for as long as it takes.
    workers : int
        Processes of the local cluster.
    advance : callable
        Called with 1 after each task.

    Raises
    ------
    ToolError
        If the scheduler is not there, or goes; what was computed until then is in the store.
    """
    keys = [key_of(some) for some in inputs]
    results = {key: store.get(key) for key in keys}
    missing = {key: some for key, some in zip(keys, inputs, strict=True) if results[key] is None}
    advance(sum(results[key] is not None for key in keys))
    if missing:
        for name in ("distributed", "distributed.client"):  # which has a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with dask.config.set({"distributed.worker.daemon": False, "distributed.admin.tick.interval": "1s"}):
            if scheduler is not None:
                _on(_connect(scheduler), task, missing, store, results, advance)
            else:
                _locally(min(workers, len(missing)), task, missing, store, results, advance)
    return [dict(results[key] or {}) for key in keys]


def _connect(scheduler: str) -> Any:
    try:
        return Client(scheduler, timeout=CONNECT)
    except (OSError, ValueError, TypeError) as error:
        raise ToolError(
            f"No scheduler answers at {scheduler}: start one with dask scheduler, or leave it out."
        ) from error


def _locally(workers: int, *rest: Any) -> None:
    cluster = LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=logging.CRITICAL
    )
    try:
        _on(Client(cluster, timeout=CONNECT), *rest)
    except BaseException:
        for process in multiprocessing.active_children():  # what they are at is not waited for
            process.kill()
        raise
    finally:
        with suppress(TimeoutError):
            cluster.close(timeout=1)


def _on(
    client: Any,
    task: Task,
    missing: dict[str, Any],
    store: Store,
    results: dict[str, dict[str, Any] | None],
    advance: Callable[[int], None],
) -> None:
    try:
        futures = {
            client.submit(_once, task, key, some, str(store.path.absolute()), store.identity, key=key, pure=True): key
            for key, some in missing.items()
        }
        for future in as_completed(futures):
            key = futures[future]
            result, kept = future.result()
            if not kept:  # the worker has another disk
                store.put(key, missing[key], result)
            results[key] = result
            advance(1)
    except (CancelledError, CommClosedError) as error:  # the latter while a result was on its way
        raise ToolError("The scheduler has gone; what was computed is in the store: start it again.") from error
    except KilledWorker as error:
        raise ToolError(f"A task made several workers die, and is given up: {error}.") from error
    finally:
        with suppress(TimeoutError):
            client.close(timeout=1)


def _once(task: Task, key: str, inputs: Any, path: str, identity: str) -> tuple[dict[str, Any], bool]:
    """What a worker does: the result, and whether it is in the store."""
    store = same(Path(path), identity)
    if store and (found := store.get(key)) is not None:  # another study was faster
        return found, True
    result = task(inputs)
    if store:
        store.put(key, inputs, result)
    return result, store is not None
