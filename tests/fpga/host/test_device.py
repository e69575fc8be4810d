"""Products on a board: what is sent when, and how it can fail."""

import os
import pty
import threading
from dataclasses import replace

import numpy as np
import pytest

from fpga.host.device import BoardDevice, NoBoard
from fpga.host.line import LinkError, SerialLine, ports
from fpga.host.link import AHEAD_BYTES, Restarted, Silence
from fpga.host.reference import FUZZED
from fpga.host.virtual import Terminal, VirtualBoard
from fpga.link import REPLY, Frame, Kind, Status
from fpga.memory import MemoryShape
from golden.errors import GossetError
from golden.int8 import quantize_int8
from golden.matmul import matmul
from golden.quantize import quantize
from hw.design import PRESETS, DesignPoint
from sim.device import RtlDevice
from sim.digits import train
from sim.tiles import Job
from sim.verify import Verification, read_digits
from tests.fpga.lines import VIRTUAL, Babbling, Meddled, Straight

FORMAT = FUZZED.design.format


def matrices(m, n, k, seed=0):
    rng = np.random.default_rng(seed)
    return [quantize(rng.normal(size=(rows, k)), FORMAT) for rows in (m, n)]


def assert_right(device, x, w):
    report = device.run(Job(device.design, x, w))
    np.testing.assert_array_equal(report.product.accumulators, matmul(x, w).accumulators)
    return report


# ---- What is sent. ----


def test_weights_are_sent_once():
    line = Straight()
    device = BoardDevice(line)
    x, w = matrices(3, 6, 100)
    assert_right(device, x, w)
    first = device.link.written_bytes
    assert first == 8 * 13 * (3 + 6)
    assert_right(device, x, w)
    assert device.link.written_bytes - first == 8 * 13 * 3


def test_several_weights_stay_while_they_fit():
    device = BoardDevice(Straight())
    pairs = [matrices(2, 3, 60, seed) for seed in range(3)]
    for x, w in 2 * pairs:
        assert_right(device, x, w)
    assert device.link.written_bytes == 8 * 8 * (2 * 3 * 2 + 3 * 3)
    x, w = matrices(2, 29, 60)
    assert_right(device, x, w)  # takes nearly all of the memory
    before = device.link.written_bytes
    assert_right(device, *pairs[0])
    assert device.link.written_bytes - before == 8 * 8 * (2 + 3)


def test_what_does_not_fit_is_cut_by_tiles():
    device = BoardDevice(Straight())
    x, w = matrices(5, 60, 200)
    job = Job(device.design, x, w)
    before = device.link.line.reference.expected
    report = assert_right(device, x, w)
    assert report.counters["busy"] == job.beats == 5 * 60 * 25
    assert len(job.parts) < (device.link.line.reference.expected - before) % 256


def test_progress_tells_of_every_row():
    device = BoardDevice(Straight())
    job = Job(device.design, *matrices(5, 60, 200))
    seen = []
    device.run(job, lambda done, of: seen.append((done, of)))
    assert seen[-1] == (job.output_rows, job.output_rows)
    assert seen == sorted(seen) and len(seen) > 4


def test_commands_are_sent_ahead_but_never_more_than_a_board_buffers():
    line = Straight()
    device = BoardDevice(line)
    assert_right(device, *matrices(8, 40, 60))
    assert 900 < line.most_waiting <= AHEAD_BYTES


def test_a_memory_that_is_too_small_is_told():
    line = Straight(replace(FUZZED, memory=MemoryShape(32, 32)))
    device = BoardDevice(line)
    assert_right(device, *matrices(1, 2, 40))
    with pytest.raises(GossetError, match=r"4 rows of activations take 40 words of memory, .* but fuzzed has 32"):
        device.run(Job(device.design, *matrices(4, 2, 40)))
    assert_right(device, *matrices(1, 2, 40))


def test_a_job_for_another_design_is_refused():
    device = BoardDevice(Straight())
    x, w = matrices(2, 2, 16)
    with pytest.raises(GossetError, match="This board is fuzzed, but the job is for small"):
        device.run(Job(PRESETS["small"], x, w))


# ---- What answers. ----


def test_no_such_port():
    with pytest.raises(LinkError, match=r"serial port /dev/nowhere cannot be opened at 3000000 baud: .*No such file"):
        BoardDevice.open("/dev/nowhere", [3_000_000, 1_000_000])


def test_ports_are_listed():
    assert all(isinstance(name, str) and isinstance(about, str) for name, about in ports())


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        (b"", "nothing came back"),
        (b"$GPGGA,hello\r\n", "nothing that a board says"),
        (bytes(range(256)), "nothing that a board says"),
        (Frame(Kind.READ | REPLY, 0, b"\0abc").encode(), "nothing that a board says"),
    ],
)
def test_what_is_no_board(words, heard):
    with pytest.raises(NoBoard, match=f"No gosset board answers: .*{heard}"):
        BoardDevice(Babbling(words), timeout=0.1)


def test_a_silent_port_is_tried_at_every_rate():
    ours, theirs = pty.openpty()
    with pytest.raises(NoBoard, match="at 3000000 or 1000000 baud: No gosset board answers: nothing came back"):
        BoardDevice.open(os.ttyname(theirs), [3_000_000, 1_000_000])
    os.close(ours)
    os.close(theirs)


def test_another_design():
    with pytest.raises(GossetError, match=r"another design than small: name is fuzzed, not small; rows is 1, not 4"):
        BoardDevice(Straight(), PRESETS["small"])
    assert BoardDevice(Straight(), FUZZED.design).identity == FUZZED


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b'{"protocol":2}', "speaks version 2 of the protocol, but this gosset version 1"),
        (b"{}", "not understood"),
        (b"[1]", "not understood"),
        (b"\xff", "not understood"),
        (b'{"protocol":1}', "not understood"),
        (b'{"protocol":1,"memory":{"bits":7,"words":16},"design":{}}', "not understood: bits of a memory"),
    ],
)
def test_another_identity(said, message):
    def meddle(reply):
        return replace(reply, payload=b"\0" + said).encode() if reply.kind == Kind.IDENTIFY | REPLY else reply.encode()

    with pytest.raises(GossetError, match=message):
        BoardDevice(Meddled(meddle))


def test_an_identity_must_fit_a_frame():
    with pytest.raises(GossetError, match=r"503 bytes at most, but that of fuzzed on a+ has"):
        replace(FUZZED, board="a" * 300).encode()


# ---- What goes wrong later. ----


def test_a_board_that_was_started_anew_gets_everything_again():
    starts = [3, 9]

    def meddle(reply):
        if reply.kind == Kind.WRITE | REPLY and starts and not (starts.append(starts.pop(0) - 1) or starts[-1]):
            line.reference = type(line.reference)(FUZZED)
        return reply.encode()

    line = Meddled(meddle)
    device = BoardDevice(line)
    for seed in range(4):
        assert_right(device, *matrices(4, 12, 70, seed))
    assert line.reference.memory != bytes(len(line.reference.memory))


def test_a_board_that_starts_anew_all_the_time_is_given_up():
    def meddle(reply):
        if reply.kind == Kind.WRITE | REPLY:
            line.reference = type(line.reference)(FUZZED)
        return reply.encode()

    line = Meddled(meddle)
    device = BoardDevice(line)
    with pytest.raises(Restarted, match="forgotten what it held"):
        device.run(Job(device.design, *matrices(4, 12, 70)))


def test_a_job_whose_reply_is_lost_is_run_again():
    runs = []

    def meddle(reply):
        if reply.kind == Kind.RUN | REPLY:
            runs.append(reply)
            if len(runs) == 1:
                return None
        return reply.encode()

    device = BoardDevice(Meddled(meddle))
    report = assert_right(device, *matrices(4, 3, 40))
    assert report.counters["busy"] == 4 * 3 * 5
    assert [reply.payload[0] for reply in runs] == [Status.OK, Status.SEQUENCE, Status.OK]


def test_a_job_that_ran_tells_that_everything_was_written():
    device = BoardDevice(Meddled(lambda reply: None if reply.kind == Kind.WRITE | REPLY else reply.encode()))
    assert_right(device, *matrices(4, 3, 40))


@pytest.mark.parametrize("kind", [Kind.RUN, Kind.READ])
def test_a_board_that_falls_silent(kind):
    device = BoardDevice(Meddled(lambda reply: None if reply.kind == kind | REPLY else reply.encode()), timeout=0.01)
    with pytest.raises(Silence, match="does not answer"):
        device.run(Job(device.design, *matrices(4, 12, 70)))


@pytest.mark.parametrize(
    ("kind", "payload", "message"),
    [
        (Kind.RUN, bytes((Status.REFUSED, 0b10010)), r"REFUSED \(too_many_rows, activations\) to RUN"),
        (Kind.RUN, bytes((Status.STUCK, 0)), "STUCK to RUN"),
        (Kind.RUN, b"\0abcd", "4 bytes of counters instead of 20"),
        (Kind.READ, b"\0abcd", "4 bytes of memory instead of 48"),
        (Kind.READ, bytes((Status.ADDRESS, 0)), "ADDRESS to READ"),
        (Kind.WRITE, bytes((77, 0)), "nothing that is known to WRITE"),
        (Kind.WRITE, b"", "nothing that is known to WRITE"),
    ],
)
def test_an_answer_that_is_none_is_an_error(kind, payload, message):
    def meddle(reply):
        return replace(reply, payload=payload).encode() if reply.kind == kind | REPLY else reply.encode()

    device = BoardDevice(Meddled(meddle))
    with pytest.raises(LinkError, match=message):
        device.run(Job(device.design, *matrices(4, 3, 70)))
    device.link.line.meddle = Frame.encode
    assert_right(device, *matrices(4, 3, 70))


def test_an_unplugged_board():
    terminal = Terminal(VirtualBoard(FUZZED))
    server = threading.Thread(target=terminal.serve)
    server.start()
    device = BoardDevice.open(terminal.port, [3_000_000])
    job = Job(device.design, *matrices(30, 60, 200))

    def unplug(done, of):
        if done > of / 3 and server.is_alive():
            terminal.stop()
            server.join()
            terminal.close()

    with pytest.raises(LinkError, match=f"The board on {terminal.port} is gone; was it unplugged"):
        device.run(job, unplug)
    with pytest.raises(LinkError, match="is gone"):
        device.run(job)
    device.close()
    with pytest.raises(LinkError, match="cannot be opened"):
        SerialLine(terminal.port, 3_000_000)


# ---- The real workload. ----


@pytest.fixture(scope="module")
def digits():
    return train()


def test_digits_are_read_on_a_board_as_on_the_rtl(digits):
    board, rtl = BoardDevice(VirtualBoard(VIRTUAL)), RtlDevice(VIRTUAL.design)
    seen = Verification()
    some = replace(digits, images=digits.images[:80], labels=digits.labels[:80], pixels=digits.pixels[:80])
    readings, run = read_digits(seen, some, board)
    expected, of_rtl = read_digits(seen, some, rtl)
    np.testing.assert_array_equal(readings, expected)
    assert (readings == some.labels).mean() > 0.97
    assert seen.mismatches == 0 and seen.accumulators_compared == 2 * len(readings) * (128 + 64 + 10)
    assert run["counters"]["busy"] == of_rtl["counters"]["busy"]
    assert board.link.repeated == 0
    board.close()
    rtl.close()


def test_both_kinds_of_activations_on_a_stationary_array():
    design = DesignPoint(name="stationary", rows=2, cols=2, dataflow="ws", activations=("packed", "int8"), x_depth=128)
    identity = replace(VIRTUAL, memory=MemoryShape(32, 4096), design=design)
    device, rng = BoardDevice(VirtualBoard(identity)), np.random.default_rng(0)
    for m, n, k in ((1, 1, 8), (7, 9, 100), (70, 5, 300)):
        x, w = rng.normal(size=(m, k)), quantize(rng.normal(size=(n, k)), FORMAT)
        assert_right(device, quantize(x, FORMAT), w)
        assert_right(device, quantize_int8(x), w)
    device.close()
