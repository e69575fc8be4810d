"""The top with a memory port in this process: its registers, and a memory of a given latency behind it."""

from collections import deque
from collections.abc import Callable

from golden.errors import ToolError
from hw.axi.memory import AxiMemoryTop
from hw.design import DesignPoint
from hw.engine.counters import COUNTERS
from hw.engine.planner import OUT, SUMS
from hw.generate import generate_axi
from sim.models.bus import BusJob
from sim.rtl.model import Model

PATIENCE = 1_000_000
"""Cycles after which nobody waits for a job any more."""


class System:
    """A processor with the accelerator's registers, and a memory.

    The memory takes a burst in every cycle; its first beat comes `latency` + 1 cycles later, or after all beats asked
    for before; a write is answered as many cycles after its last beat. That is the memory of `sim.models.bus`.

    Parameters
    ----------
    design : DesignPoint
    size : int
        Bytes of the memory.
    latency : int

    Attributes
    ----------
    memory : bytearray
    now : int
        Cycles since the reset.
    read_bytes, written_bytes : int
        What crossed the port.
    offered : list of int
        For each job that was queued, the cycle from which on it was on offer.
    answered : int
        The cycle after the last one in which a write was answered.

    Raises
    ------
    ToolError
        If the simulator cannot be built.
    """

    def __init__(self, design: DesignPoint, size: int, latency: int):
        self.design, self.latency = design, latency
        self.memory = bytearray(size)
        self.map = AxiMemoryTop.registers(design)
        self._bytes = design.bus_bits // 8
        self._model = Model.of(generate_axi(design, "axi"))
        self._io = self._model.io
        self.now = self.read_bytes = self.written_bytes = self.answered = 0
        self.offered: list[int] = []
        self._asked: deque[tuple[int, int, int, int]] = deque()  # when, reader, address, beats left
        self._addresses: deque[tuple[int, int]] = deque()  # of writes: where, and how many beats
        self._data: deque[tuple[int, int]] = deque()
        self._answers: deque[int] = deque()
        for name in ("arready", "awready", "wready"):
            setattr(self._io, f"m_axi_mem_{name}", 1)
        self._io.aresetn = 0
        self._model.clock.tick(4)
        self._io.aresetn = 1
        while self.read("status")["in_reset"]:
            pass

    def close(self) -> None:
        """Ends the simulation."""
        self._model.close()

    def tick(self) -> None:
        """A cycle. No output of the top depends on an input in the same cycle."""
        io, now = self._io, self.now
        if self._answers and self._answers[0] <= now:
            io.m_axi_mem_bvalid = 1
            if io.m_axi_mem_bready:
                self._answers.popleft()
                self.answered = now + 1
        else:
            io.m_axi_mem_bvalid = 0
        if self._asked and self._asked[0][0] <= now:
            due, reader, address, beats = self._asked.popleft()
            io.m_axi_mem_rvalid, io.m_axi_mem_rid, io.m_axi_mem_rlast = 1, reader, beats == 1
            io.m_axi_mem_rdata = int.from_bytes(self.memory[address : address + self._bytes], "little")
            self.read_bytes += self._bytes
            if beats > 1:
                self._asked.appendleft((due, reader, address + self._bytes, beats - 1))
        else:
            io.m_axi_mem_rvalid = 0
        later = now + 1 + self.latency
        if io.m_axi_mem_arvalid:
            self._asked.append((later, io.m_axi_mem_arid, self._place(io.m_axi_mem_araddr), io.m_axi_mem_arlen + 1))
        if io.m_axi_mem_awvalid:
            self._addresses.append((self._place(io.m_axi_mem_awaddr), io.m_axi_mem_awlen + 1))
        if io.m_axi_mem_wvalid:
            self._data.append((io.m_axi_mem_wdata, io.m_axi_mem_wstrb))
            if io.m_axi_mem_wlast:
                self._answers.append(later)
        while self._addresses and len(self._data) >= self._addresses[0][1]:
            address, beats = self._addresses.popleft()
            for _ in range(beats):
                self.store(address, *self._data.popleft())
                address += self._bytes
        self._model.clock.tick()
        self.now += 1

    def _place(self, address: int) -> int:
        if address >= len(self.memory):
            raise ToolError(f"The accelerator asks for address {address:#x}, but the memory has {len(self.memory):#x}.")
        return address

    def store(self, address: int, word: int, strobes: int) -> None:
        """A beat into the memory, those of its bytes that are marked."""
        data = word.to_bytes(self._bytes, "little")
        for i in range(self._bytes):
            if strobes >> i & 1:
                self.memory[address + i] = data[i]
        self.written_bytes += strobes.bit_count()

    # ---- Registers. ----

    def read(self, name: str) -> dict[str, int]:
        """The fields of a register."""
        io = self._io
        io.s_axi_ctrl_araddr, io.s_axi_ctrl_arvalid, io.s_axi_ctrl_rready = self.map.offset(name), 1, 1
        self._until(lambda: bool(io.s_axi_ctrl_arready))
        self.tick()
        io.s_axi_ctrl_arvalid = 0
        self._until(lambda: bool(io.s_axi_ctrl_rvalid))
        word = io.s_axi_ctrl_rdata
        self.tick()
        return self.map.unpack(name, word)

    def write(self, name: str, **fields: int) -> int:
        """Writes a register, zeros to fields that are left out; returns the cycle in which it was answered."""
        io = self._io
        io.s_axi_ctrl_awaddr, io.s_axi_ctrl_awvalid = self.map.offset(name), 1
        io.s_axi_ctrl_wdata, io.s_axi_ctrl_wvalid = self.map.pack(name, **fields), 1
        io.s_axi_ctrl_wstrb, io.s_axi_ctrl_bready = 0xF, 1
        while io.s_axi_ctrl_awvalid or io.s_axi_ctrl_wvalid:
            taken = [channel for channel in ("aw", "w") if getattr(io, f"s_axi_ctrl_{channel}ready")]
            self.tick()
            for channel in taken:
                setattr(io, f"s_axi_ctrl_{channel}valid", 0)
        self._until(lambda: bool(io.s_axi_ctrl_bvalid))
        answered = self.now
        self.tick()
        return answered

    def submit(self, job: BusJob, mantissa: int = 0, exponent: int = 0) -> None:
        """Queues a job as soon as there is room; mantissa and exponent are the multiplier of raw rows."""
        while not self.read("status")["room"]:
            pass
        for name in ("rows", "tiles", "steps"):
            self.write(f"job_{name}", value=getattr(job, name))
        kinds = {name: int(getattr(job, name)) for name in ("raw", *OUT, *SUMS)}
        known = {field.name for field in self.map.by_name["job_mode"].fields}
        self.write("job_mode", int8=job.passes - 1, **{name: kinds[name] for name in kinds if name in known})
        for name in ("x", "w", "y", "c", "r"):
            if f"job_{name}_low" in self.map.by_name:
                self.write(f"job_{name}_low", value=getattr(job, name) & 0xFFFF_FFFF)
                self.write(f"job_{name}_high", value=getattr(job, name) >> 32)
        for name, stride in (("job_y_stride", job.stride), ("job_x_stride", job.x_stride)):
            if name in self.map.by_name:
                self.write(name, value=stride)
        if "job_scale" in self.map.by_name:
            self.write("job_scale", mantissa=mantissa, exponent=exponent)
        self.offered.append(self.write("doorbell", go=1))

    def wait(self, done: Callable[[int], object] | None = None) -> None:
        """Until all jobs are done; `done` is told of how many are.

        Raises
        ------
        ToolError
            If a job is refused, or does not end.
        """
        start = self.now
        while (count := self.read("jobs_done")["value"]) < len(self.offered):
            if done:
                done(count)
            if errors := [name for name, value in self.read("error").items() if value]:
                raise ToolError(f"The accelerator says {', '.join(errors)}.")
            if self.now - start > PATIENCE:
                raise ToolError(f"After {PATIENCE:,} cycles {count} of {len(self.offered)} jobs are done.")
        if done:
            done(count)

    def counters(self) -> dict[str, int]:
        """Cycles by cause since the reset, all of the same moment."""
        self.write("counter_control", snapshot=1)
        return {name: self.read(f"count_{name}")["value"] for name in COUNTERS}

    def _until(self, condition: Callable[[], bool]) -> None:
        for _ in range(PATIENCE):
            if condition():
                return
            self.tick()
        raise ToolError("The accelerator's registers do not answer.")
