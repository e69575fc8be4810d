"""The claims on the link, which `gosset formal` knows as well."""

from fpga.benches import proofs
from sim.formal.catalogue import GROUPS, chosen
from sim.formal.run import run


def test_claims_on_the_link(monkeypatch, tmp_path):
    monkeypatch.delitem(GROUPS, "Link to a board", raising=False)
    proofs.add()
    assert len(chosen(["link_*"])) == len(proofs.claims())
    for entry in run(chosen(["link_sender*"]), tmp_path, 60)["claims"].values():
        assert entry["status"] == "proved" and entry["reached"] and entry["bug"], entry
