import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.kernels import library
from sim.rtl.tools import compiler


@pytest.mark.parametrize("path", library.PATHS)
def test_nothing_is_out_of_bounds_or_undefined(path):
    if path not in library.supported():
        pytest.skip(f"no {path} here")
    if path == "avx512" and "amx" in library.supported():
        pytest.skip("the library for AMX has all of it")
    found = [
        subprocess.run([*compiler()[0], f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(Path(name.strip()).is_absolute() for name in found):
        pytest.skip("the compiler has no sanitizers as shared libraries")
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(name.strip() for name in found),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.kernels.sanitized", path],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
