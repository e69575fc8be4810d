"""Which liberty files a technology has, in a folder that the user names; none are shipped."""

import os
from pathlib import Path

from golden.errors import GossetError

FOLDER = "GOSSET_PDK"
"""The environment variable with the folder of libraries."""

PATTERNS = {
    "asap7": ("asap7*_RVT_TT_*.lib*",),
    "ihp": ("sg13g2_stdcell_typ_1p20V*.lib*", "ihp_typ*.lib*"),
    "sky130": ("sky130_fd_sc_hd__tt_025C_1v80.lib*", "sky130hd_tt*.lib*"),
}
"""The files of a technology's typical corner, by the names that they are distributed under."""


def libraries(tech: str) -> list[Path]:
    """The liberty files of a technology in the folder that `GOSSET_PDK` names, or below it.

    Raises
    ------
    GossetError
        If there is no such technology, folder or file.
    """
    if tech not in PATTERNS:
        raise GossetError(f"A technology is {', '.join(PATTERNS)}, not {tech!r}; for others, give --liberty files.")
    folder = os.environ.get(FOLDER)
    if not folder or not Path(folder).is_dir():
        raise GossetError(f"Set {FOLDER} to the folder with {tech}'s liberty files, or name them with --liberty.")
    for pattern in PATTERNS[tech]:
        found = {path.name.removesuffix(".xz"): path for path in sorted(Path(folder).rglob(pattern), reverse=True)}
        if found:
            return sorted(found.values())
    raise GossetError(f"{folder} has no file {' or '.join(PATTERNS[tech])}.")
