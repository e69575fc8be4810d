"""How fluid the page of a study is with 10,000 points, in headless Chromium, from a file and with no network.

python -m benchmarks.page                       # measures
python -m benchmarks.page docs/images/exploration.png     # a picture of the page, with a point chosen
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sim.studies.explore import explore
from sim.studies.report import page, write
from sim.studies.study import Study

POINTS = 10_000

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""Names of the browser."""

MEASURE = """<script>
const times = {}, timed = (name, count, work) => {
  const each = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    work(i);
    canvas.getContext("2d").getImageData(0, 0, 1, 1);  // what was asked of the canvas is drawn
    each.push(performance.now() - start);
  }
  each.sort((a, b) => a - b);
  times[name] = {median: each[count >> 1], worst: each[count - 1]};
};
const box = canvas.getBoundingClientRect();
timed("draw", 20, () => draw());
timed("hover", 300, i => canvas.onmousemove({clientX: box.left + 60 + 2.4 * i, clientY: box.top + 480 - 1.4 * i}));

timed("click", 20, i => choose(37 * i % front.length));
timed("sort", 10, i => by("rows").querySelectorAll("th")[1 + i].onclick());
const said = document.createElement("pre");
said.id = "measured";
said.append(JSON.stringify({points: front.length, errors: window.failed || [], drawn: places.length, times}));
document.body.append(said);
</script>"""


def browser() -> str | None:
    """The path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def look(chromium: str, file: Path, *options: str) -> str:
    """What a page becomes in a browser without a network: its elements as text."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    words += ["--window-size=1400,1100", f"--user-data-dir={file.parent / 'profile'}", *options, file.as_uri()]
    return subprocess.run([chromium, *words], capture_output=True, encoding="utf-8", check=True, timeout=300).stdout


def grown(report: dict, points: int) -> dict:
    """A report with so many points: copies of its own, each a little beside its original."""
    rng, front = np.random.default_rng(0), report["front"]
    more = []
    for number in range(points):
        sheet = front[number % len(front)]
        factors = rng.uniform(0.8, 1.25, len(sheet["figures"]))
        figures = {key: value * f for (key, value), f in zip(sheet["figures"].items(), factors, strict=True)}
        more.append(sheet | {"figures": figures, "id": f"{number:010x}"})
    return report | {"front": more}


def measured(chromium: str, report: dict, sample: dict, folder: Path) -> dict:
    """Times of drawing, hovering, clicking and sorting, in ms, of the page of a report."""
    text = page(report, sample).replace("</html>", MEASURE + "</html>")
    assert MEASURE in text
    trap = "<script>window.failed = []; window.onerror = e => window.failed.push(String(e));</script>"
    file = folder / "page.html"
    file.write_text(text.replace("<title>", trap + "<title>", 1), encoding="utf-8")
    found = re.search(r'<pre id="measured">(.*?)</pre>', look(chromium, file, "--dump-dom"))
    if not found:
        raise RuntimeError("The page came to no end in the browser.")
    return dict(json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")))


def drawn(chromium: str, report: dict, sample: dict, folder: Path, picture: Path) -> None:
    """Takes a picture of the page of a report, in which the sheet of a point that can be generated is open."""
    chosen = next(number for number, sheet in enumerate(report["front"]) if sheet["design"])
    text = page(report, sample).replace("</html>", f"<script>choose({chosen});</script></html>")
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    look(chromium, file, "--hide-scrollbars", f"--screenshot={picture.absolute()}")


def main(picture: str | None = None) -> None:
    """Measures and prints, or takes a picture."""
    chromium = browser()
    if not chromium:
        print("page: no Chromium is installed")
        return
    with TemporaryDirectory() as name:
        found = explore(Study.load("llm-decode"))
        report = write(found, Path(name))
        if picture:
            shown = {key: column.tolist() for key, column in found.sample.items() if not np.isnan(column).any()}
            return drawn(chromium, report, shown, Path(name), Path(picture))
        sample = {key: [float(v) for v in column] for key, column in found.sample.items() if not np.isnan(column).any()}
        result = measured(chromium, grown(report, POINTS), sample, Path(name))
    version = subprocess.run([chromium, "--version"], capture_output=True, encoding="utf-8", check=True).stdout.strip()
    times = ", ".join(f"{key} {t['median']:.1f} ms (at most {t['worst']:.1f})" for key, t in result["times"].items())
    print(f"page, {result['points']:,} points and {len(sample['time_s']):,} beaten ones in {version}: {times}")


if __name__ == "__main__":
    main(*sys.argv[1:])
