"""How the programs of this house end: exit code 0, 1 for a mismatch, and 2 for anything else, with one sentence.

A signal that asks the process to end does what Ctrl-C does, and the exit code is 128 and its number.
"""

import atexit
import codecs
import errno
import logging
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from golden.errors import GossetError
from golden.folders import settle_libraries

# What a terminal shows that lacks a sign.
_PLAIN = {
    "β": "beta", "×": "x", "·": "*", "−": "-", "–": "-", "√": "sqrt", "…": "...", "±": "+-", "≤": "<=", "≥": ">=",
    "²": "^2", "½": "1/2", "ᵀ": "^T", "σ": "sigma", "µ": "u", "‖": "|", "Γ": "Gamma", "Λ": "Lambda", "Σ": "Sigma",
    "•": "*", "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip


class _Stopped(KeyboardInterrupt):
    """A signal asked this process to end."""


def ending(program: str, main: Callable[[], object]) -> NoReturn:
    """Runs a program and ends the process.

    Parameters
    ----------
    program : str
        Its name, which begins the sentence of an error.
    main : callable
        Raises `SystemExit` with 1, or with a sentence, for a mismatch, and `GossetError` for what its user can mend.
    """
    _settle(program)
    caught: list[int] = []
    interrupted: list[int] = []
    # Registered first, it runs last: taking a large process apart would take seconds in which nothing happens.
    atexit.register(lambda: interrupted and _leave(interrupted[0]))

    def stop(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        raise _Stopped

    # Whoever started this process may have had signals ignored, as nohup does.
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {n: signal.signal(n, stop) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        code, sentence = _outcome(main)
        if caught and code == 128 + signal.SIGINT:
            code = 128 + caught[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if sentence:
        try:
            print(f"{program}: {sentence}", file=sys.stderr, flush=True)
        except OSError:
            _silence()
    if code > 128:
        interrupted.append(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """Ends the process as it stands, when all that asked to be told of its end was."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _outcome(main: Callable[[], object]) -> tuple[int, str]:
    """Runs a program; its exit code, and what is to be said, if anything."""
    try:
        try:
            main()
        except BaseException:
            warnings.simplefilter("ignore")  # of what is left half-done there is nothing more to say
            raise
        finally:
            sys.stdout.flush()
    except SystemExit as error:
        if _closed(error):
            _silence()
            return 2, "what it says could not all be said: whoever read it has gone."
        if isinstance(error.code, str):  # as `sys.exit` has it
            return 1, error.code
        return error.code or 0, ""
    except KeyboardInterrupt:
        return 128 + signal.SIGINT, ""
    except GossetError as error:
        return 2, str(error)
    except OSError as error:
        if error.filename is None:  # its own output
            _silence()
        return 2, _system(error)
    except MemoryError:
        return 2, "there is not enough memory for that."
    except Exception as error:
        return 2, _fault(error)
    return 0, ""


def _settle(program: str) -> None:
    """Outputs that can say everything, warnings with the program's name, and folders for libraries that keep files."""
    codecs.register_error("gosset.plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="gosset.plain")
    logging.basicConfig(format=f"{program}: %(message)s")
    settle_libraries()


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Signs in place of those that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(sign, "?") for sign in lacking)
    return plain, error.end


def _closed(error: BaseException) -> bool:
    """Whether the reason behind an error is that nobody reads the output."""
    cause = error.__context__
    return cause is not None and (getattr(cause, "errno", None) == errno.EPIPE or _closed(cause))


def _silence() -> None:
    """What could not be said is lost, and is not tried again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(null, stream.fileno())
    os.close(null)


def _system(error: OSError) -> str:
    """The sentence of what the system refused."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."


def _fault(error: Exception) -> str:
    """The sentence of a fault of the program's own; what it takes to find it is in a file."""
    text = "".join(traceback.format_exception(error))
    what = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="gosset-fault-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(text)
    except OSError:
        return f"a fault of the program itself ({what})."
    return f"a fault of the program itself ({what}); please report it with {file.name}."
