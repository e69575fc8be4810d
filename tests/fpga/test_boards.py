"""The boards: every one can be made, and a mistake in one is told in a sentence."""

import subprocess
import sys
from dataclasses import replace

import pytest

pytest.importorskip("amaranth_boards", reason="needs amaranth-boards: pip install 'gosset[fpga]'")

from fpga.boards import BOARDS, find_board
from fpga.memory import MemoryShape
from golden.errors import GossetError

EACH = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


@EACH
def test_has_what_the_top_asks_for(board):
    platform = board.platform()
    line = platform.request("uart", dir="-")
    assert len(line.rx) == len(line.tx) == 1
    if board.leds == "rgb_led":
        led = platform.request("rgb_led", dir="-")
        assert len(led.r) == len(led.g) == len(led.b) == 1
    else:
        assert all(len(platform.request("led", i, dir="-")) == 1 for i in range(2))


@EACH
def test_clock_and_figures(board):
    assert 0.99 * board.clock_hz <= board.clock.output_hz <= board.clock_hz
    assert board.clock.input_hz == board.platform().default_clk_frequency
    assert board.peak_gmacs == pytest.approx(board.design.macs_per_cycle * board.clock_hz / 1e9, rel=0.01)
    assert board.link_bytes_per_second * 10 == board.baud


def test_a_job_of_a_bank_fits_the_memory():
    for board in BOARDS.values():
        bank = board.design.x_depth * board.design.rows * (board.design.x_lane_bits + board.design.x_beta_bits)
        assert bank <= board.memory.bits * board.memory.words, board.name


def test_orangecrab_has_its_line_on_feather_pins():
    platform = find_board("orangecrab").platform()
    pins = platform.lookup("uart")
    names = [list(line.ios[0].map_names(platform._conn_pins, None)) for line in pins.ios]
    assert names == [["N17"], ["M18"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "my board"}, "Verilog identifier, which 'my board' cannot be"),
        ({"family": "spartan"}, "The family of a board is one of ecp5, "),
        ({"memory": MemoryShape(16, 65536, spram=True)}, "Single-port memory is what UP5K has"),
        ({"clock_hz": 500_000_000}, "EHXPLLL cannot make 500 MHz of 25 MHz"),
        ({"baud": 30_000_000}, "A clock of 81.25 MHz cannot make 30000000 baud"),
        ({"leds": "lamp"}, "LEDs of a board are led or rgb_led, not 'lamp'"),
    ],
)
def test_mistakes(changes, said):
    with pytest.raises(GossetError) as error:
        replace(find_board("ulx3s"), **changes)
    assert said in str(error.value) and str(error.value).endswith(".")


def test_unknown_board():
    with pytest.raises(GossetError, match="No board is called 'nix'; there are ulx3s, "):
        find_board("nix")


def test_list_shows_them_all():
    done = subprocess.run(
        [sys.executable, "-m", "gosset", "fpga", "--list"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "COLUMNS": "200"},
    )
    assert all(name in done.stdout for name in BOARDS)


def test_unknown_board_on_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "gosset", "fpga", "--board", "nix"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("gosset: No board is called 'nix'")
