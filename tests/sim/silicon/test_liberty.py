import lzma

import numpy as np
import pytest

from golden.errors import GossetError
from sim.silicon.functions import evaluate, expression
from sim.silicon.groups import parse
from sim.silicon.liberty import Library, Table
from tests.sim.silicon import tiny


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "tiny.lib"
    path.write_text(tiny.library())
    return Library([path])


def test_units_and_corner(library):
    assert (library.name, library.voltage, library.temperature) == ("tiny", 2.0, 25.0)
    assert (library.time, library.capacitance, library.leakage) == (1e-12, 1e-15, 1e-12)


def test_a_gate(library):
    cell = library["NAND2"]
    assert (cell.area, cell.leakage, cell.inputs, cell.outputs, cell.state) == (2.0, 4.0, ["A", "B"], ["Y"], ())
    output = cell.pins["Y"]
    assert output.function == "!(A*B)" and [arc.pin for arc in output.arcs] == ["A", "B"]
    assert output.arcs[0].rise.at(50.0, 3.0) == 23.0


def test_what_ground_states_again_is_left_out(library):
    assert [arc.pin for arc in library["NAND2"].pins["Y"].energies] == ["A", "B"]


def test_a_flip_flop(library):
    cell = library["DFF"]
    assert (cell.state, cell.clock, cell.following, cell.leakage) == (("IQ", "IQN"), "CK", "D", 6.0)
    assert [arc.when for arc in cell.pins["CK"].energies] == ["D * Q", "!D * !Q"]


def test_cells_that_must_not_be_used_are_not_there(library):
    assert library.smallest("~(A & B)", 2) == "NAND2"
    assert "NAND2_TINY" not in library.for_synthesis
    with pytest.raises(GossetError, match="no cell NAND2_TINY"):
        library["NAND2_TINY"]


def test_synthesis_reads_no_energies(library):
    assert "internal_power" not in library.for_synthesis
    again = parse(library.for_synthesis, library.for_synthesis.index("library"))
    assert len(list(again.all("cell"))) == len(tiny.GATES) + 1


@pytest.mark.parametrize("name", tiny.GATES)
def test_functions(library, name):
    function = library[name].pins["Y"].function
    a, b, c = np.array([0b11110000, 0b11001100, 0b10101010])
    wanted = {
        "INV": ~a, "BUF": a, "NAND2": ~(a & b), "NOR2": ~(a | b), "AND2": a & b, "OR2": a | b, "XOR2": a ^ b,
        "XNOR2": ~(a ^ b), "AOI21": ~(a & b | c), "OAI21": ~((a | b) & c),
    }  # fmt: skip
    assert evaluate(function, {"A": a, "B": b, "C": c}) & 255 == wanted[name] & 255
    assert "'" not in expression(function) and "*" not in expression(function)


def test_tables_are_interpolated_and_extrapolated():
    table = Table((0.0, 10.0), (0.0, 1.0, 3.0), ((0.0, 1.0, 5.0), (10.0, 11.0, 15.0)))
    assert table.at(5.0, 2.0) == 5.0 + 3.0
    assert table.at(20.0, 4.0) == 20.0 + 7.0
    assert Table((), (), ((4.0,),)).at(1.0, 2.0) == 4.0


def test_several_files_and_xz(tmp_path):
    first, second = tmp_path / "a.lib", tmp_path / "b.lib.xz"
    first.write_text(tiny.library())
    second.write_bytes(lzma.compress(tiny.library(name="more").replace("(XOR2)", "(XOR2_MORE)").encode()))
    library = Library([first, second])
    assert library.name == "tiny" and {"XOR2", "XOR2_MORE"} <= set(library.texts)


def test_wrong_files_are_refused(tmp_path):
    path, other = tmp_path / "a.lib", tmp_path / "b.lib"
    with pytest.raises(GossetError, match=r"Cannot read .*a\.lib: No such file"):
        Library([path])
    path.write_text("module a; endmodule")
    with pytest.raises(GossetError, match="no liberty file"):
        Library([path])
    path.write_text(tiny.library())
    other.write_text(tiny.library(time="1ns"))
    with pytest.raises(GossetError, match=r"b\.lib has other units"):
        Library([path, other])
    path.write_text(tiny.library()[:-200])
    with pytest.raises(GossetError, match="ends within the cell"):
        Library([path])
    with pytest.raises(GossetError, match="at least one"):
        Library([])
