"""The picture of the house in docs/architecture.md, from the imports themselves; `python -m tests.house` redraws it.

Its boxes are the folders and modules in the order of the import contracts of pyproject.toml. An arrow is an import, and
is left out where others lead the same way.
"""

import tomllib
from collections import defaultdict
from pathlib import Path

import grimp

from golden.files import write_text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- picture: python -m tests.house -->\n", "<!-- end of picture -->\n"
ROOMS = ("fpga", "sim", "hw", "golden")


def boxes() -> dict[str, list[tuple[str, ...]]]:
    """For each room, its boxes from the roof to the ground: the names that share one."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = {contract["containers"][0]: contract["layers"] for contract in contracts if "containers" in contract}
    split = {room: [box.split(":") for layer in layers[room] for box in layer.split("|")] for room in ROOMS}
    return {room: [tuple(name.strip() for name in box) for box in found] for room, found in split.items()}


def arrows() -> dict[str, set[str]]:
    """Which box imports which, those left out to which a longer way leads."""
    graph = grimp.build_graph(*ROOMS)
    home = {f"{room}.{name}": _id(room, box) for room, found in boxes().items() for box in found for name in box}

    def box_of(module: str) -> str | None:
        return home.get(".".join(module.split(".")[:2]))

    direct: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            source, target = box_of(module), box_of(other)
            if source and target and source != target:
                direct[source].add(target)

    def reach(box: str) -> set[str]:
        return {far for near in direct[box] for far in ({near} | reach(near))}

    return {
        box: {near for near in direct[box] if not any(near in reach(o) for o in direct[box] - {near})}
        for box in home.values()
    }


def picture() -> str:
    """The picture in Mermaid, which GitHub and most viewers of Markdown draw."""
    lines = ["```mermaid", "flowchart TD"]
    for room, found in boxes().items():
        lines.append(f"  subgraph {room}")
        lines += [f'    {_id(room, box)}["{_label(box)}"]' for box in found]
        lines.append("  end")
    lines += [f"  {source} --> {target}" for source, targets in sorted(arrows().items()) for target in sorted(targets)]
    return "\n".join([*lines, "```", ""])


def _id(room: str, box: tuple[str, ...]) -> str:
    return f"{room}_{box[0]}"


def _label(box: tuple[str, ...]) -> str:
    rows = [", ".join(box[i : i + 4]) for i in range(0, len(box), 4)]
    return "<br>".join(rows)


def with_picture(page: str) -> str:
    """The page, with the picture as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + picture() + END + rest.partition(END)[2]


if __name__ == "__main__":
    write_text(PAGE, with_picture(PAGE.read_text(encoding="utf-8")))
