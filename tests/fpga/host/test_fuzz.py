"""Damaged lines, and whether damage would be noticed. `make fuzz` does the same at length."""

from types import SimpleNamespace

import pytest
from amaranth.lib import crc
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC

from fpga import link
from fpga.host.fuzz import Wrong, fuzz_frames, fuzz_products
from fpga.link import CRC_BYTES, END, ESC, ESC_END, ESC_ESC, HEADER_BYTES, REPLY, Frame, Kind, Status


def test_a_board_does_nothing_that_it_is_not_told():
    done = []
    replies = fuzz_frames(3000, seed=1, advance=done.append)
    assert sum(done) == 3000
    assert set(replies) >= set(Status) - {Status.OVERRUN, Status.STUCK}


def test_a_host_takes_nothing_that_is_not_so():
    done = []
    counts = fuzz_products(40, seed=1, rate=0.1, advance=done.append)
    assert sum(done) == 40 == counts["right"] + counts["failed"]
    assert counts["right"] > 30 and counts["repeated"] > 20


class Credulous(crc.Processor):
    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.match_detected.eq(1)
        return m


def no_crc(data_width):
    return SimpleNamespace(create=lambda: Credulous(CRC32_ISO_HDLC(data_width=data_width)))


@pytest.mark.parametrize(
    ("name", "planted"),
    [("fpga.gateware.framing.CRC32_ISO_HDLC", no_crc), ("fpga.gateware.core.ORDERED", ())],
    ids=["takes damaged frames", "ignores the number"],
)
def test_a_board_that_does_is_found_out(monkeypatch, name, planted):
    monkeypatch.setattr(name, planted)
    with pytest.raises(Wrong, match=r"The board (answered|complained)"):
        fuzz_frames(1000)


def trusted(piece, check=link._frame):
    """The frame in what came between two END, whatever its CRC if it is a reply to READ."""
    body = piece.replace(bytes((ESC, ESC_END)), bytes((END,))).replace(bytes((ESC, ESC_ESC)), bytes((ESC,)))
    reads = body[0] == Kind.READ | REPLY and len(body) > HEADER_BYTES + CRC_BYTES
    return Frame(body[0], body[1], body[HEADER_BYTES:-CRC_BYTES]) if reads else check(piece)


def test_a_host_that_does_is_found_out(monkeypatch):
    monkeypatch.setattr("fpga.link._frame", trusted)
    with pytest.raises(Wrong, match="came out wrong"):
        fuzz_products(300, rate=0.3)
