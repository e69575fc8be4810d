"""docs/verification.md says what the claims say, and what became of them."""

import json

import pytest

from golden.errors import GossetError
from sim.formal.catalogue import all_claims
from tests.measured import units
from tests.proofs import DOCS, NOT_PROVED, PAGE, SURVIVORS, stored
from tests.proofs import page as whole_page


@pytest.fixture
def report():
    return stored()[0]


def page(report):
    """The page, of a report on the claims and of those on mutants and on soaking as they are."""
    return whole_page(report, *stored()[1:])


def test_the_page_is_of_these_claims_and_this_report(report):
    assert PAGE.read_text(encoding="utf-8") == page(report), "make formal, then python -m tests.proofs"


def test_the_page_is_of_units_that_there_are():
    assert set(stored()[1]["units"]) <= set(units())
    assert all(unit["mutants"] >= min(300, unit["possible"]) for unit in stored()[1]["units"].values())
    assert stored()[3]["mismatches"] == 0


def test_reasons_are_of_mutants_that_survive():
    units = stored()[1]["units"]
    for unit, reasons in json.loads(SURVIVORS.read_text(encoding="utf-8")).items():
        assert set(reasons) <= {f"{one['target']} = {one['broken']}" for one in units[unit]["survivors"]}


def test_a_claim_that_was_not_run_is_said_to_be_so(report):
    del report["claims"]["axi_read_master"]
    assert "| `axi_read_master` |" in page(report) and "not run yet" in page(report)


def test_a_claim_that_says_something_else_is_found(report):
    report["claims"]["axi_read_master"]["claim"] += " And more."
    with pytest.raises(GossetError, match="The claims have changed"):
        page(report)


def test_a_claim_that_is_not_proved_has_no_page(report):
    report["claims"]["axi_read_master"]["status"] = "undecided"
    with pytest.raises(GossetError, match="axi_read_master is undecided"):
        page(report)


def test_it_says_what_is_not_proved(report):
    made = page(report)
    assert all(f"- {gap}" in made for gap in NOT_PROVED)
    assert "docs/verification.md" in (DOCS.parent / "README.md").read_text(encoding="utf-8")


def test_every_claim_has_a_case_and_a_bug(report):
    assert all(entry["reached"] and entry["bug"] for entry in report["claims"].values())


def test_the_readme_has_the_number_of_claims():
    count = sum(map(len, all_claims().values()))
    assert f" {count} claims" in (DOCS.parent / "README.md").read_text(encoding="utf-8")
