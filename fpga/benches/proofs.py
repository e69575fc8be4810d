"""Claims on the link to a board: every frame is answered, once, and nothing between the line and the accelerator comes
to a stop."""

from typing import Any

from amaranth import Cat, Mux, Signal, Value
from amaranth.lib import data

from fpga.benches.catalogue import MEMORY, ONE_CELL, identity
from fpga.gateware.core import ANSWER_BYTES, BoardCore
from fpga.gateware.framing import LENGTH_BITS, Receiver, Sender
from fpga.gateware.runner import LEAST_PATIENCE, Runner
from fpga.link import (
    ARGUMENT_BYTES,
    CRC_BYTES,
    END,
    ESC,
    ESC_END,
    ESC_ESC,
    HEADER_BYTES,
    MAX_BODY,
    MAX_DATA,
    MAX_PAYLOAD,
    Kind,
    Status,
)
from sim.formal.catalogue import GROUPS
from sim.formal.claim import Bug, Claim
from sim.formal.ends import PATIENCE, lasts
from sim.formal.harness import Harness
from sim.formal.methods import Induction, Window
from sim.formal.rules import after_reset

STATES = ("header", "check", "answer", "judge", "skip", "arguments", "act", "take", "run", "write", "fetch", "send")
"""Those of the core, in the order in which it speaks of them."""

ENDING = ("done_held", "refused_held", "stuck_held", "counters")
"""What the core is told of a job that has ended."""

CORE_BOUND, SENDER_BOUND = 4 + PATIENCE, PATIENCE + 2
"""Cycles in a row without a byte, at most."""


def core(h: Harness) -> tuple[Value, Value, Value]:
    """The core, whatever frames come, whatever a job ends with. Returns whether it is answering a frame, whether it
    takes a byte or gives one, and whether a job runs."""
    dut, path = h.place(BoardCore(ONE_CELL, MEMORY, identity(ONE_CELL))), "dut.core"
    there, byte, ready = (
        h.cut(f"{path}.receiver.there"),
        h.cut(f"{path}.receiver.o__payload"),
        h.cut(f"{path}.sender.i__ready"),
    )
    for wire in ("receiver.fault", *(f"runner.{name}" for name in ENDING), "memory.read_data"):
        h.cut(f"{path}.{wire}")
    taken = there & h.probe(f"{path}.receiver.o__ready", 1)
    offers, sent = h.probe(f"{path}.sender.i__valid", 1), h.probe(f"{path}.sender.i__payload", 9)
    given, last = offers & ready, sent[-1]
    state, left, index, status = (h.probe(f"{path}.{name}") for name in ("fsm_state", "left", "index", "status"))
    at = {name: state == i for i, name in enumerate(STATES)}
    layout = data.StructLayout({"kind": 8, "sequence": 8, "length": LENGTH_BITS})
    header = data.View(layout, h.probe(f"{path}.header", layout.size))
    kind, length = header.kind, header.length
    write_bytes = length - ARGUMENT_BYTES[Kind.WRITE]

    # Of a frame, what is to be taken: it comes whole, and no longer than a frame can be.
    due, coming = Signal(LENGTH_BITS, name="due"), Cat(header.as_value()[-8:], byte)
    ends = at["header"] & taken & (index == HEADER_BYTES - 1)
    h.assume(~ends | (coming <= MAX_PAYLOAD))
    h.m.d.sync += due.eq(Mux(ends, coming, Mux(at["header"], 0, due - taken)))
    words = (write_bytes > 0) & (write_bytes <= MAX_DATA) & (write_bytes % MEMORY.bytes == 0) & (length <= MAX_PAYLOAD)
    sizes = [(kind == k) & (words if k == Kind.WRITE else length == size) for k, size in ARGUMENT_BYTES.items()]
    good, writes = (status == Status.OK) & Cat(sizes).any(), kind == Kind.WRITE
    h.prove("it is in one of its states", state < len(STATES))
    h.prove("it has not begun to take a frame", ~(at["check"] | at["judge"]) | ((due == length) & (due <= MAX_PAYLOAD)))
    h.prove("what it takes is sound", ~at["judge"] | good | (status != Status.OK))
    h.prove("it skips what is left", ~at["skip"] | (due == left))
    of_kind = Cat((kind == k) & (left <= size) for k, size in ARGUMENT_BYTES.items()).any()
    h.prove("arguments come first", ~at["arguments"] | (good & of_kind & (due == left + Mux(writes, write_bytes, 0))))
    h.prove("then what is to be written", ~at["act"] | (good & ~left.any() & (due == Mux(writes, write_bytes, 0))))
    whole = ((left + index) % MEMORY.bytes == 0) & (due == left) & writes
    h.prove("word by word", ~at["take"] | (whole & left.any() & (index < MEMORY.bytes)))
    h.prove("and each of them", ~at["write"] | (whole & ~index.any()))
    answers = at["header"] | at["answer"] | at["run"] | at["fetch"] | at["send"]
    h.prove("a frame is taken when it is answered", ~answers | ~due.any())

    # Of an answer, what is to be given: as many bytes as its header says.
    tells = h.probe(f"{path}.damaged").any()
    promised, owed = Signal(LENGTH_BITS, name="promised"), Signal(name="owed")
    h.m.d.sync += owed.eq(Mux(at["header"], ends | (tells & ~there & ~index.any()), owed & ~(given & last)))
    count = h.probe(f"{path}.arguments")[-64:-32]
    many, wrong = count > MAX_DATA // MEMORY.bytes, h.probe(f"{path}.wrong_count")
    h.prove("it knows whether so many words can be read", ~at["act"] | (wrong == (many | ~count.any())))
    says = at["answer"] & given & (index == HEADER_BYTES - 1)
    h.m.d.sync += promised.eq(Mux(says, left + 1, promised - given))
    h.prove("it owes an answer until its last byte, and no other", at["header"] == ~owed)
    h.prove("it says how many bytes come", ~at["answer"] | (index < HEADER_BYTES) | (promised == left + 1))
    h.prove("and gives as many", ~(at["fetch"] | at["send"]) | ((promised == left) & left.any()))
    h.prove("the last one is marked", ~given | (last == (promised == 1)) | (at["answer"] & (index < HEADER_BYTES)))
    h.prove("it answers where it says so", ~given | at["answer"] | at["send"])
    h.prove("the index of a header", ~at["header"] | (index < HEADER_BYTES))
    h.prove("the index of an answer", ~at["answer"] | (index < ANSWER_BYTES))
    no_index = at["judge"] | at["skip"] | at["arguments"] | at["act"] | at["run"]
    h.prove("no index in between", ~no_index | ~index.any())
    h.cover("the first byte of the identity", at["send"] & given & (kind == Kind.IDENTIFY))
    h.cover("a frame that is skipped", at["skip"] & (left == 1))
    return ~at["header"], taken | given, dut.busy


def core_ends(h: Harness) -> None:
    """The rest of a frame comes soon, and a byte of an answer is taken soon."""
    answers, steps, runs = core(h)
    h.grant()
    path = "dut.core"
    ready, there = h.probe(f"{path}.receiver.o__ready", 1), h.probe(f"{path}.receiver.there")
    offers, free = h.probe(f"{path}.sender.i__valid", 1), h.probe(f"{path}.sender.i__ready")
    h.assume(lasts(h, answers & ready & ~there, PATIENCE))
    h.assume(lasts(h, offers & ~free, PATIENCE))
    h.prove("a byte is taken or given in time", lasts(h, answers & ~runs & ~steps, CORE_BOUND))
    h.cover("as late", ~lasts(h, answers & ~runs & ~steps, CORE_BOUND - 1))


def receiver(h: Harness) -> None:
    """What comes from the line, whatever it is."""
    dut, path = h.place(Receiver()), "dut.core"
    count, length, whole, head = (h.probe(f"{path}.{name}") for name in ("count", "length", "whole", "head"))
    something = count.any() | h.probe(f"{path}.escaped")
    ends, faulty = h.wire(dut.i_valid & (dut.i_payload == END) & something, "ends"), dut.fault != Status.OK
    sound = (length == count - HEADER_BYTES - CRC_BYTES) & (length <= MAX_PAYLOAD)
    after = (whole + count - CRC_BYTES)[: len(whole)]
    taken, quiet = h.past(ends & ~faulty), after_reset(h.m)
    h.prove("it does not count further than what is too long", count <= MAX_BODY + 1)
    h.prove("what ends is faulty, or a frame as long as it says", ~ends | faulty | sound)
    h.prove("nothing else is", ends | ~faulty)
    h.prove(
        "a frame is given out from then on, and nothing else",
        quiet | (whole == Mux(taken, h.past(after), h.past(whole))),
    )
    h.prove("what is whole is given out at once", quiet | ~h.past(head != whole) | dut.o_valid)
    h.prove("byte by byte", quiet | ((head - h.past(head))[: len(head)] <= 1))
    h.cover("a frame is whole", taken)
    for status in (Status.CRC, Status.LENGTH):
        h.cover(f"none, because of {status.name}", dut.fault == status)


def runner(h: Harness) -> None:
    """A job of which nothing moves."""
    dut = h.place(Runner(ONE_CELL, MEMORY))
    running, quiet, moves = (h.probe(f"dut.core.{name}") for name in ("running", "quiet", "moves"))
    assert 1 << len(quiet) == LEAST_PATIENCE
    still = h.past(running & ~moves)
    h.prove("it counts the cycles in which nothing moves", quiet == Mux(still, (h.past(quiet) + 1)[: len(quiet)], 0))
    h.prove("when they are too many, the job is done", ~h.past(running & quiet.all()) | (dut.done & ~running))
    h.prove("and has come to nothing", ~h.past(running & quiet.all()) | dut.stuck)
    h.prove("a job is done once", ~dut.done | ~running | h.past(~running))
    h.cover("it is given up", dut.done & dut.stuck)
    h.cover("it is refused", dut.done & dut.refused.any())
    h.cover("it is done", dut.done & ~dut.stuck & ~dut.refused.any())


def sender(h: Harness) -> Any:
    """Any bytes, any pauses of the line."""
    dut, path = h.place(Sender()), "dut.core"
    state, byte, full, plain = (h.probe(f"{path}.{name}") for name in ("fsm_state", "byte", "full", "plain"))
    sent = dut.o_valid & dut.o_ready
    inside, escaped = Signal(name="inside"), Signal(name="escaped")
    with h.m.If(sent):
        h.m.d.sync += [inside.eq(inside ^ (dut.o_payload == END)), escaped.eq(dut.o_payload == ESC)]
    second = (byte == ESC_END) | (byte == ESC_ESC)
    ends = full & plain & (byte == END)
    h.prove("it is in one of its states", state <= 4)
    h.prove("what is plain is an end", ~(full & plain) | (byte == END))
    h.prove("an end begins a frame or ends it", inside == (state.any() ^ ends))
    h.prove("what is escaped is followed by one of two", ~escaped | (full & second))
    h.prove("between frames there is nothing but an end", state.any() | ~full | ends)
    h.prove("no other byte is an end", ~sent | (dut.o_payload != END) | ends)
    h.cover("an end inside a frame", sent & escaped & (dut.o_payload == ESC_END))
    h.cover("the end of a frame", sent & ends & inside)
    return dut


def sender_ends(h: Harness) -> None:
    """Bytes come soon, and are taken soon."""
    dut, state = sender(h), h.probe("dut.core.fsm_state")
    h.grant()
    h.assume(lasts(h, (state == 1) & ~dut.i_valid, PATIENCE))
    h.assume(lasts(h, dut.o_valid & ~dut.o_ready, PATIENCE))
    busy = state.any() | dut.o_valid | dut.i_valid
    waits = busy & ~(dut.o_valid & dut.o_ready) & ~(dut.i_valid & dut.i_ready)
    h.prove("a byte comes or goes in time", lasts(h, waits, SENDER_BOUND))
    h.cover("as late", ~lasts(h, waits, SENDER_BOUND - 1))


def add() -> None:
    """Adds these claims to those of `sim.formal.catalogue`, which knows nothing of a board."""
    GROUPS["Link to a board"] = claims


def claims() -> list[Claim]:
    """All of them."""
    return [
        Claim(
            "link_core",
            "The core of a board answers every frame once: it takes exactly the bytes of the frame, whatever they are, "
            "and gives an answer of as many bytes as its header says, the last one marked; and nothing else.",
            core,
            Induction(1, reach=22),
            Bug("every frame is taken for a sound one", r"assign verdict = .*;", "assign verdict = 4'h0;"),
        ),
        Claim(
            "link_core_ends",
            f"It never stops: where the rest of a frame comes and its answer is taken, each after {PATIENCE} cycles at "
            f"most, it is never {CORE_BOUND + 1} cycles without a byte, those not counted in which a job runs.",
            core_ends,
            Induction(CORE_BOUND + 2, reach=20),
            Bug("a word out of memory is waited for without an end", r"= & waited;", "= 1'h0;"),
        ),
        Claim(
            "link_receiver",
            "Of what comes between two END either a fault is told, or it is a frame, as long as it says and no longer "
            "than one can be, and all of it is given out from then on; of anything else nothing is.",
            receiver,
            Induction(1, reach=12),
            Bug("a frame of another length than it says is whole", r"= .*1'h0, length \}\) != .*;", "= 1'h0;"),
        ),
        Claim(
            "link_runner",
            f"A job of a board ends: it is done, refused, or given up {LEAST_PATIENCE} cycles after anything moved, "
            "whatever becomes of it.",
            runner,
            Window(2),
            Bug("it does not count the cycles", r"= quiet \+ 1'h1;", "= quiet;"),
        ),
        Claim(
            "link_sender",
            "What puts frames on the line begins and ends each of them with END, which is nowhere else, and lets one "
            "of two bytes follow each ESC.",
            sender,
            Induction(1, reach=16),
            Bug("nothing is escaped", r"assign special = .*;", "assign special = 1'h0;"),
        ),
        Claim(
            "link_sender_ends",
            f"It never stops: where bytes come and the line takes them, each after {PATIENCE} cycles at most, it is "
            f"never {SENDER_BOUND + 1} cycles without taking a byte or giving one until its frame has ended.",
            sender_ends,
            Induction(SENDER_BOUND + 3, reach=16),
            Bug("the sum is waited for without an end", r"= summed \? fsm_state : 3'h3;", "= fsm_state;"),
        ),
    ]
