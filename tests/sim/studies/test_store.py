import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import CancelledError
from contextlib import suppress
from unittest import mock

import pytest

from golden.errors import GossetError, ToolError
from sim.studies.store import Store, key_of
from tests.children import listens

CommClosedError = pytest.importorskip("distributed.comm").CommClosedError
cluster_of_dask = pytest.importorskip("sim.studies.cluster")


def start(tmp_path, count, seconds, *scheduler, **given):
    words = ["tests.sim.studies.slow", tmp_path / "s.sqlite", tmp_path / "log", count, seconds, *scheduler]
    return python(*words, **given)


def python(*words, **given):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, words)], start_new_session=True, preexec_fn=listens, **given
    )


def lines(tmp_path):
    path = tmp_path / "log"
    return path.read_text().split() if path.exists() else []


def wait_for(tmp_path, count):
    for _ in range(600):
        if len(lines(tmp_path)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError("no task was done in a minute")


def test_a_study_that_is_stopped_and_killed_goes_on_where_it_was(tmp_path):
    kept = 0
    for how in (signal.SIGINT, signal.SIGKILL):
        study = start(tmp_path, 60, 0.05)
        wait_for(tmp_path, kept + 5)
        began = time.monotonic()
        study.send_signal(how)
        assert study.wait(timeout=20) == (130 if how == signal.SIGINT else -how)
        assert time.monotonic() - began < 4
        time.sleep(1)  # workers notice that their parent has gone
        kept = len(Store(tmp_path / "s.sqlite").runs())
        assert 4 <= kept < 60
    assert start(tmp_path, 60, 0.05).wait(timeout=120) == 0
    assert len(Store(tmp_path / "s.sqlite").runs()) == 60, "nothing is lost"
    runs = Store(tmp_path / "s.sqlite").runs()
    assert set(runs.values()) == {1}, "no result was computed twice"
    again = [number for number, times in Counter(lines(tmp_path)).items() if times > 1]
    assert len(again) <= 4, "only what was under way in two workers may have begun again"


def cluster(port):
    address = f"tcp://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = python(
        "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", **quiet
    )  # fmt: skip
    worker = ("distributed.cli.dask_worker", address, "--nthreads", 1, "--no-dashboard", "--death-timeout", 20)
    return address, [scheduler, *(python(*worker, **quiet) for _ in range(2))]


@pytest.mark.parametrize("end", [CancelledError, CommClosedError])
def test_a_scheduler_that_goes_while_a_result_is_on_its_way(end, tmp_path, monkeypatch):
    client = mock.Mock()
    client.submit.return_value.result.side_effect = end("Stream is closed")
    monkeypatch.setattr(cluster_of_dask, "_connect", lambda scheduler: client)
    monkeypatch.setattr(cluster_of_dask, "as_completed", list)
    with pytest.raises(ToolError, match="The scheduler has gone"):
        cluster_of_dask.run_tasks(dict, [1], Store(tmp_path / "s.sqlite"), scheduler="tcp://127.0.0.1:1")
    client.close.assert_called_once()


def test_a_cluster_of_others_whose_worker_and_scheduler_are_killed(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, processes = cluster(port)
    try:
        with open(tmp_path / "said", "w") as said:
            study = start(tmp_path, 200, 0.02, address, stderr=said)
        wait_for(tmp_path, 20)
        os.killpg(processes[1].pid, signal.SIGKILL)  # a worker with its nanny
        wait_for(tmp_path, 60)
        assert study.poll() is None
        os.killpg(processes[0].pid, signal.SIGKILL)
        assert study.wait(timeout=60) == 2
        sentence = "slow: The scheduler has gone; what was computed is in the store: start it again.\n"
        assert (tmp_path / "said").read_text() == sentence
        before = Store(tmp_path / "s.sqlite").runs()
        assert 50 <= len(before) < 200
        os.killpg(processes[2].pid, signal.SIGKILL)
        address, more = cluster(port)
        processes += more
        assert start(tmp_path, 200, 0.02, address).wait(timeout=120) == 0
        runs = Store(tmp_path / "s.sqlite").runs()
        assert len(runs) == 200 and set(runs.values()) == {1}, "nothing lost, and no result computed twice"
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_worker_that_dies_is_replaced(tmp_path):
    from sim.studies.cluster import run_tasks
    from tests.sim.studies.slow import slow

    given = [
        {"number": n, "seconds": 0, "log": str(tmp_path / "log"), "dies": str(tmp_path / "died")} for n in range(6)
    ]
    results = run_tasks(slow, given, Store(tmp_path / "s.sqlite"), workers=1)
    assert (tmp_path / "died").exists()
    assert [result["square"] for result in results] == [0, 1, 4, 9, 16, 25]
    results = run_tasks(slow, given, Store(tmp_path / "s.sqlite"), workers=1)
    assert len(lines(tmp_path)) == 6, "what is in the store is not computed again"


def test_a_scheduler_that_is_not_there_is_told(tmp_path, monkeypatch):
    from sim.studies import cluster

    monkeypatch.setattr(cluster, "CONNECT", 1)
    with pytest.raises(ToolError, match=r"No scheduler answers at tcp://127\.0\.0\.1:1"):
        cluster.run_tasks(print, [1], Store(tmp_path / "s.sqlite"), scheduler="tcp://127.0.0.1:1")


def test_stores_of_others_are_refused(tmp_path):
    path = tmp_path / "s.sqlite"
    Store(path).put(key_of([1]), [1], {"a": 2})
    assert Store(path).get(key_of([1])) == {"a": 2}
    with sqlite3.connect(path) as database:
        database.execute("UPDATE about SET schema = 99")
    database.close()
    with pytest.raises(GossetError, match="store of version 99"):
        Store(path)
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(GossetError, match="no store that can be used"):
        Store(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as database:
        database.execute("CREATE TABLE x (y)")
    database.close()
    with pytest.raises(GossetError, match="database of something else"):
        Store(tmp_path / "other")
    assert os.path.exists(path)
