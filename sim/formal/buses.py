"""Claims on AXI: both sides' rules, on the units that speak it and on whole accelerators."""

from typing import Any

from amaranth import Cat, Mux, Value
from amaranth.utils import bits_for, exact_log2

from hw.axi.bursts import burst_layout, planes_layout
from hw.axi.lite import Registers
from hw.axi.memory import AxiMemoryTop
from hw.axi.read import ReaderShape, ReadMaster, id_bits
from hw.axi.write import WriteMaster, outstanding
from hw.design import ACC_BITS, DesignPoint
from hw.generate import generate_axi
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction, Window
from sim.formal.rules import AxiLiteRules, AxiReadRules, AxiStreamRules, AxiWriteRules
from sim.formal.streams import OUTPUT, queue

DESIGN = DesignPoint(name="one", rows=1, cols=1, bus_bits=32)
"""A bus of one result: what the rules ask hangs on no width."""


def watch(h: Harness, rules: Any, dut: Any, prefix: str) -> Any:
    """Connects rules to the ports of a bus."""
    h.m.submodules[f"rules_{prefix}"] = rules
    for name in rules.bus.signature.members:
        if hasattr(dut, f"{prefix}_{name}"):
            h.m.d.comb += getattr(rules.bus, name).eq(getattr(dut, f"{prefix}_{name}"))
    return rules


def registers(h: Harness) -> None:
    """The registers of an accelerator, behind any manager that keeps the rules."""
    map = AxiMemoryTop.registers(OUTPUT)
    dut, path = h.place(Registers(map)), "dut.core.core"
    rules = watch(h, AxiLiteRules(map.address_bits, 2), dut, "s_axi_ctrl")
    h.assume(rules.manager)
    h.prove("the subordinate's rules", rules.subordinate)
    has_address, decoded, has_data, written, has_wanted = (
        h.probe(f"{path}.{name}") for name in ("has_address", "decoded", "has_data", "written", "has_wanted")
    )
    answer = written + dut.s_axi_ctrl_bvalid
    h.prove(
        "what is held or done waits for its answer",
        (rules.addresses == has_address + answer) & (rules.data == has_data + answer),
    )
    h.prove("what is decoded is an address", ~decoded | has_address)
    h.prove("one is done at a time", answer <= 1)
    h.prove("a read waits for its answer", rules.reads == has_wanted + dut.s_axi_ctrl_rvalid)
    h.cover("data before its address", has_data & ~has_address)
    h.cover("an answer that waits", dut.s_axi_ctrl_bvalid & ~dut.s_axi_ctrl_bready & has_address & has_data)


def reads(h: Harness) -> tuple[Any, AxiReadRules]:
    """Two readers, any jobs, any memory that keeps the rules. Returns the readers' ports, and the rules."""
    bus, depth, burst = DESIGN.bus_bits, DESIGN.prefetch, DESIGN.burst
    shapes = {name: ReaderShape(bits, bus, burst, depth, 0) for name, bits in (("label", 16), ("beta", 8))}
    master = ReadMaster(shapes, DESIGN.axcache, id_bits(DESIGN))
    dut = h.place(master)
    rules = watch(h, AxiReadRules(bus, id_bits(DESIGN), depth), dut, "memory")
    h.assume(rules.subordinate)
    h.prove("the manager's rules", rules.manager)
    h.prove("it is always ready", dut.memory_rready)
    h.prove("bursts of 16 beats at most", ~dut.memory_arvalid | (dut.memory_arlen < burst))
    waits = Value.cast(0)
    chosen, turn = h.probe("dut.core.core.chosen"), h.probe("dut.core.core.turn", len(shapes))
    h.prove("it is the turn of one", Cat(turn == 1 << i for i in range(len(shapes))).any())
    for i, name in enumerate(master.readers):
        path, inside = f"dut.core.core.{name}", exact_log2(burst)
        job = planes_layout(master.readers[name].word_bits, bus)(getattr(dut, f"{name}_job_payload"))
        h.assume(~getattr(dut, f"{name}_job_valid") | job.beats.any())
        walking, cutting, end, further, offset, final = (
            h.probe(f"{path}.bursts.{wire}", bits)
            for wire, bits in (
                ("walking", 1),
                ("cutting", 1),
                ("end", len(job.beats) + 1),
                ("further", len(job.beats) + 2 - inside),
                ("offset", inside),
                ("final", inside),
            )
        )
        h.prove(f"{name}: a plane has beats", ~walking | (end.as_signed() >= -burst))
        h.prove(f"{name}: a plane's last burst has an end", ~(cutting & further[-1]) | (offset <= final))
        layout, set_aside = burst_layout(bus, burst), Value.cast(0)
        for what, where in (("the next burst", "bursts.o"), ("the burst on offer", "request")):
            waits_there = h.probe(f"{path}.{where}__valid", 1)
            there = layout(h.probe(f"{path}.{where}__payload", layout.size))
            ends = there.at[:inside] + there.more
            h.prove(f"{name}: {what} crosses no multiple of its most beats", ~waits_there | (ends < burst))
            set_aside = Mux(waits_there, there.more + 1, 0)
        h.prove(f"{name}: who is next has a burst on offer", ~(chosen & turn[i]) | waits_there)
        room, freed = h.probe(f"{path}.room", len(range(depth + 1)).bit_length()), h.probe(f"{path}.freed")
        inner, front = h.probe(f"{path}.queue.inner_level", (depth - 1).bit_length()), h.probe(f"{path}.queue.r_rdy", 1)
        beats, bursts = getattr(rules, f"beats_{i}"), getattr(rules, f"bursts_{i}")
        pending = dut.memory_arvalid & (dut.memory_arid == i)
        asked = Mux(pending, dut.memory_arlen + 1, 0)
        h.prove(f"{name}: what is owed has its room", room + freed + inner + front + beats + asked + set_aside == depth)
        h.prove(f"{name}: a word is in front where there are two", front | (inner <= 1))
        h.prove(f"{name}: a burst that is owed has beats", (bursts <= beats) & (bursts.any() == beats.any()))
        comes = dut.memory_rvalid & (dut.memory_rid == i)
        h.prove(f"{name}: a beat that comes finds room", ~comes | (inner < depth - 1))
        waits = waits + bursts + pending
    outstanding = h.probe("dut.core.core.outstanding")
    begun, ended = (h.probe(f"dut.core.core.{wire}") for wire in ("begun", "ended"))
    h.prove("it knows how many bursts are under way, a cycle later", outstanding + begun == waits + ended)
    h.prove("and whether none is, halted", dut.quiet == (h.probe("dut.core.core.halted") & ~(waits.any() | ended)))
    h.prove("no other IDs", ~dut.memory_arvalid | (dut.memory_arid < len(master.readers)))
    h.prove("nothing is owed to others", ~Cat(rules.beats_2, rules.bursts_2, rules.beats_3, rules.bursts_3).any())
    h.cover("two bursts of one reader", rules.bursts_0 == 2)
    h.cover("both readers", rules.bursts_0.any() & rules.bursts_1.any())
    return dut, rules


def writes(h: Harness) -> tuple[Any, AxiWriteRules]:
    """Any rows of any jobs, any memory that keeps the rules. Returns the writer's ports, and the rules."""
    dut, path, most, burst = h.place(WriteMaster(DESIGN)), "dut.core.core", outstanding(DESIGN), DESIGN.burst
    rules = watch(h, AxiWriteRules(DESIGN.bus_bits, id_bits(DESIGN), most), dut, "memory")
    h.assume(rules.subordinate)
    h.prove("the manager's rules", rules.manager)
    h.prove("it is always ready for a response", dut.memory_bready)
    h.prove("bursts of 16 beats at most", ~dut.memory_awvalid | (dut.memory_awlen < burst))
    h.prove("one ID", ~dut.memory_awid.any())
    for name in ("bursts", "answers"):
        queue(h, f"{path}.{name}", most)
    level, due = (h.probe(f"{path}.{name}.level", bits_for(most)) for name in ("bursts", "answers"))
    h.prove("a response is due to each burst", due == rules.asked + level)
    room, inner = h.probe(f"{path}.room"), h.probe(f"{path}.beats.inner_level", bits_for(2 * burst - 1))
    h.prove("where room is seen, there is some", ~room | ((level < most) & (due < most) & (inner < 2 * burst - 1)))
    complete = h.probe(f"{path}.complete")
    h.prove("bursts whose data are not sent are counted", due == rules.sent + complete)
    h.prove("and none is under way when it says so", dut.quiet == (h.probe(f"{path}.halted") & ~due.any()))
    h.prove("halted, it begins none", ~(h.probe(f"{path}.halted") & room))

    # A burst lies within a multiple of its most beats, while it is collected and while it waits.
    bits = exact_log2(burst)
    active, first, at = (h.probe(f"{path}.{name}") for name in ("active", "first", "at"))
    h.prove("a burst is collected in its place", ~active | ((first[bits:] == at[bits:]) & (first[:bits] <= at[:bits])))
    consume = h.probe(f"{path}.bursts.consume", exact_log2(most))
    for i in range(most):
        word = h.probe(f"{path}.bursts.storage[{i}]", len(first) + bits)
        waits = (i - consume)[: exact_log2(most)] < level
        h.prove(f"burst {i} waits in its place", ~waits | (word[:bits] + word[len(first) :] < burst))
    h.cover("data before their address", rules.sent > rules.asked)
    h.cover("a response", dut.memory_bvalid)
    return dut, rules


def results(h: Harness) -> None:
    """A whole accelerator, whatever it is doing."""
    dut = h.place(generate_axi(OUTPUT, "axis"))
    rules = watch(h, AxiStreamRules(ACC_BITS * OUTPUT.cols), dut, "m_axis_acc")
    h.prove("the transmitter's rules", rules.transmitter)
    h.cover("a row that waits", dut.m_axis_acc_tvalid & ~dut.m_axis_acc_tready)


def claims() -> list[Claim]:
    """All of them."""
    return [
        Claim(
            "axi_stream_results",
            "The results of a whole accelerator with AXI4-Stream keep a transmitter's rules in any state, through a "
            "soft reset as well: a row on offer stays, as it is, until it is taken.",
            results,
            Window(1),
            Bug(
                "a row goes that nobody has taken",
                r"assign m_axis_acc__tready = \w+ \| .*;",
                "assign m_axis_acc__tready = 1'h1;",
            ),
        ),
        Claim(
            "axi_lite_registers",
            "Registers behind AXI4-Lite keep a subordinate's rules with any manager that keeps its own: a response to "
            "each request, once, none without, stable until it is taken; address and data of a write in either order.",
            registers,
            Induction(1, reach=8),
            Bug("an address alone is answered", "decoded & has_data", "decoded"),
        ),
        Claim(
            "axi_read_master",
            "Readers behind an AXI4 port keep a manager's rules with any memory that keeps its own: requests stable "
            "until they are taken, bursts of at most 16 beats within a page, at most 64 beats of a reader under way. "
            "Whatever comes back finds room, so that the port is always ready.",
            reads,
            Induction(1, reach=12),
            Bug("a queue counts room that a burst has taken", r"\{ 1'h0, rest\[\d+:0\] \} : (\w+);", r"\1 : \1;"),
        ),
        Claim(
            "axi_write_master",
            "The writer of results keeps a manager's rules with any memory that keeps its own: what is offered is "
            "stable until it is taken, bursts of at most 16 beats stay within a page, at most 8 are under way, and it "
            "is ready for every response.",
            writes,
            Induction(1, reach=12),
            Bug("data are withdrawn while a job comes", r"(assign memory__wvalid = .*);", r"\1 & ~job__valid;"),
        ),
    ]
