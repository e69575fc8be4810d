import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from golden.errors import GossetError
from hw.axi.core import REFUSALS
from hw.design import DesignPoint
from hw.engine.counters import COUNTERS
from hw.engine.planner import ERRORS, KEPT_ERROR, RAW_ERROR
from hw.generate import AXI_TOPS
from hw.registers import Field, Register, RegisterMap

DESIGN = DesignPoint(name="two", rows=2, cols=3, panel_rows=8, x_depth=64, w_depth=32)
MAPS = {kind: top.registers(DESIGN) for kind, top in AXI_TOPS.items()}


@pytest.fixture(params=MAPS)
def registers(request: pytest.FixtureRequest) -> RegisterMap:
    return MAPS[request.param]


def test_constants_are_those_of_the_design(registers: RegisterMap) -> None:
    def constants(name: str) -> dict[str, int]:
        return registers.unpack(name, registers.by_name[name].reset)

    assert constants("array")["rows"] == 2 and constants("array")["cols"] == 3
    assert constants("array")["memory"] == (registers is MAPS["axi"])
    assert constants("format")["q"] == 16 and constants("format")["label_bits"] == 32
    assert constants("depths") == {"x": 64, "w": 32}
    assert constants("limits") == {"panel_rows": 8, "jobs": 4}
    assert registers.by_name["id"].reset.to_bytes(4, "big") == b"GOSS"


def test_every_error_and_every_counter_has_its_place(registers: RegisterMap) -> None:
    errors = {field.name for field in registers.by_name["error"].fields}
    assert {*ERRORS, RAW_ERROR, KEPT_ERROR} == set(REFUSALS) and errors >= {*ERRORS, "queue_full"}
    assert {f"count_{name}" for name in COUNTERS} <= set(registers.by_name)
    beside = {"axi": {"misaligned", "read_error", "write_error"}, "axis": {"x_framing", "w_framing"}}
    assert errors >= beside["axi" if registers is MAPS["axi"] else "axis"]
    assert ("job_x_low" in registers.by_name) == (registers is MAPS["axi"])


def test_json_gives_the_map_back(registers: RegisterMap) -> None:
    content = json.loads(registers.to_json())
    assert RegisterMap.from_dict(content["name"], content["registers"]) == registers


def test_the_header_compiles_and_says_what_the_map_says(registers: RegisterMap, tmp_path) -> None:
    prefix = registers.name.upper()
    (tmp_path / "map.h").write_text(registers.header())
    (tmp_path / "main.c").write_text(
        '#include "map.h"\n#include "map.h"\n#include <stdio.h>\n'
        f'int main(void) {{ printf("%u %u %u %u", {prefix}_STATUS, {prefix}_STATUS_ROOM_MASK, '
        f"{prefix}_STATUS_ROOM_SHIFT, {prefix}_ARRAY_COLS_CONSTANT); return 0; }}\n"
    )
    compiler = shutil.which("cc") or "c++"
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    shown = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    assert shown == f"{registers.offset('status')} {0xFF << 16} 16 3"


def test_the_table_has_every_field(registers: RegisterMap) -> None:
    table = registers.markdown()
    for register in registers.registers:
        assert f"| 0x{register.offset:03x} | `{register.name}` |" in table
        for field in register.fields:
            assert f"`{field.name}` | {field.access}" in table
    assert "| | | 23:16 | `room` | RO | – |" in table


def test_fields_are_packed_and_unpacked(registers: RegisterMap) -> None:
    word = registers.pack("irq_enable", error=1)
    assert word == 2 and registers.unpack("irq_enable", word) == {"job_done": 0, "error": 1}
    with pytest.raises(GossetError, match="has no field 'eror'; it has job_done, error"):
        registers.pack("irq_enable", eror=1)
    with pytest.raises(GossetError, match=r"has 16 bits; 65536 does not fit"):
        registers.pack("job_rows", value=1 << 16)
    with pytest.raises(GossetError, match="has no register 'jobs'"):
        registers.offset("jobs")


def test_contradictions_are_refused() -> None:
    field = Field("a", 0, 8, "RW", "")
    register = Register("r", 0, "", (field,))
    with pytest.raises(GossetError, match="overlaps"):
        Register("r", 0, "", (field, replace(field, name="b", low=7)))
    with pytest.raises(GossetError, match="no aligned word"):
        Register("r", 0, "", (field, replace(field, name="b", low=25)))
    with pytest.raises(GossetError, match="no aligned word"):
        Register("r", 2, "", (field,))
    with pytest.raises(GossetError, match="the same name"):
        RegisterMap("m", (register, replace(register, offset=4)))
    with pytest.raises(GossetError, match="the same offset"):
        RegisterMap("m", (register, replace(register, name="s")))


@pytest.mark.parametrize("top", AXI_TOPS.values(), ids=AXI_TOPS)
def test_a_design_that_keeps_rows_says_how_many(top) -> None:
    registers = top.registers(replace(DESIGN, keep_rows=128))
    assert registers.by_name["kept"].reset == 128 and "kept" not in top.registers(DESIGN).by_name
    assert {field.name for field in registers.by_name["job_mode"].fields} == {"int8", "add", "keep"}
    assert "kept_rows" in {field.name for field in registers.by_name["error"].fields}
