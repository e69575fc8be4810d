"""Programs from outside, and how every room starts them.

A child gets an environment that is built here and not the caller's as it stands: variables that steer compilers, make,
Python or cocotb never reach it by chance. It leads a process group that ends when this process is interrupted, and
also when it is killed. Whatever goes wrong is a `ToolError` of one sentence, or one followed by what the tool said.
"""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from golden.errors import ToolError
from golden.folders import writable_home

GRACE = 1.0
"""Seconds from asking a process group to end to ending it."""

_PASSED = (
    # Where programs and their libraries are.
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
    # Where a compiler looks besides, and Apple's which system it compiles for.
    "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "SDKROOT", "DEVELOPER_DIR",
    "MACOSX_DEPLOYMENT_TARGET", "CONDA_PREFIX",
    # Who runs it.
    "USER", "LOGNAME",
    # Where programs keep what they may lose.
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "YOWASP_CACHE_DIR", "DISTCC_HOSTS",
)  # fmt: skip

# Compiler caches, and the compilers of Nix, are told by variables what they are.
_PASSED_PREFIXES = ("CCACHE_", "SCCACHE_", "NIX_")

# Of what a failing tool says: why the disk does not take its files. Children speak the language of the C locale.
_DISK = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS))

# Reads a line from its parent; where there is none because the parent is gone, ends the group that is its argument.
_GUARD = 'read -r _ || { kill -s TERM -- "-$0"; sleep 1; kill -s KILL -- "-$0"; } 2>/dev/null'

_worker = threading.local()


@dataclass(frozen=True)
class Finished:
    """A program that has ended.

    Attributes
    ----------
    name : str
    code : int
        Exit code; negative for a signal.
    output, errors : str
        What it said on its two outputs.
    """

    name: str
    code: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        """Everything that it said."""
        return self.output + self.errors

    @property
    def how(self) -> str:
        """How it ended, such as "exit code 1" or "signal SIGKILL"."""
        if self.code >= 0:
            return f"exit code {self.code}"
        with suppress(ValueError):
            return f"signal {signal.Signals(-self.code).name}"
        return f"signal {-self.code}"


def environment() -> dict[str, str]:
    """The environment of every child: where things are, and one locale.

    Raises
    ------
    ToolError
        If there is neither a home nor a cache folder.
    """
    passed = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}
    passed.setdefault("PATH", os.defpath)
    return passed | {"HOME": str(writable_home()), "TMPDIR": tempfile.gettempdir(), "LC_ALL": "C"}


def python_variables() -> dict[str, str]:
    """What a child in Python needs besides: this process's packages, and nothing from the folder that it runs in."""
    program = getattr(sys.modules["__main__"], "__file__", None) or __file__
    wanted = (Path(__file__).parents[1], Path(program).absolute().parent)
    try:
        unwanted = {Path.cwd()} - set(wanted)
    except FileNotFoundError:  # removed meanwhile
        unwanted = set()
    paths = [path for path in sys.path if Path(path).is_absolute() and Path(path) not in unwanted]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"}


def run(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    input: str | None = None,
    log: Path | None = None,
    shown: bool = False,
    watch: Callable[[], object] = lambda: None,
    limit: float | None = None,
) -> Finished:
    """Runs a program to its end.

    Parameters
    ----------
    command : sequence of str or Path
    folder : Path, optional
        To run it in.
    variables : mapping, optional
        Further environment variables.
    input : str, optional
        Its standard input; nothing if not given.
    log : Path, optional
        File for what it says, which is then not returned.
    shown : bool
        Let it say what it says where this process does; it is not returned either.
    watch : callable
        Called now and then while it runs.
    limit : float, optional
        Seconds that it may take.

    Raises
    ------
    ToolError
        If it cannot be started, or takes longer than it may.
    """
    name, settled = Path(command[0]).name, environment() | dict(variables or {})
    with _output(log, shown) as output, _input(input) as source:
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=settled,
                stdin=source,
                stdout=output,
                stderr=output if log or shown else subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ToolError(f"{command[0]} cannot be started ({reason}).") from error
        with process, _guarded(process):
            said = _attend(process, name, watch, limit)
    output_, errors = (text.decode(errors="replace") if text else "" for text in said)
    return Finished(name, process.returncode, output_, errors)


def run_python(module: str, *arguments: str, variables: Mapping[str, str] | None = None, **options: object) -> Finished:
    """As `run`, for `python -m module`: what lies in the current folder is no part of it."""
    command = [sys.executable, "-P", "-m", module, *arguments]
    return run(command, variables=python_variables() | dict(variables or {}), **options)  # type: ignore[arg-type]


def call(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    tail: int | None = 30,
) -> str:
    """Runs a program that must succeed, and returns what it said.

    Raises
    ------
    ToolError
        If it failed; with the last `tail` lines of what it said, or all.
    """
    done = run(command, folder=folder, variables=variables)
    if done.code:
        raise failed(done, done.said.rstrip().splitlines(), folder, tail=tail)
    return done.said


def failed(
    done: Finished, lines: Sequence[str], folder: Path | None = None, *, where: str = "", tail: int | None = 30
) -> ToolError:
    """The error of a program that failed: why the disk does not take its files, else the end of what it said."""
    place = folder or Path(tempfile.gettempdir())
    said = "\n".join(lines)
    reason = next((reason for reason in _DISK if reason in said), None)
    if reason is None and _full(place):
        reason = os.strerror(errno.ENOSPC)
    if reason:
        return ToolError(f"{done.name} could not write its files in {place} ({reason}).")
    shown = list(lines if tail is None else lines[-tail:])
    return ToolError("\n".join([f"{done.name} failed with {done.how}{where}{':' if shown else '.'}", *shown]))


def tool(command: Sequence[str], folder: Path, log: str = "") -> str:
    """Runs a tool in a folder, since YoWASP's see nothing outside it; returns what it says.

    Parameters
    ----------
    command : sequence of str
    folder : Path
    log : str
        The file in the folder that the tool writes what it says to; empty if it says it on its outputs.

    Raises
    ------
    ToolError
        If the tool fails: with the errors that it gives, or else with the last that it says.
    """
    done, path = run(command, folder=folder), folder / log
    said = path.read_text(encoding="utf-8", errors="replace") if log and path.is_file() else done.said
    if done.code:
        errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-20:]
        raise failed(done, errors, folder, where=f", see {path}" if log else f", in {folder}")
    return said


class _Pool(ThreadPoolExecutor):
    """Threads of which one that fails stops all."""

    def __init__(self, count: int | None):
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        super().__init__(count or os.cpu_count(), initializer=self._begin)

    def _begin(self) -> None:
        _worker.stop = self.stop

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        def watched() -> Any:
            try:
                return work(*arguments, **options)
            except BaseException as error:
                self.failure = self.failure or error
                self.stop.set()
                raise

        return super().submit(watched)


@contextmanager
def threads(count: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that run programs: what interrupts one, or this block, ends the programs of all of them."""
    with _Pool(count) as pool:
        try:
            yield pool
        except BaseException as error:
            pool.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, CancelledError) and pool.failure:
                raise pool.failure from None
            raise


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder.

    Raises
    ------
    ToolError
        If none can be made or written to.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="gosset-") as name:
            yield Path(name)
    except OSError as error:
        raise ToolError(
            f"No temporary file can be written ({error.strerror}): set TMPDIR to another folder."
        ) from error


@contextmanager
def _output(log: Path | None, shown: bool) -> Iterator[Any]:
    if log is None:
        yield None if shown else subprocess.PIPE
    else:
        with log.open("wb") as file:
            yield file


@contextmanager
def _input(text: str | None) -> Iterator[Any]:
    """A file that a child reads; a pipe would have to be fed while its outputs are read."""
    if text is None:
        yield subprocess.DEVNULL
    else:
        with scratch() as folder:
            path = folder / "input"
            path.write_text(text, encoding="utf-8")
            with path.open("rb") as file:
                yield file


@contextmanager
def _guarded(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Has the process group of a child end when this process is gone, however it went."""
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except BaseException:
        _end(process)
        raise
    try:
        yield
    finally:
        with suppress(OSError):
            guard.communicate(b"done\n")


def _attend(
    process: "subprocess.Popen[bytes]",
    name: str,
    watch: Callable[[], object],
    limit: float | None,
) -> tuple[bytes | None, bytes | None]:
    """Waits for a child, and ends it with everything that it started if something happens here."""
    stop: threading.Event | None = getattr(_worker, "stop", None)
    begin = time.monotonic()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=0.05)
            watch()
            if stop and stop.is_set():
                raise CancelledError
            if limit is not None and time.monotonic() > begin + limit:
                raise ToolError(f"{name} does not end: it was stopped after {limit:g} s.")
    except BaseException:
        _end(process)
        raise


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a child and its children: asks them to, and then does not ask."""
    deadline = time.monotonic() + GRACE
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()  # a child that has ended counts until it was waited for
            os.killpg(process.pid, 0)
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _full(folder: Path) -> bool:
    """Whether a disk has no room for so much as an object file, or for no further file."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 1 << 16 or (disk.f_files > 0 and not disk.f_favail)
