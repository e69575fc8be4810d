"""What a comparison found, as files: the report, the page, tables in words, and the roofline."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure as Picture

from golden.files import replacing, writable, write_text

PAGE = Path(__file__).parent / "page.html"

FILES = ("report.json", "index.html", "comparison.md", "roofline.png", "roofline.svg")

MARKS = {"measured": "", "modelled": "~", "assumed": "?"}
"""In front of figures, in tables of text; a measured one has none."""

PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
UNIT = {"time_s": "s", "energy_j": "J"}

Row = Mapping[str, Any]


def write(report: Mapping[str, Any], output: Path) -> None:
    """Writes all files into a folder.

    Raises
    ------
    GossetError
        If one cannot be written.
    """
    for name in FILES:
        writable(output / name)
    write_text(output / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    data = json.dumps(report, ensure_ascii=False).replace("</", "<\\/")
    write_text(output / "index.html", PAGE.read_text(encoding="utf-8").replace("/*DATA*/null", data))
    write_text(output / "comparison.md", words(report))
    _roofline(report, output)


def figure_text(name: str, figure: Row | None) -> str:
    """A figure with its mark and unit; empty if there is none."""
    if figure is None:
        return ""
    value, mark = figure["value"], MARKS[figure["kind"]]
    if name in UNIT:
        factor, prefix = next((pair for pair in PREFIXES if value >= pair[0]), PREFIXES[-1])
        return f"{mark}{value / factor:.3g} {prefix}{UNIT[name]}"
    if name == "bytes":
        return f"{mark}{value / 1e6:.3g} MB"
    if name == "area_mm2":
        return f"{mark}{value:.3g} mm²"
    return f"{mark}{value:.1f} dB" if name.endswith("_db") else f"{mark}{value:,.0f}"


def tables(records: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The records by network, layer and rows of activations: each with its title, by platform and time."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in records:
        groups.setdefault((row["network"], row["layer"], row["n"], row["k"], row["m"]), []).append(row)
    made = []
    for (network, layer, n, k, m), rows in groups.items():
        order = list(dict.fromkeys(row["platform"] for row in rows))
        rows = sorted(rows, key=lambda row: (order.index(row["platform"]), row["figures"]["time_s"]["value"]))
        made.append((f"{network}, {layer}: {n} × {k}, {m} row{'s' if m > 1 else ''} of activations", rows))
    return made


def words(report: Mapping[str, Any]) -> str:
    """The report in Markdown."""
    machine = report["cpu"]
    parts = ["# Comparison", "", f"{report['date']}, commit {report['commit']}."]
    flags, caches = " ".join(machine["flags"]), ", ".join(f"{k} {v >> 10:,} KiB" for k, v in machine["caches"].items())
    reads = ", ".join(f"{n}: {v / 1e9:.1f}" for n, v in report["reading_bytes_per_second"].items())
    peaks = ", ".join(f"{n}: {v / 1e9:.0f}" for n, v in report["peak_macs_per_second"].items())
    parts += ["", f"{machine['processor']}, {machine['processors']} processors, {flags}; {caches}."]
    parts += [f"Reading, GB/s by threads: {reads}. At most (VNNI, AMX), GMAC/s by threads: {peaks or 'not known'}."]
    parts += [
        f"Processes that wanted a processor before and after: {report['load_before']}, {report['load_after']}.",
        "",
    ]
    parts += [f"**{report['busy']}**", ""] if report["busy"] else []
    parts += ["Figures are measured, or ~ modelled, or ? assumed:", ""]
    parts += [f"- {name}: {source}." for name, source in report["sources"].items()]
    for about in report["stored"]:
        parts += [f"- {about['file']}: measured on {about['machine']}, {about['date']}, commit {about['commit']}."]
    if report["missing"]:
        parts += ["", "Not measured: " + "; ".join(report["missing"]) + "."]
    if report["left_out"]:
        parts += ["", "Left out: " + "; ".join(report["left_out"]) + "."]
    parts += ["", "## In short", "", "| " + " | ".join(SHORT) + " |", "|---|---|---|" + "--:|" * (len(SHORT) - 3)]
    parts += ["| " + " | ".join(row) + " |" for row in short(report["equal"])] + [""]
    for title, rows in tables(report["records"]):
        parts += [f"## {title}", "", *_table(rows), ""]
    parts += ["## Ours over others, at equal bits and at equal SQNR", "", *_equal(report["equal"])]
    return "\n".join(parts) + "\n"


def _table(rows: Iterable[Row]) -> list[str]:
    columns = {"time_s": "time", "energy_j": "energy", "bytes": "moved", "area_mm2": "area", "luts": "LUTs",
               "sqnr_db": "SQNR", "minilm_db": "MiniLM"}  # fmt: skip
    lines = [
        "| platform | way | bits | " + " | ".join(columns.values()) + " |",
        "|---|---|" + "--:|" * (1 + len(columns)),
    ]
    for row in rows:
        cells = [figure_text(name, row["figures"].get(name)) for name in columns]
        lines.append(f"| {row['platform']} | {row['way']} | {row['bits']:.4g} | " + " | ".join(cells) + " |")
    return lines


SHOWN = ("bits", "time_s", "energy_j", "area_mm2")


def _equal(pairs: Iterable[Row]) -> list[str]:
    lines = ["| where | equal | ours | theirs | bits | time | energy | area |", "|---|---|---|---|" + "--:|" * 4]
    for pair in pairs:
        where = f"{pair['network']}, {pair['layer']}, {pair['m']}, {pair['platform']}"
        what = f"{pair['equal']} {pair['at']:.4g}"
        ratios = " | ".join(f"{pair['ratio'][name]:.2f}" if name in pair["ratio"] else "" for name in SHOWN)
        lines.append(f"| {where} | {what} | {pair['ours_name']} | {pair['theirs_name']} | {ratios} |")
    return lines


SHORT = ("platform", "ours", "theirs, at their SQNR", "products", "ours is faster in", "time ratio", "energy ratio")


def short(pairs: Iterable[Row]) -> list[tuple[str, ...]]:
    """For each platform and rival at equal SQNR, in how many products ours is faster and takes less energy: `SHORT`."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for pair in pairs:
        if pair["equal"] == "SQNR" and pair["interpolated"] == "ours":
            groups.setdefault((pair["platform"], pair["ours_name"], pair["theirs_name"]), []).append(pair["ratio"])
    rows = []
    for names, ratios in groups.items():
        times = [ratio["time_s"] for ratio in ratios if "time_s" in ratio]
        energies = [ratio["energy_j"] for ratio in ratios if "energy_j" in ratio]
        spans = [f"{min(some):.2f} to {max(some):.2f}" if some else "" for some in (times, energies)]
        rows.append((*names, str(len(times)), str(sum(t < 1 for t in times)), *spans))
    return rows


def _roofline(report: Mapping[str, Any], output: Path) -> None:
    """MAC/s over MAC per byte: every record, and the machine's own roof."""
    picture = Picture(figsize=(11, 6), layout="constrained")
    axes = picture.subplots()
    rows = report["records"]
    reach = [1e-1, 1e3]
    platforms = list(dict.fromkeys(row["platform"] for row in rows))
    for number, platform in enumerate(platforms):
        colour = colormaps["turbo"](number / max(1, len(platforms) - 1))
        for ours, marker in ((True, "o"), (False, "x")):
            some = [row for row in rows if row["platform"] == platform and row["ours"] == ours]
            x, y = ([place(row)[side] for row in some] for side in (0, 1))
            label = f"{platform}, {'E8' if ours else 'others'}"
            if some:
                axes.plot(x, y, marker, color=colour, markersize=4 if ours else 5, alpha=0.7, label=label)
    for threads, speed in report["reading_bytes_per_second"].items():
        peak = report["peak_macs_per_second"].get(threads)
        roof = [min(speed * at, peak or float("inf")) for at in _spread(reach)]
        axes.plot(_spread(reach), roof, "k-", lw=0.8, alpha=0.6 if threads == "1" else 1.0)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="multiply-accumulates per byte moved",
        ylabel="multiply-accumulates per second",
    )
    axes.set_title(f"Lines: this machine's reading, and its peak for bytes; {report['date']}", size=10)
    axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(alpha=0.3, which="both")
    for kind in ("png", "svg"):
        with replacing(output / f"roofline.{kind}") as beside:
            picture.savefig(beside, dpi=120, format=kind)


def place(row: Row) -> tuple[float, float]:
    """Where a record is on the roofline: multiply-accumulates per byte, and per second."""
    macs, figures = row["m"] * row["n"] * row["k"], row["figures"]
    return macs / figures["bytes"]["value"], macs / figures["time_s"]["value"]


def _spread(reach: list[float], points: int = 60) -> list[float]:
    low, high = reach
    return [low * (high / low) ** (i / (points - 1)) for i in range(points)]
