"""The claims on the link, which `gosset formal` knows as well."""

import pytest

from fpga.benches import proofs
from sim.formal.catalogue import GROUPS, chosen
from sim.formal.run import run
from tests.claims import on_the_hardware

LONG = ("link_core_ends", "link_runner")
"""Those whose proofs take long."""


@pytest.fixture(autouse=True)
def added(monkeypatch):
    monkeypatch.delitem(GROUPS, "Link to a board", raising=False)
    proofs.add()


def test_claims_on_the_link(tmp_path):
    assert len(chosen(["link_*"])) == len(proofs.claims())
    short = [claim for claim in chosen(["link_*"]) if claim.name not in LONG]
    for entry in run(short, tmp_path, 60)["claims"].values():
        assert entry["status"] == "proved" and entry["reached"] and entry["bug"], entry


def test_the_others_are_on_the_link_as_it_is():
    on_the_hardware(chosen(LONG))
