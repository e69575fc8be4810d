"""Workloads by hand: a TOML file with a table `[[layer]]` for each product."""

import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

from golden.errors import GossetError
from sim.workloads.layers import Layer, Workload

KEYS = tuple(field.name for field in fields(Layer))
REQUIRED = tuple(field.name for field in fields(Layer) if field.default is MISSING)


def read_table(path: Path) -> Workload:
    """The layers of a TOML file.

    Raises
    ------
    GossetError
        If the file cannot be read, is no TOML, or a key is unknown, missing or out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GossetError(f"Cannot read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise GossetError(f"{path} is not a TOML file: {error}.") from error
    if unknown := sorted(set(values) - {"name", "layer"}):
        raise GossetError(f"{path}: a workload has no key {unknown[0]!r}, only name and tables [[layer]].")
    name, tables = values.get("name", path.stem), values.get("layer", [])
    if not isinstance(name, str):
        raise GossetError(f"{path}: the name must be text, but it is {name!r}.")
    if not isinstance(tables, list) or not tables:
        raise GossetError(f"{path}: a workload needs at least one table [[layer]] with {', '.join(REQUIRED)}.")
    layers = []
    for number, table in enumerate(tables, 1):
        where = f"{path}: layer {number}"
        if not isinstance(table, dict):
            raise GossetError(f"{where} must be a table, but it is {table!r}.")
        if missing := [key for key in REQUIRED if key not in table]:
            raise GossetError(f"{where} lacks the key {missing[0]!r}.")
        if unknown := [key for key in table if key not in KEYS]:
            raise GossetError(f"{where} has the unknown key {unknown[0]!r}; the keys are {', '.join(KEYS)}.")
        if not isinstance(table["name"], str):
            raise GossetError(f"{where}: the name must be text, but it is {table['name']!r}.")
        try:
            layers.append(Layer(**table))
        except GossetError as error:
            raise GossetError(f"{path}: {error}") from error
    return Workload(name, tuple(layers))
