import shutil

import pytest

from golden.errors import ToolError
from sim.rtl import tools

CXX = shutil.which("c++")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", ["c++"]),
        ("   ", ["c++"]),
        ("c++", ["c++"]),
        ("c++ -m64", ["c++", "-m64"]),
        ("  c++   -m64  -g ", ["c++", "-m64", "-g"]),
        ("env A=1 c++", ["env", "A=1", "c++"]),
        ("c++ -D'A=\"a b\"'", ["c++", '-DA="a b"']),
        (CXX, [CXX]),
    ],
)
def test_the_compiler_is_split_as_make_does(given, words, monkeypatch):
    monkeypatch.setenv("CXX", given)
    command, version = tools.compiler()
    assert list(command) == [shutil.which(words[0]), *words[1:]] and version
    tools.check_compiler(command)


@pytest.mark.parametrize(
    "given", ["true", "false", "echo", "gcc -nostdlib", "c++ --no-such-option", "c++ -E", "sh", "make"]
)
def test_what_is_no_compiler_is_said(given, monkeypatch):
    monkeypatch.setenv("CXX", given)
    with pytest.raises(ToolError, match=r"is no C\+\+ compiler that works \(.*\); set CXX to one"):
        tools.check_compiler(tools.compiler()[0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/nowhere/c++", "/nowhere/c++ is missing, which CXX='/nowhere/c++' names"),
        ("no-such-cache c++", "no-such-cache is missing"),
        ("c++ 'x", "cannot be split into words"),
    ],
)
def test_a_compiler_that_is_not_there(given, said, monkeypatch):
    monkeypatch.setenv("CXX", given)
    with pytest.raises(ToolError) as error:
        tools.compiler()
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_path_from_here_is_found_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "mine").symlink_to(CXX)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "./mine")
    assert tools.compiler()[0] == (str(tmp_path / "mine"),)
