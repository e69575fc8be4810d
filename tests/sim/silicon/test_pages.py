from tests.sim.silicon.pages import DOCS, PAGE, PART, page


def test_the_page_says_what_the_tables_say():
    text = PAGE.read_text(encoding="utf-8")
    assert {match[2] for match in PART.finditer(text)} == {"asap7", "ihp"}
    assert page() == text, "python -m tests.sim.silicon.pages"


def test_its_pictures_are_there():
    for name in PAGE.read_text(encoding="utf-8").split("](images/")[1:]:
        assert (DOCS / "images" / name.split(")")[0]).is_file()
