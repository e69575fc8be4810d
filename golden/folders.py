"""Where files go that are not the user's own: the home folder, and the cache."""

import os
from pathlib import Path

from golden.errors import ToolError

VARIABLE = "GOSSET_CACHE"
"""The environment variable that names the cache folder."""


def home() -> Path | None:
    """The user's home; None where there is none, or programs cannot keep files there, as in many containers."""
    try:
        kept = Path.home() / ".cache"
        kept.mkdir(exist_ok=True)
    except (RuntimeError, OSError, ValueError):
        return None
    return kept.parent if kept.is_absolute() and os.access(kept, os.W_OK | os.X_OK) else None


def cache_folder() -> Path:
    """The folder of what takes long to make: `$GOSSET_CACHE`, else `~/.cache/gosset`; made where missing.

    Raises
    ------
    ToolError
        If the folder cannot be made, or there is no home and no other folder is given.
    """
    given, house = os.environ.get(VARIABLE), home()
    if given:
        folder = Path(given).absolute()
    elif house:
        folder = house / ".cache" / "gosset"
    else:
        raise ToolError(
            f"There is no home folder to keep things in: set {VARIABLE} to a folder that can be written to."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ToolError(f"{folder} cannot be made ({reason}): set {VARIABLE} to another folder.") from error
    return folder


def writable_home() -> Path:
    """A home for programs that insist on one: the user's, else a folder in the cache.

    Raises
    ------
    ToolError
        As `cache_folder`.
    """
    if house := home():
        return house
    folder = cache_folder() / "home"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ToolError(f"{folder} cannot be made ({error.strerror}): set {VARIABLE} to another folder.") from error
    return folder


def settle_libraries() -> None:
    """Gives libraries that keep files in the home a folder in the cache, where there is no home."""
    if home() is None:
        try:
            kept = cache_folder()
        except ToolError:
            return
        for variable, name in (("MPLCONFIGDIR", "matplotlib"), ("NUMBA_CACHE_DIR", "numba")):
            os.environ.setdefault(variable, str(kept / name))
