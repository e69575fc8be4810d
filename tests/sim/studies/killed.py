"""A study of 210 simulations whose worker, scheduler and own process are killed; `python -m tests.sim.studies.killed`.

The simulations are real ones: products of different sizes on the Verilated RTL of an array, whose cycles must be the
model's. A cluster of separate processes loses a worker and then its scheduler; a study with a cluster of its own is
killed itself; the one after that ends. Nothing may be lost, and nothing computed twice.
"""

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from golden.exits import ending
from hw.design import PRESETS, DesignPoint
from sim.models.cycles import cycles
from sim.models.schedule import Machine
from sim.studies.cluster import run_tasks
from sim.studies.refine import inputs_of, simulate
from sim.studies.store import Store, key_of
from tests.sim.studies.test_store import cluster, python

PRODUCTS = 210


def tasks():
    """Inputs of the simulations."""
    design = replace(PRESETS["tiny"], name="explored")
    return [inputs_of(design, False, 1 + number % 9, 8 + number % 32, 64 + 16 * number) for number in range(PRODUCTS)]


def study(store, scheduler=None):
    """The study itself, in a process of its own."""
    run_tasks(simulate, tasks(), Store(Path(store)), workers=2, scheduler=scheduler)


def done(store):
    """How many results there are."""
    return len(Store(store).runs())


def wait_for(store, count, process):
    """Until there are so many results."""
    while done(store) < count:
        if process.poll() is not None:
            raise RuntimeError(f"The study has ended with {process.returncode}.")
        time.sleep(0.1)


def main():
    """Kills and counts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    start = time.monotonic()

    def say(what):
        print(f"{time.monotonic() - start:6.1f} s: {what}; {done(store)} of {len(tasks())} results", flush=True)

    def begun(*scheduler):
        processes.append(python("tests.sim.studies.killed", store, *scheduler))
        return processes[-1]

    def kill(process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    with TemporaryDirectory() as name:
        store = Path(name) / "store.sqlite"
        try:
            address, others = cluster(port)
            processes += others
            scheduler, worker, _ = others
            first = begun(address)
            wait_for(store, 30, first)
            kill(worker)
            say("a worker is killed")
            wait_for(store, 80, first)
            kill(scheduler)
            code = first.wait(timeout=60)
            say(f"the scheduler is killed, and the study ends with {code}")
            kill(others[2])
            second = begun()
            wait_for(store, done(store) + 40, second)
            second.kill()
            second.wait()
            time.sleep(2)  # its workers notice that it has gone
            say("the study is killed")
            third = begun()
            code = third.wait()
            say(f"started again, the study ends with {code}")
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        kept, runs = Store(store), Store(store).runs()
        wrong = 0
        for inputs in tasks():
            result, (m, n, k) = kept.get(key_of(inputs)), inputs["product"]
            expected = int(cycles(Machine.of(DesignPoint.from_dict(inputs["design"])), m, n, k).cycles)
            wrong += result is None or result["cycles"] != expected or not result["equal"]
        again = sum(count > 1 for count in runs.values())
        print(
            f"{len(tasks()) - len(runs)} results are lost, {again} were computed twice, {wrong} differ from the model"
        )
        sys.exit(bool(len(tasks()) - len(runs) or again or wrong))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        from tests.sim.studies import killed

        ending("killed", lambda: killed.study(*sys.argv[1:]))
    else:
        main()
