"""The model of the SDRAM's chip: it holds what was written, and knows what its data sheet forbids."""

import subprocess
from pathlib import Path

import pytest

import fpga.litex
from sim.rtl.tools import compiler

SOURCE = Path(fpga.litex.__file__).with_name("source")

NOP = "1 0 1 1 1 0 0 0 0 0"
ALL = 1 << 10
"""The address that has all banks precharged, or a bank after its access."""


def command(ras, cas, we, address=0, bank=0, mask=0, data=0, driven=0):
    return f"1 0 {ras} {cas} {we} {address} {bank} {mask} {data} {driven}"


def nops(count):
    return [NOP] * count


def activate(row, bank=0):
    return command(0, 1, 1, row, bank)


def read(column, bank=0, **others):
    return command(1, 0, 1, column, bank, **others)


def write(column, data, bank=0, mask=0):
    return command(1, 0, 0, column, bank, mask, data, 1)


PRECHARGE, REFRESH, MODE = command(0, 1, 0, ALL), command(0, 0, 1), command(0, 0, 0, 2 << 4)
SET_UP = [*nops(10000), PRECHARGE, *nops(2), REFRESH, *nops(7), REFRESH, *nops(7), MODE, *nops(2)]
"""At 100 MHz, where every time of the data sheet is more than a cycle."""


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    (command, _), built = compiler(), tmp_path_factory.mktemp("sdram") / "sdram"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{SOURCE}"]
    subprocess.run([*command, *flags, "-o", built, Path(__file__).with_name("sdram.cpp")], check=True)

    def edges(*lines):
        done = subprocess.run([built], input="\n".join(lines), capture_output=True, text=True, check=False)
        said = done.stdout.splitlines()
        return said[-1] if done.returncode else [int(word) for word in said]

    return edges


OPEN = [activate(0), NOP]
CLOSE = [*nops(2), PRECHARGE, *nops(2)]


def test_it_holds_what_was_written(drive):
    written = [activate(7, 2), NOP, write(3, 0xABCD, 2), write(4, 0x1234, 2), write(4, 0x55AA, 2, mask=2)]
    driven = drive(*SET_UP, *written, read(3, 2), read(4, 2), read(3, 2), *nops(3))[-6:]
    # From the edge after that of the command on, to be taken at the second one.
    assert driven == [-1, 0xABCD, 0x12AA, 0xABCD, -1, -1]


def test_a_row_and_a_bank_are_places_of_their_own(drive):
    both = [activate(1, 0), NOP, activate(1, 1), NOP]
    use = [*both, write(0, 1, 0), write(0, 2, 1), *CLOSE, activate(2, 0), NOP, write(0, 3, 0), *CLOSE]
    assert drive(*SET_UP, *use, *both, read(0, 0), read(0, 1), *nops(2))[-3:] == [1, 2, -1]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (SET_UP[1000:], "power up"),
        ([*SET_UP[:-3], activate(0)], "before it is set up"),
        ([*SET_UP[:-2], activate(0)], "tMRD"),
        ([*SET_UP[:10000], REFRESH], "before it is precharged"),
        ([*SET_UP, read(0)], "not open"),
        ([*SET_UP, activate(0), activate(0)], "that is open"),
        ([*SET_UP, activate(0), read(0)], "tRCD"),
        ([*SET_UP, activate(0), activate(0, 1)], "tRRD"),
        ([*SET_UP, *OPEN, read(0), PRECHARGE], "tRAS"),
        ([*SET_UP, *OPEN, *nops(3), PRECHARGE, activate(1)], "tRP"),
        ([*SET_UP, *OPEN, *nops(3), PRECHARGE, REFRESH], "tRP"),
        ([*SET_UP, *OPEN, *nops(3), read(ALL), activate(1)], "tRP"),
        ([*SET_UP, *OPEN, *nops(3), write(0, 1), PRECHARGE], "tWR"),
        ([*SET_UP, *OPEN, REFRESH], "while a bank is open"),
        ([*SET_UP, REFRESH, NOP, activate(0)], "tRFC"),
        ([*SET_UP, *OPEN, read(0), write(0, 1)], "both sides"),
        ([*SET_UP, *OPEN, command(1, 0, 0)], "without data"),
        ([*SET_UP, *OPEN, read(0, mask=1)], "masked"),
        ([*SET_UP, *nops(9 * 782)], "refreshes are missing"),
    ],
)
def test_what_the_data_sheet_forbids_is_told(drive, lines, sentence):
    assert sentence in drive(*lines)


def test_what_it_allows_is_none_of_that(drive):
    allowed = [*OPEN, *nops(3), write(ALL, 1), *nops(4), activate(1), NOP, read(0), *nops(3), PRECHARGE, NOP, REFRESH]
    assert isinstance(drive(*SET_UP, *allowed, *nops(7), *OPEN, *nops(700)), list)
