"""Boards without a board: the same Verilog, simulated, at the other end of a line."""

import os
import pty
import select
import threading
import tty
from collections import deque
from contextlib import suppress
from typing import Self

import numpy as np
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from fpga.gateware.core import BoardCore
from fpga.gateware.uart import Uart
from fpga.identity import Identity
from golden.errors import ToolError
from hw.generate import generate
from sim.rtl.model import Model, Pace

SLICE = 256
"""Clock cycles from one look at what has come to the next."""

QUIET = 2048
"""A board that runs no job has come to rest after so many cycles in which no byte went in or out: it takes fewer for
any command."""


class VirtualBoard:
    """A simulated board, as a line to it. Time passes in it only while someone reads.

    Parameters
    ----------
    identity : Identity
        With design and memory.
    pace : int
        Clock cycles from one byte sent to it to the next, at least.

    Attributes
    ----------
    model : Model

    Raises
    ------
    GossetError
        If there is no such board.
    ToolError
        If the simulator cannot be built.
    """

    def __init__(self, identity: Identity, *, pace: int = 1):
        self.model = Model.of(generate(_core(identity), f"{identity.design.module}_core"))
        self.model.reset()
        self._pace = {"rx": Pace(period=pace)}
        self._sent = np.zeros((0, 1), np.uint32)
        self._quiet = 0

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        self._sent = np.concatenate([self._sent, np.frombuffer(data, np.uint8).astype(np.uint32)[:, None]])
        self._quiet = 0

    def read(self, timeout: float) -> bytes:
        """At least one byte that came; none when none will come, whatever the timeout."""
        while not (came := self.step()) and not self.at_rest:
            pass
        return came

    def step(self) -> bytes:
        """Lets a little time pass, and returns what came."""
        run = self.model.exchange({"rx": self._sent}, ["tx"], SLICE, paces=self._pace)
        taken, came = run.streams["rx"].beats, run.outputs["tx"]
        self._sent = self._sent[taken:]
        self._quiet = 0 if taken or len(came) or self.model.io.busy else self._quiet + run.cycles
        return came.astype(np.uint8).tobytes()

    @property
    def at_rest(self) -> bool:
        """Whether nothing will happen until something is sent."""
        return self._quiet >= QUIET

    def close(self) -> None:
        """Ends the simulation."""
        self.model.close()


class VirtualPins(VirtualBoard):
    """A simulated board with its UART, driven and listened to bit by bit.

    Parameters
    ----------
    identity : Identity
    divisor : int
        Clock cycles of a bit.
    """

    def __init__(self, identity: Identity, divisor: int):
        self.divisor = divisor
        self.model = Model.of(generate(_Wired(identity, divisor), f"{identity.design.module}_pins_{divisor}"))
        self.model.io.rx_pin = 1
        self.model.reset()
        self._bits: deque[int] = deque()
        self._coming: list[int] = []  # bits of the byte that is coming, the start bit first
        self._quiet = 0

    def write(self, data: bytes) -> None:
        """Sends bytes: each a start bit, eight bits, the lowest first, and a stop bit."""
        for byte in data:
            self._bits += (0, *(byte >> bit & 1 for bit in range(8)), 1)
        self._quiet = 0

    def step(self) -> bytes:
        """Lets the time of a bit pass, and returns the byte that came, if one is complete.

        One look at the pin per bit is enough: wherever in the bits it falls, it is the same place in all of a byte.
        """
        io = self.model.io
        io.rx_pin = self._bits.popleft() if self._bits else 1
        self.model.clock.tick(self.divisor)
        level = io.tx_pin
        if self._coming or not level:
            self._coming.append(level)
        self._quiet = 0 if self._bits or self._coming or io.busy else self._quiet + self.divisor
        if len(self._coming) < 10:
            return b""
        byte, stop = sum(bit << i for i, bit in enumerate(self._coming[1:9])), self._coming[9]
        self._coming.clear()
        if not stop:
            raise ToolError("The simulated board sent a byte without a stop bit.")
        return bytes((byte,))


class Terminal:
    """A pseudo-terminal with a board behind it: what programs take for a serial port. A context manager.

    Parameters
    ----------
    board : VirtualBoard

    Attributes
    ----------
    port : str
        The name that a host opens.
    """

    def __init__(self, board: VirtualBoard):
        self.board = board
        self._ours, self._theirs = pty.openpty()  # theirs stays open here, so that hosts may come and go
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.port = os.ttyname(self._theirs)
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def serve(self) -> None:
        """Passes bytes between the terminal and the board until `stop`."""
        while not self._stopped.is_set():
            ready, _, _ = select.select([self._ours], [], [], 0.1 if self.board.at_rest else 0)
            if ready:
                self.board.write(os.read(self._ours, 1 << 16))
            if not self.board.at_rest:
                self._send(self.board.step())

    def stop(self) -> None:
        """Ends `serve`, from another thread."""
        self._stopped.set()

    def close(self) -> None:
        """Takes the terminal away, as if the board were unplugged, and ends the simulation."""
        os.close(self._ours)
        os.close(self._theirs)
        self.board.close()

    def _send(self, data: bytes) -> None:
        with suppress(BlockingIOError):  # nobody reads: lost, as on a serial line
            os.write(self._ours, data)


class _Wired(wiring.Component):
    """A core with its UART."""

    def __init__(self, identity: Identity, divisor: int):
        self.identity, self.divisor = identity, divisor
        super().__init__({"rx_pin": In(1), "tx_pin": Out(1), "busy": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.uart = uart = Uart(self.divisor)
        m.submodules.core = core = _core(self.identity)
        connect(m, uart.o, core.rx)
        connect(m, core.tx, uart.i)
        m.d.comb += [uart.rx_pin.eq(self.rx_pin), self.tx_pin.eq(uart.tx_pin), self.busy.eq(core.busy)]
        return m


def _core(identity: Identity) -> BoardCore:
    return BoardCore(identity.design, identity.memory, identity.encode())
