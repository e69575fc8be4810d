"""The driver in C, compiled for this machine, against the registers in Amaranth's simulator."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from amaranth import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.sim import Simulator

from hw.axi.control import Control
from hw.axi.memory import AxiMemoryTop
from hw.engine.planner import errors
from tests.hw.axi.driver import COLUMNS, DESIGNS, SCALE, TAG, build, pointer

RING = 3 << 35 | 128
"""Where a ring of descriptors is."""

OK, OTHER_HARDWARE, NO_ROOM, TIMEOUT, FAILED = range(0, -5, -1)

RV32 = "riscv64-unknown-elf-gcc"


class Hardware:
    """The registers of a design in the simulator, and something that takes jobs."""

    def __init__(self, name: str):
        design = DESIGNS[name]
        self.map = AxiMemoryTop.registers(design)
        self.control = control = Control(design, self.map, errors(design), AxiMemoryTop.CORE.FATAL)
        m = Module()
        m.domains.core = ClockDomain("core")
        m.d.comb += [ClockSignal("core").eq(ClockSignal()), ResetSignal("core").eq(control.core_reset)]
        m.d.comb += control.quiet.eq(1)
        m.submodules.control = control
        self.asked, self.answer, self.jobs, self.fails, self.takes = None, None, [], [], True
        self.does = True
        """Whether jobs that are taken are done."""
        self.simulator = Simulator(m)
        self.simulator.add_clock(1e-6)
        self.simulator.add_testbench(self._bus, background=True)
        self.simulator.add_testbench(self._core, background=True)
        self.ring, self.lost = np.zeros((4, 16), dtype=np.uint32), None
        """The memory that a ring is in, from `RING` on, and the place of which reads are answered by an error."""
        if design.ring:
            self.simulator.add_testbench(self._memory, background=True)

    def connect(self, library):
        self.callbacks = (
            ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(self.read),
            ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)(self.write),
        )
        library.use(*self.callbacks)

    def read(self, offset):
        return self._access(offset, None)

    def write(self, offset, word):
        self._access(offset, word)

    def _access(self, offset, word):
        self.asked, self.answer = (offset, word), None
        while self.answer is None:
            self.simulator.advance()
        return self.answer

    async def _bus(self, ctx):
        axi = self.control.s_axi_ctrl
        while True:
            while self.asked is None:
                await ctx.tick()
            offset, word = self.asked
            self.asked = None
            if word is None:
                ctx.set(axi.araddr, offset)
                ctx.set(axi.arvalid, 1)
                ctx.set(axi.rready, 1)
                await ctx.tick().until(axi.arready)
                ctx.set(axi.arvalid, 0)
                reply, answer = await ctx.tick().sample(axi.rresp, axi.rdata).until(axi.rvalid)
            else:
                ctx.set(axi.awaddr, offset)
                ctx.set(axi.wdata, word)
                ctx.set(axi.wstrb, 0xF)
                for valid in (axi.awvalid, axi.wvalid, axi.bready):
                    ctx.set(valid, 1)
                await ctx.tick()
                ctx.set(axi.awvalid, 0)
                ctx.set(axi.wvalid, 0)
                (reply,), answer = await ctx.tick().sample(axi.bresp).until(axi.bvalid), 0
            assert reply == 0, f"The driver used register {offset:#x} in a way that it does not have."
            self.answer = answer

    async def _memory(self, ctx):
        control = self.control
        while True:
            ctx.set(control.fetch.ready, 1)
            _, _, valid, asked = await ctx.tick().sample(control.fetch.valid, control.fetch.payload)
            if not valid:
                continue
            ctx.set(control.fetch.ready, 0)
            place = (asked.address - RING) // 64
            for i, beat in enumerate(self.ring[place].view(np.uint64).tolist()):
                ctx.set(control.lost, place == self.lost)
                ctx.set(control.came, i == 7)
                await ctx.tick()
                ctx.set(control.lost, 0)
                ctx.set(control.came, 0)
                ctx.set(control.words.payload, beat)
                ctx.set(control.words.valid, 1)
                taken = False
                while not taken:
                    _, _, taken = await ctx.tick().sample(control.words.ready)
                ctx.set(control.words.valid, 0)

    async def _core(self, ctx):
        control = self.control
        while True:
            ctx.set(control.job.ready, self.takes)
            if control.design.diagnostics:
                ctx.set(control.diagnosis.failed, bool(self.fails))
                for name, value in (self.fails.pop(0) if self.fails else {}).items():
                    ctx.set(control.diagnosis.error[name], value)
            _, _, valid, job = await ctx.tick().sample(control.job.valid, control.job.payload)
            if valid and ctx.get(control.job.ready):
                self.jobs.append({name: job[name] for name in control.job.payload.shape().members})
                bad = job.rows == 0
                ctx.set(control.errors.empty, bad)
                if control.design.diagnostics:
                    ctx.set(control.diagnosis.refused_tag if bad else control.diagnosis.done_tag, job.tag)
                ctx.set(control.done, not bad and self.does)
                ctx.set(control.job.ready, 0)
                await ctx.tick()
                ctx.set(control.errors.empty, 0)
                ctx.set(control.done, 0)


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_jobs_and_errors(library):
    hardware = Hardware("os")
    hardware.connect(library)
    mode = hardware.map.pack("job_mode", keep=1)
    assert library.init(100) == OK
    library.enable_interrupt(1, 1)
    assert library.submit(5, 70, 8, mode, 1 << 40 | 64, 128, 1 << 33) == OK
    assert library.submit(1, 2, 3, 0, 0, 8, 16) == OK
    assert library.wait(2, 100) == OK and library.errors() == 0
    names = ("rows", "tiles", "steps", "keep", "x", "w", "y", "c", "r", "x_stride", "y_stride", "scale")
    assert [tuple(job[name] for name in names) for job in hardware.jobs] == [
        (5, 70, 8, 1, 1 << 40 | 64, 128, 1 << 33, (1 << 33) + COLUMNS, (1 << 33) + 2 * COLUMNS, 40, 80, SCALE),
        (1, 2, 3, 0, 0, 8, 16, 16 + COLUMNS, 16 + 2 * COLUMNS, 8, 16, SCALE),
    ]
    assert library.acknowledge() == hardware.map.pack("irq_status", job_done=1)
    # Nobody does a third one.
    assert library.wait(3, 10) == TIMEOUT
    # An address that is no multiple of the bus width never gets to the hardware; an illegal job is told of.
    assert library.submit(1, 1, 1, 0, 4, 0, 0) == FAILED
    assert library.submit(0, 1, 1, 0, 0, 0, 0) == OK
    assert library.wait(3, 100) == FAILED
    assert library.errors() == hardware.map.pack("error", empty=1) and library.errors() == 0
    # The queue is full after two, one of which waits at the door.
    hardware.takes = False
    assert [library.submit(1, 1, 1, 0, 0, 0, 0) for _ in range(4)].count(NO_ROOM) >= 1
    assert len(hardware.jobs) <= 4
    hardware.takes = True
    counted = (ctypes.c_uint32 * 10)()
    library.counters(counted)
    assert not counted[9]
    assert library.init(100) == OK and library.wait(0, 0) == OK


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_diagnostics(library):
    hardware = Hardware("os")
    hardware.connect(library)
    assert library.init(100) == OK
    for rows in (3, 0, 2):
        assert library.submit(rows, 1, 1, 0, 0, 0, 0) == OK
    library.wait(2, 100)
    assert (library.done_tag(), library.refused_tag()) == (TAG | 2, TAG)
    library.errors()

    fault = (ctypes.c_uint64 * 5)()
    assert not library.bus_error(fault)
    error = {"write": 1, "id": 4, "response": 3, "tag": 0x1234, "address": 0xFEDC_BA98_7654_3210}
    hardware.fails = [error, error | {"tag": 0}]  # the first one counts
    assert library.done_tag() == TAG | 2
    assert library.bus_error(fault) and dict(zip(error, fault, strict=True)) == error
    assert not library.bus_error(fault)

    # Nothing moves here: whatever is under way is stuck, unless nobody watches.
    hardware.takes = False
    assert library.submit(1, 1, 1, 0, 0, 0, 0) == OK
    assert library.wait(3, 50) == TIMEOUT
    library.watch(200)
    assert library.wait(3, 100) == FAILED and library.errors() == hardware.map.pack("error", stuck=1)
    library.watch(0)
    for still in (1, 0):
        library.freeze(still)
        assert hardware.read(hardware.map.offset("counter_freeze")) == still


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_a_ring_gives_the_jobs_that_registers_give(library):
    hardware = Hardware("os")
    hardware.connect(library)
    given = [
        (5, 70, 8, hardware.map.pack("job_mode", keep=1), 1 << 40 | 64, 128, 1 << 33),
        (1, 65535, 3, hardware.map.pack("job_mode", raw=1, out=1), 8, (1 << 64) - 8, 16),
        (2, 1, 1, hardware.map.pack("job_mode", add=1), 0, 0, 0),
    ]
    assert library.init(100) == OK
    for i, job in enumerate(given):
        assert library.submit(*job) == OK
        assert library.wait(i + 1, 100) == OK
    expected, hardware.jobs = hardware.jobs, []
    assert len(expected) == len(given)

    for size, address in ((3, RING), (0, RING), (1 << 16, RING), (4, RING + 8)):
        assert library.ring_open(pointer(hardware.ring), size, address) == FAILED
    assert library.ring_open(pointer(hardware.ring), 4, RING) == OK
    for turn in range(3):  # twice round the ring, and on
        for job in given:
            assert library.ring_put(*job) == OK
        assert not hardware.jobs and library.done() == 3 + 3 * turn  # nobody was told
        library.ring_go()
        assert library.wait(6 + 3 * turn, 100) == OK
        assert hardware.jobs == expected
        hardware.jobs = []
    hardware.takes = False
    library.ring_go()
    assert [library.ring_put(*given[2]) for _ in range(5)] == [OK] * 4 + [NO_ROOM]
    assert library.ring_put(1, 1, 1, 0, 4, 0, 0) == FAILED
    hardware.takes = True
    library.ring_go()
    assert library.wait(16, 200) == OK and library.errors() == 0


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_a_descriptor_that_becomes_no_job_is_told_of(library):
    hardware = Hardware("os")
    hardware.connect(library)
    assert library.init(100) == OK
    assert library.ring_open(pointer(hardware.ring), 4, RING) == OK
    names, about = ("bad", "misaligned", "bus", "number"), (ctypes.c_uint32 * 4)()
    assert not library.ring_error(about)
    harm = {"mark": (15, 1 << 30), "mode": (1, 1 << 31), "place": (2, 4)}
    for i, (what, (word, bit)) in enumerate(harm.items()):
        for _ in range(2):
            assert library.ring_put(1, 1, 1, 0, 0, 0, 0) == OK
        hardware.ring[2 * i % 4, word] ^= bit
        library.ring_go()
        assert library.wait(99, 60) == FAILED
        error = {"misaligned": 1} if what == "place" else {"bad_descriptor": 1}
        assert library.errors() == hardware.map.pack("error", **error)
        expected = {"bad": what != "place", "misaligned": what == "place", "bus": 0, "number": 2 * i}
        assert library.ring_error(about) and dict(zip(names, about, strict=True)) == expected
        assert library.wait(i + 1, 60) == OK and not library.ring_error(about)
    hardware.lost = 2
    assert library.ring_put(1, 1, 1, 0, 0, 0, 0) == OK
    library.ring_go()
    library.wait(9, 50)
    assert library.ring_error(about) and dict(zip(names, about, strict=True)) == {
        "bad": 0,
        "misaligned": 0,
        "bus": 1,
        "number": 6,
    }


@pytest.mark.parametrize("library", ["abort"], indirect=True)
def test_a_job_is_given_up(library):
    hardware = Hardware("abort")
    hardware.connect(library)
    error = hardware.map.pack("error", aborted=1)
    assert library.init(100) == OK and library.next_number() == 0
    hardware.takes = False
    for rows in (1, 2, 3):
        assert library.submit(rows, 1, 1, 0, 0, 0, 0) == OK
    assert library.next_number() == 3
    for number in (1, 2):
        assert library.give_up(number, 20) == OK
        assert library.errors() == error and library.aborted() == number
    for number in (1, 2, 3, 0xFFFF):  # given up, or not there
        assert library.give_up(number, 20) == OK and library.errors() == 0
    hardware.takes = True
    assert library.wait(1, 50) == OK
    assert library.give_up(0, 20) == OK and library.errors() == 0  # done
    assert [job["rows"] for job in hardware.jobs] == [1]
    assert not hardware.read(hardware.map.offset("status")) & 1

    hardware.does = False
    for rows in (1, 2, 3):
        assert library.submit(rows, 1, 1, 0, 0, 0, 0) == OK
    for _ in range(10):
        library.done()
    assert [job["rows"] for job in hardware.jobs] == [1, 1, 2, 3]
    hardware.does = True
    assert library.give_up(4, 50) == OK and library.errors() == error and library.aborted() == 4
    assert library.wait(3, 50) == OK  # the others were given anew
    assert [job["rows"] for job in hardware.jobs] == [1, 1, 2, 3, 1, 3]


@pytest.mark.parametrize("library", ["os"], indirect=True)
def test_the_interrupt_waits(library):
    hardware = Hardware("os")
    hardware.connect(library)
    done = hardware.map.pack("irq_status", job_done=1)
    assert library.init(100) == OK
    library.coalesce(3, 0)
    assert hardware.read(hardware.map.offset("irq_coalescing")) == hardware.map.pack("irq_coalescing", jobs=3)
    for i in range(6):
        assert library.submit(1, 1, 1, 0, 0, 0, 0) == OK
        assert library.wait(i + 1, 100) == OK
        assert library.acknowledge() == (done if i % 3 == 2 else 0)
    library.coalesce(200, (1 << 24) + 100)  # of which 24 bits are left
    assert library.submit(1, 1, 1, 0, 0, 0, 0) == OK
    assert library.wait(7, 100) == OK and library.acknowledge() == 0
    for _ in range(30):
        library.done()
    assert library.acknowledge() == done


@pytest.mark.parametrize("library", ["ws"], indirect=True)
def test_other_hardware_is_found_out(library):
    hardware = Hardware("os")
    hardware.connect(library)
    assert library.init(100) == OTHER_HARDWARE


@pytest.mark.skipif(shutil.which(RV32) is None, reason=f"no {RV32}: apt-get install gcc-riscv64-unknown-elf")
@pytest.mark.parametrize("name", ["os", "ws"])
def test_it_compiles_for_rv32(name, tmp_path):
    """All of it, without a library but what the compiler brings for numbers of 64 bits and for memory."""
    built = tmp_path / "driver.o"
    build(name, tmp_path, [RV32, "-c", "-march=rv32im", "-mabi=ilp32"], built)
    nm = RV32.replace("gcc", "nm")
    said = subprocess.run([nm, "--undefined-only", "-P", built], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in said.splitlines()} <= {"__udivdi3", "__umoddi3", "memset", "memcpy"}
    assert subprocess.run([nm, built], capture_output=True, check=True).stdout.count(b" T ") > 8
