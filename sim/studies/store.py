"""Results of heavy tasks, kept by what they are results of: whoever asks again gets them from here.

A key is the hash of all that decides about a result: the sources that make the hardware, the design, the product and
the versions of the tools. Every result is one transaction of SQLite, so that whatever ends a process, the store is
whole.
"""

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from golden.errors import GossetError
from golden.files import named, writable

SCHEMA = 1
"""Version of the tables; a store of another is refused."""

WAIT = 60
"""Seconds that a process waits for another's transaction."""

ROOT = Path(__file__).parents[2]
SOURCES = ("golden", "hw", "sim/rtl", "sim/tiles.py", "sim/device.py")
"""What decides about what comes out of a simulation."""


@cache
def generator() -> str:
    """The hash of the sources that make and drive the hardware: a change in one of them makes all results new."""
    digest = hashlib.sha256()
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".cpp"):
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def key_of(inputs: Any) -> str:
    """The key of what JSON can write."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


class Store:
    """A store.

    Parameters
    ----------
    path : Path
        Made if it is not there.

    Raises
    ------
    GossetError
        If it is no store, one of another version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = writable(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                database.execute("BEGIN IMMEDIATE")
                database.execute("CREATE TABLE IF NOT EXISTS about (schema INTEGER NOT NULL, identity TEXT NOT NULL)")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, inputs TEXT NOT NULL, "
                    "result TEXT NOT NULL, runs INTEGER NOT NULL, at TEXT NOT NULL)"
                )
                if not database.execute("SELECT count(*) FROM about").fetchone()[0]:
                    database.execute("INSERT INTO about VALUES (?, ?)", (SCHEMA, uuid.uuid4().hex))
                database.execute("COMMIT")
            elif "about" not in tables:
                raise GossetError(f"{named(path)} is a database of something else: choose another with --store.")
            schema, self.identity = database.execute("SELECT * FROM about").fetchone()
        if schema != SCHEMA:
            raise GossetError(
                f"{named(path)} is a store of version {schema}, and this gosset reads version {SCHEMA}: choose another "
                "with --store."
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)) as database:
                yield database
        except sqlite3.Error as error:
            raise GossetError(f"{named(self.path)} is no store that can be used: {error}.") from error

    def get(self, key: str) -> dict[str, Any] | None:
        """A result; None if there is none."""
        with self._open() as database:
            found = database.execute("SELECT result FROM results WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def put(self, key: str, inputs: Any, result: dict[str, Any]) -> None:
        """Keeps a result that was just computed, for good when this returns; `runs` counts how often it was."""
        row = (key, json.dumps(inputs, sort_keys=True), json.dumps(result))
        with self._open() as database:
            database.execute(
                "INSERT INTO results VALUES (?, ?, ?, 1, datetime()) ON CONFLICT (key) DO UPDATE SET runs = runs + 1",
                row,
            )

    def runs(self) -> dict[str, int]:
        """How often each result was computed."""
        with self._open() as database:
            return dict(database.execute("SELECT key, runs FROM results"))


def same(path: Path, identity: str) -> Store | None:
    """The store of that path if it is the very one: a worker on another machine may see none there, or another."""
    if not path.is_file():
        return None
    found = Store(path)
    return found if found.identity == identity else None
