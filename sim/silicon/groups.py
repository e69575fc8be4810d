"""The syntax of liberty files: groups of attributes and of groups."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from golden.errors import GossetError

_STATEMENT = re.compile(
    r"""\s*(?:(?P<end>\})
    | (?P<name>[\w.]+)\s*(?: :\s*(?P<value>"[^"]*"|[^;\n}]*?)\s*(?:;|\n|(?=\}))
                           | \((?P<args>[^()]*)\)\s*(?P<open>\{)?\s*;? )
    | ;)""",
    re.VERBOSE,
)


@dataclass
class Group:
    """A group of a liberty file: `name (args) { attributes, groups }`."""

    name: str
    args: str
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def all(self, *names: str) -> Iterator["Group"]:
        """The groups in it of these names."""
        return (group for group in self.groups if group.name in names)

    def number(self, name: str, default: float = 0.0) -> float:
        """An attribute that is a number."""
        return float(self.attributes.get(name, default))


def parse(text: str, position: int = 0) -> Group:
    """The group that starts at a position of a liberty file without comments.

    Raises
    ------
    GossetError
        If the text does not follow the syntax.
    """
    match = _STATEMENT.match(text, position)
    if not match or not match["open"]:
        raise GossetError(f"Not a group of a liberty file: {text[position : position + 60]!r}.")
    root = Group(match["name"], match["args"].strip(' "'))
    stack = [root]
    while stack:
        match = _STATEMENT.match(text, match.end())
        if not match:
            raise GossetError(f"The group {root.name} ({root.args}) of a liberty file does not end.")
        if match["end"]:
            stack.pop()
        elif match["open"]:
            group = Group(match["name"], match["args"].strip(' "'))
            stack[-1].groups.append(group)
            stack.append(group)
        elif match["name"]:
            value = match["value"] if match["value"] is not None else match["args"]
            stack[-1].attributes[match["name"]] = value.strip(' "') if match["args"] is None else value
    return root


def numbers(text: str) -> list[float]:
    """The numbers in a list of strings of numbers."""
    return [float(number) for number in re.sub(r'[",\\]', " ", text).split()]
