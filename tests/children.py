"""The command line in processes of their own, as users run it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# As the installed script does it: the current folder is not where modules come from.
PROGRAM = (sys.executable, "-P", "-c", "from gosset import main; main()")


def environment(**variables):
    """This process's, with variables set, or removed where None is given."""
    settled = dict(os.environ) | {"PYTHONPATH": str(ROOT)} | variables
    return {name: str(value) for name, value in settled.items() if value is not None}


def listens():
    """For `preexec_fn`: signals end the child, even where the tests themselves ignore them (nohup, background jobs)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def gosset(*arguments, cwd=None, program=PROGRAM, **variables):
    """Runs it to its end; outputs as text."""
    return subprocess.run(
        [*program, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        cwd=cwd,
        env=environment(**variables),
    )


def sentence(done, code=2):
    """What a command said that ended with an exit code and one sentence."""
    assert done.returncode == code, (done.returncode, done.stderr)
    said = done.stderr.strip()
    assert said and "Traceback" not in said and "Warning" not in said and "UnusedElaboratable" not in said, said
    assert len(said.splitlines()) == 1, said
    return said
