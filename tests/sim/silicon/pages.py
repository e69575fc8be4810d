"""Figures in docs/silicon.md, from the tables that are shipped; `python -m tests.sim.silicon.pages` redraws them."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from golden.files import write_text
from sim.silicon.report import report, sections
from sim.silicon.tables import load, technologies

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "silicon.md"
PART = re.compile(r"(<!-- (\w+): (.*?) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def page() -> str:
    """The page, with what stands between its marks drawn anew."""
    known = {name: sections(load(name)) for name in technologies()}

    def drawn(match: re.Match[str]) -> str:
        return f"{match[1]}{known[match[2]][match[3]]}{match[4]}"

    return PART.sub(drawn, PAGE.read_text(encoding="utf-8"))


def pictures() -> None:
    """The pictures beside it."""
    for name in technologies():
        with TemporaryDirectory() as folder:
            for path in report(load(name), Path(folder)):
                if path.suffix == ".png":
                    (DOCS / "images" / f"silicon_{name}_{path.stem}.png").write_bytes(path.read_bytes())


if __name__ == "__main__":
    write_text(PAGE, page())
    pictures()
