import subprocess
import sys

import pytest

from tests.children import environment, listens

PROGRAM = """import sys; from golden.exits import ending; from golden.errors import GossetError
def main(): {}
ending('me', main)"""


def run(body, after="", **variables):
    # There are locales in which β cannot be an argument.
    command = [sys.executable, "-c", f"exec({PROGRAM.format(body)!a})"]
    if after:
        command = ["sh", "-c", f'"$0" "$@" {after}', *command]
    return subprocess.run(command, env=environment(**variables), capture_output=True, check=False, preexec_fn=listens)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(1)", 1, ""),
        ("sys.exit('3 of 4 differ.')", 1, "me: 3 of 4 differ."),
        ("raise GossetError('No.')", 2, "me: No."),
        ("open('/nowhere')", 2, "me: /nowhere: No such file or directory."),
        ("open('/')", 2, "me: /: Is a directory."),
        ("raise OSError(28, 'No space left on device', '/a/b')", 2, "me: /a/b: No space left on device."),
        ("raise MemoryError", 2, "me: there is not enough memory for that."),
        ("raise KeyboardInterrupt", 130, ""),
        ("__import__('os').kill(__import__('os').getpid(), 15)", 143, ""),
        ("__import__('os').kill(__import__('os').getpid(), 1)", 129, ""),
    ],
)
def test_exit_codes(body, code, said):
    done = run(body)
    assert (done.returncode, done.stderr.decode().strip()) == (code, said)


def test_an_interrupt_ends_at_once_and_tells_all_that_asked_to_be_told():
    slow = "__import__('weakref').finalize(sys, print, 'last'); "
    slow += "sys.slow = type('Slow', (), {'__del__': lambda s, w=__import__('os').write: w(1, b'torn')})()"
    done = run(f"{slow}; print('first', end=' '); raise KeyboardInterrupt")
    assert (done.returncode, done.stdout.split()) == (130, [b"first", b"last"])
    done = run(f"{slow}; print('first', end=' ')")
    assert (done.returncode, done.stdout.split()) == (0, [b"first", b"last", b"torn"]), "what the test is about"


def test_a_fault_of_our_own_is_kept_in_a_file(tmp_path):
    done = run("raise KeyError('odd')", TMPDIR=tmp_path)
    (file,) = tmp_path.glob("gosset-fault-*")
    assert done.returncode == 2
    assert (
        done.stderr.decode() == f"me: a fault of the program itself (KeyError: 'odd'); please report it with {file}.\n"
    )
    assert "Traceback" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("body", ["print('x' * 10)", "print('x' * 1000000)", "print('x'); sys.exit(1)"])
def test_a_full_disk_under_the_output(body):
    done = run(body, "> /dev/full")
    assert (done.returncode, done.stderr) == (2, b"me: No space left on device.\n")


@pytest.mark.parametrize("text", ["print('x\\n' * 1000000)", "__import__('rich').print('x\\n' * 50000)"])
def test_nobody_reads(text):
    done = run(text, "| true", PYTHONUNBUFFERED="1")
    assert done.stderr.decode().count("\n") == 1 and "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs(closed):
    assert run("print('β')", closed).returncode == 0


ENCODINGS = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"},
]


@pytest.mark.parametrize("variables", ENCODINGS)
def test_what_an_output_cannot_say_is_said_otherwise(variables):
    done = run("print('β ᵀ √ ► \\udcff'); raise GossetError('no β')", **variables)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"beta ^T sqrt ? ?\n", b"me: no beta\n")
