"""Files that are either whole or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from golden.errors import GossetError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, renamed to `path` when the block ends well and removed when it does not.

    Raises
    ------
    GossetError
        If the folder cannot be written to.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise GossetError(f"Cannot write {target}: {error.strerror}.") from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> bool:
    """Writes a text file, whole or not at all, and leaves one that already says the same untouched.

    Returns
    -------
    bool: whether the file changed, so that what depends on its time stamp is not made again in vain.
    """
    target = Path(path)
    if target.is_file() and target.read_bytes() == text.encode():
        return False
    with replacing(target) as beside:
        beside.write_bytes(text.encode())
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
