"""Workloads by hand."""

import pytest

from golden.errors import GossetError
from sim.workloads.layers import Layer
from sim.workloads.load import load

GOOD = '[[layer]]\nname = "a"\nm = 1\nn = 2\nk = 3\n'


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return written


def test_layers_are_as_written(write):
    loaded = load(write(GOOD + '[[layer]]\nname = "b"\nm = 4\nn = 5\nk = 6\ncount = 7\nkind = "kv"\n'))
    assert loaded.name == "mine"
    assert loaded.layers == (Layer("a", 1, 2, 3), Layer("b", 4, 5, 6, 7, "kv"))
    assert loaded.macs == 6 + 7 * 120


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "m = \n", "line 6"),
        ("", "needs at least one table"),
        ("layer = 3", "needs at least one table"),
        ("layer = [3]", "layer 1 must be a table"),
        ("layers = 1\n" + GOOD, "no key 'layers'"),
        ("name = 1\n" + GOOD, "the name must be text"),
        (GOOD + GOOD.replace("k = 3", ""), "layer 2 lacks the key 'k'"),
        (GOOD + "K = 3", "layer 1 has the unknown key 'K'"),
        (GOOD.replace("3", "0"), "k of layer 'a' must be from 1 to"),
        (GOOD.replace("3", "3.5"), "whole number"),
        (GOOD.replace("3", "99999999999999999999"), "from 1 to 2,147,483,647"),
        (GOOD.replace('"a"', "1"), "the name must be text"),
        (GOOD + 'kind = "cache"', "kind of layer 'a' must be one of weights, kv, activations"),
        (GOOD + "kind = []", "must be one of"),
        (GOOD.replace("3", "2147483647").replace("2\n", "2147483647\n") + "count = 2147483647", "2^62"),
    ],
)
def test_bad_files_are_told_in_a_sentence(text, words, write):
    with pytest.raises(GossetError) as error:
        load(write(text))
    assert words in str(error.value) and "\n" not in str(error.value)
