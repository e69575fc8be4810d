"""Frames in hardware against frames in Python, whole and damaged."""

import numpy as np
import pytest

from fpga.benches.faults import HARMED
from fpga.gateware.framing import Receiver, Sender
from fpga.link import BUFFER_BYTES, END, ESC, MAX_PAYLOAD, Deframer, Frame, delimited
from hw.generate import generate
from sim.rtl import verilator
from sim.rtl.model import Model


def beats(bytes_):
    return np.frombuffer(bytes_, np.uint8).astype(np.uint32)[:, None]


def body(frame):
    """Header and payload."""
    return bytes((frame.kind, frame.sequence)) + len(frame.payload).to_bytes(2, "little") + frame.payload


def random_frame(rng):
    size = int(rng.choice([0, 1, 4, 20, 100, MAX_PAYLOAD], p=[0.2, 0.2, 0.2, 0.2, 0.15, 0.05]))
    payload = rng.choice([0, 1, END, ESC, 0xDC, 0xDD, 0xFF], size).astype(np.uint8).tobytes()
    return Frame(int(rng.integers(256)), int(rng.integers(256)), payload)


def random_line(rng, frames):
    """Frames, some of them damaged, with garbage between them."""
    line = b""
    for _ in range(frames):
        raw = bytearray(random_frame(rng).encode())
        match rng.integers(8):
            case 0:
                raw[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))
            case 1:
                raw = raw[: rng.integers(len(raw))]
            case 2:
                raw += rng.bytes(int(rng.integers(1, 40)))
            case 3:
                raw += bytes((ESC, END))
            case 4:
                raw += delimited(rng.bytes(int(rng.integers(0, 700))))
        line += bytes(raw)
    return line


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    path = generate(Receiver(), "receiver").write(tmp_path_factory.mktemp("receiver"))
    verilator.lint(path, "receiver")
    return path


def test_frames_are_what_their_encoding_says():
    rng = np.random.default_rng(1)
    frames = [random_frame(rng) for _ in range(200)]
    line = b"".join(frame.encode() for frame in frames)
    deframer = Deframer()
    assert [frame for i in range(0, len(line), 7) for frame in deframer.feed(line[i : i + 7])] == frames
    assert deframer.damaged == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_receiver_gives_what_the_deframer_does(receiver, seed):
    line = random_line(np.random.default_rng(seed), 1500) + bytes((END,))
    deframer = Deframer()
    expected = b"".join(body(frame) for frame in deframer.feed(line))
    assert deframer.damaged > 200
    with Model(receiver) as model:
        model.reset()
        run = model.run({"i": beats(line)}, {"o": len(expected)})
        assert bytes(run.outputs["o"].astype(np.uint8).ravel()) == expected


@pytest.mark.parametrize(
    ("piece", "status"),
    [
        (Frame(1, 2, b"abc").encode(), None),
        (Frame(1, 2, bytes(MAX_PAYLOAD)).encode(), None),
        *HARMED,
    ],
)
def test_why_a_frame_is_dropped(receiver, piece, status):
    faults = []
    with Model(receiver) as model:
        model.reset()
        model.io.o_ready = 1
        for byte in piece:
            model.io.i_valid, model.io.i_payload = 1, byte
            faults.append(int(model.io.fault))
            model.clock.tick()
        assert [fault for fault in faults if fault] == ([status] if status else [])


def test_what_does_not_fit_is_dropped_whole(receiver):
    """Nobody takes what comes: frames are held until the buffer is full, and then the next one is lost."""
    frames = [Frame(1, i, bytes(190)) for i in range(6)]
    held = BUFFER_BYTES // len(body(frames[0]))
    with Model(receiver) as model:
        model.reset()
        model.run({"i": beats(b"".join(frame.encode() for frame in frames))}, {})
        after = Frame(7, 7, b"after")
        expected = b"".join(map(body, frames[:held]))
        out = model.run({}, {"o": len(expected)}).outputs["o"]
        assert bytes(out.astype(np.uint8).ravel()) == expected
        out = model.run({"i": beats(after.encode())}, {"o": len(body(after))}).outputs["o"]
        assert bytes(out.astype(np.uint8).ravel()) == body(after)


def test_the_sender_encodes_as_frames_do(tmp_path):
    rng = np.random.default_rng(3)
    frames = [random_frame(rng) for _ in range(300)]
    path = generate(Sender(), "sender").write(tmp_path)
    verilator.lint(path, "sender")
    bytes_ = beats(b"".join(map(body, frames)))
    last = np.zeros_like(bytes_)
    last[np.cumsum([len(body(frame)) for frame in frames]) - 1] = 1
    expected = b"".join(frame.encode() for frame in frames)
    with Model(path) as model:
        model.reset()
        for stalls in (0, 0.4):
            payload = model.layout("i").pack({"i_data": bytes_, "i_last": last})
            out = model.run({"i": payload}, {"o": len(expected)}, stalls=stalls).outputs["o"]
            assert bytes(out.astype(np.uint8).ravel()) == expected
