"""The driver in C of one of the designs of `tests.hw.axi.driver`."""

import pytest

from tests.hw.axi.driver import compiled


@pytest.fixture
def library(request, tmp_path_factory):
    return compiled(request.param, tmp_path_factory.getbasetemp())
