"""Lines that bytes go to a board on, and come back: serial ports."""

import sys
import time
from contextlib import suppress
from typing import Protocol

import serial
from serial.tools import list_ports

from golden.errors import ToolError

POLL_SECONDS = 0.02
"""A serial port is asked again after this long."""


class LinkError(ToolError):
    """A board cannot be reached, or does not answer as it should."""


class Line(Protocol):
    """What a host needs of a way to a board."""

    def write(self, data: bytes) -> None:
        """Sends bytes; raises LinkError if the line is gone."""

    def read(self, timeout: float) -> bytes:
        """At least one byte that came; none if none came for so many seconds. Raises LinkError if the line is gone."""

    def close(self) -> None:
        """Gives the line back."""


class SerialLine:
    """A serial port.

    Parameters
    ----------
    port : str
        `/dev/ttyUSB0`, `COM3`, …, or whatever else `serial.serial_for_url` takes.
    baud : int

    Raises
    ------
    LinkError
        If there is no such port, or it cannot be opened.
    """

    def __init__(self, port: str, baud: int):
        self.port, self.baud = port, baud
        try:
            self._serial = serial.serial_for_url(port, baud, timeout=POLL_SECONDS, exclusive=True)
        except (OSError, ValueError) as error:  # pyserial's own errors are OSErrors
            raise LinkError(f"The serial port {port} cannot be opened at {baud} baud: {_reason(error)}.") from error
        if sys.platform == "linux" and hasattr(self._serial, "set_low_latency_mode"):
            # The drivers of some USB chips keep what came for up to 16 ms; those that do not have no such mode.
            with suppress(OSError, ValueError):
                self._serial.set_low_latency_mode(True)

    def write(self, data: bytes) -> None:
        """Sends bytes; raises LinkError if the port is gone."""
        try:
            self._serial.write(data)
        except OSError as error:
            raise self._gone(error) from error

    def read(self, timeout: float) -> bytes:
        """At least one byte that came; none if none came for so many seconds. Raises LinkError if the port is gone."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                came = self._serial.read(max(1, self._serial.in_waiting))
            except (OSError, TypeError) as error:  # a TypeError where the port was closed meanwhile
                raise self._gone(error) from error
            if came or time.monotonic() >= deadline:
                return bytes(came)

    def close(self) -> None:
        """Gives the port back."""
        self._serial.close()

    def _gone(self, error: Exception) -> LinkError:
        return LinkError(f"The board on {self.port} is gone; was it unplugged? ({_reason(error)})")


def ports() -> list[tuple[str, str]]:
    """The serial ports of this machine that have a device: names, and what is known of the device."""
    found = []
    for port in sorted(list_ports.comports()):
        about = [port.description if port.description != "n/a" else "", port.manufacturer or ""]
        if port.vid is not None:
            about.append(f"USB {port.vid:04x}:{port.pid:04x}")
        if port.serial_number:
            about.append(f"serial number {port.serial_number}")
        found.append((port.device, ", ".join(filter(None, about))))
    return found


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
