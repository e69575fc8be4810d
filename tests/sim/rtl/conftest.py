"""Models of the two designs of `tests.sim.rtl.designs`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.rtl.model import Model
from tests.sim.rtl.designs import BENCH, BENCH_DESCRIPTION, PIPE, PIPE_DESCRIPTION


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both designs."""
    path = tmp_path_factory.mktemp("designs")
    for name, text, description in (("bench", BENCH, BENCH_DESCRIPTION), ("pipe", PIPE, PIPE_DESCRIPTION)):
        (path / f"{name}.v").write_text(text)
        (path / f"{name}.json").write_text(json.dumps(description))
    return path


@pytest.fixture
def bench(folder: Path) -> Iterator[Model]:
    with Model(folder / "bench.v") as model:
        model.reset()
        yield model


@pytest.fixture
def inside(folder: Path) -> Iterator[Model]:
    with Model(folder / "bench.v", public=True) as model:
        model.reset()
        yield model
