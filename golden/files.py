"""Files that users name: read within limits, and written whole or not at all."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from golden.errors import GossetError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
"""What there may be instead of a file."""


def named(path: str | Path) -> str:
    """A path as messages show it, whatever characters it has."""
    text = str(path)
    return text if text.isprintable() and text else repr(text)


def reason(error: OSError | ValueError) -> str:
    """Why the system refuses, as messages say it."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def read_bytes(path: str | Path, limit: int | None = None) -> bytes:
    """The contents of a file.

    Parameters
    ----------
    path : path
    limit : int, optional
        Bytes at most; a longer file is not read to its end. Without a limit only plain files are read, which end.

    Raises
    ------
    GossetError
        If it cannot be read, or is too long.
    """
    try:
        if limit is None and not stat.S_ISREG(mode := os.stat(path).st_mode):  # opening a pipe may wait for ever
            raise OSError(22, f"it is {KINDS.get(stat.S_IFMT(mode), 'no file')}")
        with Path(path).open("rb") as file:
            data = file.read(-1 if limit is None else limit + 1)
    except (OSError, ValueError) as error:
        raise GossetError(f"Cannot read {named(path)}: {reason(error)}.") from error
    except MemoryError as error:
        raise GossetError(f"Cannot read {named(path)}: it is longer than memory.") from error
    if limit is not None and len(data) > limit:
        raise GossetError(f"Cannot read {named(path)}: it has more than {limit:,} bytes.")
    return data


def writable(path: str | Path) -> Path:
    """Where a file will be written to: what symbolic links lead to. For commands to call before they begin to work.

    Raises
    ------
    GossetError
        If there is something else than a file, or one that is read-only; the links lead in a circle; or its folder
        cannot be written to or made.
    """
    try:
        if "\0" in str(path):
            raise ValueError("no path has a null character")
        target = Path(path)
        if target.is_symlink():
            target = Path(os.path.realpath(target, strict=False))
            if target.is_symlink():
                raise OSError(40, "its symbolic links lead in a circle")
        if not target.name:
            raise IsADirectoryError(21, "it is a folder")
        if target.exists() and not target.is_file():
            kind = KINDS.get(stat.S_IFMT(target.stat().st_mode), "no file")
            raise OSError(22, f"it is {kind}, and only files are replaced")
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(13, "it is read-only")
        folder = next(folder for folder in target.absolute().parents if folder.exists())
        if not folder.is_dir():
            raise NotADirectoryError(20, f"{folder} is no folder")
        with tempfile.TemporaryFile(dir=folder):  # what permissions say is not all: /proc, or a full disk
            pass
    except (OSError, ValueError) as error:
        raise GossetError(f"Cannot write {named(path)}: {reason(error)}.") from error
    return target


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, renamed to `path` when the block ends well and removed when it does not.

    Where `path` is a symbolic link, it is what the link leads to that is replaced.

    Raises
    ------
    GossetError
        If it is not `writable`, or cannot be written.
    """
    target = writable(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, short where that of the target is as long as names can be.
        handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}.", suffix=target.suffix[:40], dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise GossetError(f"Cannot write {named(path)}: {reason(error)}.") from error
    beside = Path(name)
    try:
        yield beside
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
        try:
            beside.chmod(mode)
            beside.replace(target)
        except OSError as error:
            raise GossetError(f"Cannot write {named(path)}: {reason(error)}.") from error
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> bool:
    """Writes a text file, whole or not at all, and leaves one that already says the same untouched.

    Returns
    -------
    bool: whether the file changed, so that what depends on its time stamp is not made again in vain.
    """
    target = writable(path)
    if target.is_file() and target.read_bytes() == text.encode():
        return False
    with replacing(target) as beside:
        beside.write_bytes(text.encode())
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
