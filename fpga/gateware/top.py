"""What is on the FPGA: clock, serial line, LEDs, and the core behind them."""

from amaranth import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.build import Platform
from amaranth.hdl import Elaboratable
from amaranth.lib import io
from amaranth.utils import bits_for

from fpga.baud import divisor
from fpga.boards import Board
from fpga.gateware.core import BoardCore
from fpga.gateware.multipliers import with_ecp5_multipliers
from fpga.gateware.pll import ClockSource
from fpga.gateware.uart import Uart
from fpga.identity import Identity
from hw.streams import Flat
from hw.units import Library, to_verilog

CORE_FILE = "core.v"
"""The Verilog of the core, beside what Amaranth writes."""


class DeviceLibrary(Library):
    """A library of units for one device, so that they can use what only it has.

    Parameters
    ----------
    top : str
        Name of the top module.
    device : str, optional
        As the board's platform names it.
    """

    def __init__(self, top: str, device: str | None):
        super().__init__(top)
        self.device = device


class BoardTop(Elaboratable):
    """Everything on the FPGA of a board. The first LED blinks about once a second, the second is on while a job runs.

    Parameters
    ----------
    board : Board
    """

    def __init__(self, board: Board):
        self.board = board

    def elaborate(self, platform: Platform) -> Module:
        """The core comes as a file of Verilog, in which a unit is one module however often it is used."""
        m = Module()
        board = self.board
        m.submodules.clock = clock = ClockSource(board.clock)
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(clock.clk), ResetSignal().eq(clock.rst)]

        m.submodules.uart = uart = Uart(divisor(board.clock.output_hz, board.baud))
        line = platform.request("uart", dir="-")
        m.submodules.rx, m.submodules.tx = rx, tx = io.Buffer("i", line.rx), io.Buffer("o", line.tx)
        m.d.comb += [uart.rx_pin.eq(rx.i), tx.o.eq(uart.tx_pin)]

        module = f"gosset_{board.name}_core"
        core = BoardCore(board.design, board.memory, Identity.of(board).encode())
        text = to_verilog(Flat(core), DeviceLibrary(module, getattr(platform, "device", None)))
        platform.add_file(CORE_FILE, with_ecp5_multipliers(text) if board.family == "ecp5" else text)
        busy = Signal()
        m.submodules.core = Instance(
            module,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_rx_valid=uart.o.valid,
            i_rx_payload=uart.o.payload,
            o_tx_valid=uart.i.valid,
            o_tx_payload=uart.i.payload,
            i_tx_ready=uart.i.ready,
            o_busy=busy,
        )

        # A counter that does nothing but count: its carry chain stays in one piece.
        heartbeat = Signal(bits_for(int(board.clock.output_hz)))
        m.d.sync += heartbeat.eq(heartbeat + 1)
        if board.leds == "rgb_led":
            led = platform.request("rgb_led", dir="-")
            lights = {"green": (led.g, heartbeat[-1]), "blue": (led.b, busy), "red": (led.r, Const(0))}
        else:
            alive, works = (platform.request("led", i, dir="-") for i in range(2))
            lights = {"alive": (alive, heartbeat[-1]), "works": (works, busy)}
        for name, (pin, value) in lights.items():
            m.submodules[name] = light = io.Buffer("o", pin)
            m.d.comb += light.o.eq(value)
        return m
