"""The system on chip, in LiteX: VexRiscv, litedram's controller for ULX3S's SDRAM, and the accelerator beside them.

On the board and in simulation it is the same down to the pins, the SDRAM's PHY included; only the clock is not.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpga.litex.constants import BAUD, CLOCK_HZ, RAM_BYTES, REGISTERS, ROM_BYTES
from golden import process
from golden.errors import ToolError
from hw.generate import Generated

try:
    from litedram.common import LiteDRAMNativePort
    from litedram.frontend.axi import LiteDRAMAXI2Native
    from litedram.init import get_sdram_phy_init_sequence
    from litedram.modules import MT48LC16M16
    from litedram.phy import GENSDRPHY
    from litex.build.generic_platform import GenericPlatform
    from litex.build.io import DDROutput
    from litex.soc.cores.clock import ECP5PLL
    from litex.soc.cores.gpio import GPIOOut
    from litex.soc.integration.export import get_csr_json
    from litex.soc.integration.soc import SoCRegion
    from litex.soc.integration.soc_core import SoCCore
    from litex.soc.interconnect.axi import AXIInterface, AXILiteInterface
    from litex.soc.interconnect.stream import Pipeline, StrideConverter
    from litex_boards.platforms.radiona_ulx3s import Platform
    from migen import Cat, ClockDomain, ClockSignal, If, Instance, Module, Signal
except ModuleNotFoundError as error:
    raise ToolError(f"{error.name} is missing; install it with: pip install 'gosset[litex]'.") from error

CSRS = (
    *(f"sdram_dfii_{name}" for name in ("control", "pi0_command", "pi0_command_issue", "pi0_address", "pi0_baddress")),
    *("uart_rxtx", "uart_txfull", "leds_out"),
)
"""Registers of LiteX that the firmware uses."""


class Pins(Module):
    """The clock comes in at a pin; that of the SDRAM is in the same phase, as far as a simulation knows."""

    def __init__(self, platform: Platform):
        self.clock_domains.cd_sys = ClockDomain()
        self.comb += [self.cd_sys.clk.eq(platform.request("clk25")), self.cd_sys.rst.eq(platform.request("rst"))]


class Clocks(Module):
    """The system's clock from the board's crystal, and the SDRAM's a quarter of a cycle later."""

    def __init__(self, platform: Platform):
        self.clock_domains.cd_sys = ClockDomain()
        self.clock_domains.cd_sdram = ClockDomain(reset_less=True)
        self.submodules.pll = pll = ECP5PLL()
        self.comb += pll.reset.eq(platform.request("rst"))
        pll.register_clkin(platform.request("clk25"), 25e6)
        pll.create_clkout(self.cd_sys, CLOCK_HZ)
        pll.create_clkout(self.cd_sdram, CLOCK_HZ, phase=90, with_reset=False)
        self.specials += DDROutput(1, 0, platform.request("sdram_clock"), ClockSignal("sdram"))
        # Or else the board's ESP32 resets the FPGA.
        self.comb += platform.request("wifi_gpio0").eq(1)


class Narrow(Module):
    """A wide port of litedram on a narrow one, without a cycle lost: litedram's own converter loses one per word, which
    is a fifth of what four to one could have.

    Parameters
    ----------
    wide, narrow : LiteDRAMNativePort
    """

    def __init__(self, wide: LiteDRAMNativePort, narrow: LiteDRAMNativePort):
        ratio = wide.data_width // narrow.data_width
        count, full, last = Signal(max=ratio), Signal(), Signal()
        address, we = Signal.like(wide.cmd.addr), Signal()
        self.comb += [
            narrow.cmd.valid.eq(full),
            narrow.cmd.we.eq(we),
            narrow.cmd.addr.eq(Cat(count, address)),
            last.eq(narrow.cmd.ready & (count == ratio - 1)),
            wide.cmd.ready.eq(~full | last),
        ]
        self.sync += [
            If(full & narrow.cmd.ready, count.eq(count + 1)),
            If(last, full.eq(0)),
            If(wide.cmd.valid & wide.cmd.ready, full.eq(1), address.eq(wide.cmd.addr), we.eq(wide.cmd.we)),
        ]
        write = StrideConverter(wide.wdata.description, narrow.wdata.description)
        read = StrideConverter(narrow.rdata.description, wide.rdata.description)
        self.submodules += write, read
        self.submodules += Pipeline(wide.wdata, write, narrow.wdata), Pipeline(narrow.rdata, read, wide.rdata)


class System(SoCCore):
    """The system.

    Parameters
    ----------
    accelerator : Generated
        What `hw.generate.generate_axi` made, of kind "axi".
    board : bool
        Whether the clock is made on the FPGA, from the board's crystal.
    """

    def __init__(self, accelerator: Generated, *, board: bool = False):
        self.platform = platform = Platform(device="LFE5U-85F", revision="2.0", toolchain="trellis")
        self.submodules.crg = (Clocks if board else Pins)(platform)
        super().__init__(
            platform,
            CLOCK_HZ,
            # No cache of data: what the accelerator wrote is what the processor reads.
            cpu_variant="lite",
            integrated_rom_size=ROM_BYTES,
            integrated_sram_size=RAM_BYTES,
            uart_baudrate=BAUD,
            with_timer=False,
        )
        self.submodules.leds = GPIOOut(platform.request("user_led", 0))
        self.submodules.sdrphy = GENSDRPHY(platform.request("sdram"), CLOCK_HZ)
        self.module = MT48LC16M16(CLOCK_HZ, "1:1")
        self.add_sdram("sdram", phy=self.sdrphy, module=self.module, l2_cache_size=0)
        self._add_accelerator(accelerator.description)

    def _add_accelerator(self, description: dict[str, Any]) -> None:
        """The accelerator: its registers on the processor's bus, its memory port at the SDRAM's controller."""
        widths = {port["name"]: port["width"] for port in description["ports"]}
        inputs = {port["name"] for port in description["ports"] if port["direction"] == "in"}
        self.control = AXILiteInterface(data_width=32, address_width=32)
        self.memory = AXIInterface(
            data_width=widths["m_axi_mem_rdata"], address_width=32, id_width=widths["m_axi_mem_arid"]
        )
        ports = {"i_aclk": ClockSignal(), "i_aresetn": ~self.crg.cd_sys.rst, "o_irq": Signal()}
        for interface, axi in zip(description["interfaces"], (self.control, self.memory), strict=True):
            for name in interface["ports"]:
                signal = name.removeprefix(interface["name"] + "_")
                channel = next(channel for channel in ("aw", "ar", "w", "r", "b") if signal.startswith(channel))
                line = getattr(getattr(axi, channel), signal.removeprefix(channel))
                ports[("i_" if name in inputs else "o_") + name] = line[: widths[name]]
        self.specials += Instance(description["top"], **ports)
        self.bus.add_slave("gosset", self.control, SoCRegion(origin=REGISTERS, size=0x1000, cached=False))

        narrow = self.sdram.crossbar.get_port()
        ratio = self.memory.data_width // narrow.data_width
        wide = LiteDRAMNativePort(
            "both", narrow.address_width - (ratio - 1).bit_length(), self.memory.data_width, clock_domain="sys"
        )
        self.submodules += Narrow(wide, narrow)
        self.submodules += LiteDRAMAXI2Native(self.memory, wide, base_address=self.mem_map["main_ram"])


@dataclass(frozen=True)
class Written:
    """The system as the tools read it.

    Attributes
    ----------
    verilog : str
        Of the module `soc`, without the accelerator.
    sources : tuple of Path
        Further Verilog: the processor's.
    memories : dict of str to str
        What Verilog reads its memories from when it starts, by the name of the file.
    header : str
        For the firmware, in C: LiteX's registers that it uses, and how the SDRAM is set up.
    """

    verilog: str
    sources: tuple[Path, ...]
    memories: dict[str, str]
    header: str


def write(accelerator: Generated) -> Written:
    """The system in simulation.

    Parameters
    ----------
    accelerator : Generated
        As of `System`.
    """
    with quiet():
        system = System(accelerator)
        system.finalize()
        # The platform's own would have primitives of ECP5 at the pins.
        output = GenericPlatform.get_verilog(system.platform, system, name="soc")
        sources = tuple(Path(name) for name, *_ in system.platform.sources)
        # Comments have the time.
        lines = (line for line in output.main_source.splitlines() if not line.startswith("//"))
        return Written("\n".join(lines) + "\n", sources, dict(output.data_files), header(system))


def board(accelerator: Generated, words: Sequence[int]) -> dict[str, str]:
    """The system for ULX3S, without the accelerator: Verilog, constraints and memories, by the names of their files.

    Parameters
    ----------
    accelerator : Generated
        As of `System`.
    words : sequence of int
        Of the ROM.
    """
    with quiet(), process.scratch() as folder:
        system = System(accelerator, board=True)
        system.finalize()
        system.init_rom("rom", list(words), auto_size=False)
        sources = [Path(name) for name, *_ in system.platform.sources]
        system.platform.build(system, build_dir=str(folder), build_name="soc", run=False)
        written = [path for path in sorted(folder.iterdir()) if path.suffix in (".v", ".lpf", ".init")]
        return {path.name: path.read_text(encoding="utf-8") for path in (*written, *sources)}


def header(system: System) -> str:
    """What the firmware has to know of a system that is finished."""
    addresses = json.loads(get_csr_json(system.csr_regions))["csr_registers"]
    lines = [f"#define {name.upper()} 0x{addresses[name]['addr']:08x}u" for name in CSRS]
    lines += [f"#define REGISTERS 0x{REGISTERS:08x}u", f"#define MAIN_RAM 0x{system.mem_map['main_ram']:08x}u"]
    steps, _ = get_sdram_phy_init_sequence(system.sdrphy.settings, system.module.timing_settings)
    # The first step is CKE high, which the firmware does by itself.
    bits = {"CS": 1, "WE": 2, "CAS": 4, "RAS": 8}
    rows = [f"{{0, 0, 0, {steps[0][4]}u}}"]
    for _, address, bank, command, delay in steps[1:]:
        mask = sum(bits[name.removeprefix("DFII_COMMAND_")] for name in command.split("|"))
        rows.append(f"{{0x{address:x}, {bank}, {mask}, {delay}u}}")
    return "\n".join([*lines, f"#define SDRAM_STEPS {', '.join(rows)}"]) + "\n"


@contextmanager
def quiet() -> Iterator[None]:
    """LiteX tells at length what it does, through the root's logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
