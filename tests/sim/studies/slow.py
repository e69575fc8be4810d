"""A heavy task for tests of the cluster: each run leaves a line in a file."""

import os
import time


def slow(inputs):
    time.sleep(inputs["seconds"])
    if inputs.get("dies") and not os.path.exists(inputs["dies"]):
        open(inputs["dies"], "w").close()
        os._exit(1)
    with open(inputs["log"], "a") as file:
        file.write(f"{inputs['number']}\n")
    return {"square": inputs["number"] ** 2}


def main(store, log, count, seconds, scheduler=None):
    from pathlib import Path

    from sim.studies.cluster import run_tasks
    from sim.studies.store import Store

    inputs = [{"number": number, "seconds": float(seconds), "log": log} for number in range(int(count))]
    results = run_tasks(slow, inputs, Store(Path(store)), workers=2, scheduler=scheduler)
    assert [result["square"] for result in results] == [number**2 for number in range(int(count))]


if __name__ == "__main__":
    import sys

    from golden.exits import ending
    from tests.sim.studies.slow import main as importable

    ending("slow", lambda: importable(*sys.argv[1:]))
