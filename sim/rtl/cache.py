"""What was built and is kept: libraries, simulations and the objects of Verilator's runtime, in the cache folder.

An entry is a folder that is whole or not there. Its `entry.json` has the size and SHA-256 of each of its files: an
entry that does not agree is thrown away, which is said, and built anew. Work is done in `build-*` folders, locked as
long as the process lives that works there; those that nobody holds any more are removed.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from golden.errors import ToolError
from golden.folders import VARIABLE, cache_folder

log = logging.getLogger(__name__)

_MANIFEST = "entry.json"
_LOCK = ".lock"

# What neither make nor the shells that it calls give another meaning, in a path.
_SAFE = re.compile(r"[\w/.+@,-]*")

_UNLOCKED = 3600
"""Seconds after which a build folder without a lock counts as left behind."""


def folder() -> Path:
    """The cache folder, which builds can work in.

    Raises
    ------
    ToolError
        If it cannot be made, if make cannot work under its path, or if programs in it cannot be run.
    """
    path = cache_folder()
    check_path(path, f"set {VARIABLE} to another folder")
    if os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise ToolError(f"{path} is on a disk that programs cannot be run from (noexec): set {VARIABLE} to another.")
    return path


def check_path(path: Path, mend: str) -> None:
    """Raises ToolError, with how to mend it, for a path that make or a shell would read as something else."""
    odd = _SAFE.sub("", str(path))
    if odd:
        character = "a space" if odd[0] == " " else repr(odd[0])
        shown = str(path) if str(path).isprintable() else ascii(str(path))
        raise ToolError(f"make cannot work under a path with {character} in it ({shown}): {mend}.")


def find(name: str) -> Path | None:
    """The folder of an entry; None if there is none, or there was one that is damaged.

    Raises
    ------
    ToolError
        As `folder`; or if a damaged one cannot be removed.
    """
    kept = folder()
    _sweep(kept)
    path = kept / name
    if not os.path.lexists(path):
        return None
    if _sound(path):
        return path
    log.warning("%s in the cache is damaged; it is built anew.", path)
    _discard(path)
    return None


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder to build in, removed at the end. A full disk is told in a sentence.

    Raises
    ------
    ToolError
        If the cache cannot be written to.
    """
    kept = folder()
    try:
        with _locked(kept / _LOCK):
            work = Path(tempfile.mkdtemp(prefix="build-", dir=kept))
            lock = os.open(work / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
            with suppress(OSError):  # a disk that knows no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise _unwritable(kept, error) from error
    try:
        yield work
    except OSError as error:
        raise _unwritable(kept, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def keep(name: str, files: Iterable[Path], work: Path) -> Path:
    """Moves finished files from a workplace into an entry, in one step. Another process may just have made the same."""
    made = Path(tempfile.mkdtemp(prefix="entry-", dir=work))
    made.chmod(0o755)
    for path in files:
        path.rename(made / path.name)
    contents = {path.name: _fingerprint(path) for path in made.iterdir()}
    (made / _MANIFEST).write_text(json.dumps(contents), encoding="utf-8")
    target = folder() / name
    try:
        made.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        if not _sound(target):
            raise ToolError(f"{target} is in the way: remove it, or set {VARIABLE} to another folder.") from error
    return target


def load(library: Path) -> ctypes.CDLL:
    """Loads the library of an entry.

    Raises
    ------
    ToolError
        If the system cannot: it was built on another, perhaps.
    """
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise ToolError(f"{library.parent} cannot be loaded ({error}): remove it, and it is built anew.") from error


def _fingerprint(path: Path) -> list[object]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    status = path.stat()
    return [status.st_size, digest, bool(status.st_mode & 0o100)]


def _sound(entry: Path) -> bool:
    """Whether an entry is what it was when it was made."""
    try:
        contents = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
        found = {path.name: _fingerprint(path) for path in entry.iterdir() if path.name != _MANIFEST}
    except (OSError, ValueError, RecursionError):
        return False
    return bool(found) and contents == found


def _discard(path: Path) -> None:
    """Removes an entry; other processes see it whole or not at all."""
    try:
        with workplace() as work:
            path.rename(work / "discarded")
    except FileNotFoundError:
        pass  # another process was faster


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock while build folders are made or removed, so that there is none without its own lock."""
    with path.open("ab") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(kept: Path) -> None:
    """Removes build folders whose process is gone."""
    left = list(kept.glob("build-*"))
    if not left:
        return
    with suppress(OSError), _locked(kept / _LOCK):
        for path in left:
            if _abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def _abandoned(path: Path) -> bool:
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - path.stat().st_mtime > _UNLOCKED
        return False
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _unwritable(path: Path, error: OSError) -> ToolError:
    return ToolError(f"{path} cannot be written to ({error.strerror}): make room, or set {VARIABLE} to another folder.")
