"""The system as LiteX writes it, and the firmware for it. Running it is for `gosset litex`: it takes long to build."""

import importlib.util
import re
import sys
from types import SimpleNamespace

import pytest

from fpga import cli
from fpga.litex.constants import CLOCK_HZ, ROM_BYTES, STACK
from fpga.litex.layer import Layer, design
from golden.errors import ToolError
from hw.generate import generate_axi

NEEDED = ("litex", "litedram", "litex_boards", "migen", "pythondata_cpu_vexriscv", "ziglang")
OF_BOARDS = ("fpga.boards", "fpga.litex.bitstream")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


def test_a_simulation_needs_nothing_that_only_bitstreams_do(monkeypatch, tmp_path):
    """`make litex` installs the extra `litex` alone; modules of boards may be here already, so they are forgotten."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "amaranth_boards" or name in OF_BOARDS]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "amaranth_boards", None)
    asked = []
    run = SimpleNamespace(QS=(16,), report=lambda qs, show: asked.append(qs) or {"rates": []})
    monkeypatch.setitem(sys.modules, "fpga.litex.run", run)
    monkeypatch.setattr(cli, "litex_table", lambda made: "")
    cli.litex(q=[4], output=tmp_path)
    assert asked == [[4]]


@pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: pip install 'gosset[litex]'")
@pytest.mark.filterwarnings("default")  # what LiteX's own modules give
def test_the_system_and_its_firmware():
    from fpga.litex import firmware, soc

    layer = Layer(design(4))
    accelerator = generate_axi(layer.design, "axi")
    written = soc.write(accelerator)
    assert written == soc.write(accelerator)  # or the simulation would be built anew each time
    # Every port of the accelerator is connected, the SDRAM's pins are there, and so is a processor.
    for port in accelerator.description["ports"]:
        assert re.search(rf"\.{port['name']}\s*\(", written.verilog), port["name"]
    assert "inout  wire   [15:0] sdram_dq" in written.verilog and CLOCK_HZ == 50_000_000
    assert [path.name for path in written.sources] == ["VexRiscv_Lite.v"]
    words = firmware.compile(accelerator, written.header, layer, ROM_BYTES, STACK)
    # The first instruction makes a stack: auipc or lui of sp.
    assert len(words) < ROM_BYTES // 4 and words[0] & 0xFFF in (0x117, 0x137)
    files = soc.board(accelerator, words)
    assert sorted(files) == ["VexRiscv_Lite.v", "soc.lpf", "soc.v", "soc_rom.init", "soc_sram.init"]
    assert [int(line, 16) for line in files["soc_rom.init"].split()] == words
    assert 'LOCATE COMP "sdram_clock" SITE "F19"' in files["soc.lpf"] and "EHXPLLL" in files["soc.v"]
    with pytest.raises(ToolError, match=r"(?s)zig cc failed.*will not fit"):
        firmware.compile(accelerator, written.header, layer, 64, STACK)


@pytest.mark.skipif(not MISSING, reason="everything is there")
def test_what_is_missing_is_named():
    with pytest.raises(ToolError, match=r"pip install 'gosset\[litex\]'"):
        import fpga.litex.run  # noqa: F401
