"""docs/verification.md says what the claims say, and what became of them."""

import json

import pytest

from golden.errors import GossetError
from sim.formal.catalogue import all_claims
from tests.proofs import DOCS, NOT_PROVED, PAGE, PROOFS, page


@pytest.fixture
def report():
    return json.loads(PROOFS.read_text(encoding="utf-8"))


def test_the_page_is_of_these_claims_and_this_report(report):
    assert PAGE.read_text(encoding="utf-8") == page(report), "make formal, then python -m tests.proofs"


def test_a_claim_that_is_not_in_the_report_is_found(report):
    del report["claims"]["decoder_q16_deep"]
    with pytest.raises(GossetError, match="The claims have changed"):
        page(report)


def test_a_claim_that_says_something_else_is_found(report):
    report["claims"]["decoder_q16_deep"]["claim"] += " And more."
    with pytest.raises(GossetError, match="The claims have changed"):
        page(report)


def test_a_claim_that_is_not_proved_has_no_page(report):
    report["claims"]["decoder_q16_deep"]["status"] = "undecided"
    with pytest.raises(GossetError, match="decoder_q16_deep is undecided"):
        page(report)


def test_it_says_what_is_not_proved(report):
    made = page(report)
    assert all(f"- {gap}" in made for gap in NOT_PROVED)
    assert "docs/verification.md" in (DOCS.parent / "README.md").read_text(encoding="utf-8")


def test_every_claim_has_a_case_and_a_bug(report):
    for group in all_claims().values():
        for claim in group:
            entry = report["claims"][claim.name]
            assert entry["reached"] and entry["bug"], claim.name


def test_the_readme_has_the_number_of_claims(report):
    assert f" {len(report['claims'])} claims" in (DOCS.parent / "README.md").read_text(encoding="utf-8")
