"""Registers and jobs by themselves, cycle by cycle: software on one side, and on the other whoever runs the jobs.

Behind them a whole accelerator has its own pace: a job ends when its last response comes, and halts when the bus does.
Here all that can happen does, in any cycle and at once.
"""

from collections import deque
from typing import Any

import cocotb
from cocotb.handle import HierarchyObject

from hw.axi.map import DESCRIPTOR_MARK, JOB_BITS, RING_BITS, SHAPE, WAITING_BITS, descriptor_layout, diagnosis_layout
from hw.axi.memory import MemoryCore
from hw.engine.counters import COUNTER_BITS
from hw.engine.planner import errors
from hw.registers import RegisterMap
from sim.benches.inside.axi_common import Channel
from sim.benches.inside.checks import Mismatch
from sim.benches.inside.control_jobs import BacklogModel
from sim.benches.inside.control_model import ControlModel
from sim.benches.inside.control_runner import FAILS, Jobs
from sim.benches.inside.signals import PAUSES, noise, pauses, signal
from sim.benches.inside.streams import Source
from sim.benches.inside.testbench import Testbench
from sim.benches.inside.words import Structure

CYCLES = 200
"""Of a test, for each of its blocks."""

LITE = {"aw": ("addr", "prot"), "w": ("data", "strb"), "b": ("resp",), "ar": ("addr", "prot"), "r": ("data", "resp")}
"""Signals of the channels of registers."""

WAITING = 2
"""Accesses of each kind that wait while software thinks of others."""

TELLS = {
    "refused": ("refused_tag", "jobs_refused"),
    "accepted": ("jobs_accepted",),
    "done": ("done_tag", "jobs_done"),
    "queued": ("jobs_queued", "ring_head"),
    "read_error": ("ring_error", "bus_error"),
    "bad_descriptor": ("ring_error", "error", "ring_head"),
    "misaligned": ("ring_error", "error"),
    "aborted": ("aborted", "jobs_queued", "status"),
}
"""Registers that tell of what has happened."""

FULL, ROUND = "as many jobs kept as there is room for", "every place of a job taken twice"

CLEARED = ("error", "irq_status", "bus_error", "ring_error")
"""Those of which ones are cleared by ones."""

SET = (
    *("irq_enable", "irq_status", "irq_status", "error", "error", "watchdog", "counter_freeze", "bus_error"),
    *("ring_error", "front_end_seed", "ring_base_low", "ring_base_high", "ring_size"),
    *("irq_coalescing", "irq_coalescing", "ring_tail", "ring_tail", "ring_tail", "abort", "abort", "abort"),
)
"""Registers that software sets, those of jobs left out, some more often than others."""

SENSITIVE = ("control", "ring_tail", "ring_size", "watchdog", "irq_coalescing", "abort")
"""Those of which a random word stops everything, or too much for long."""

OFTEN = ("status", "error", "irq_status", "jobs_done")
"""Registers that software reads more often than others."""

MOST = 3
"""Logarithm of the size of a ring, at most."""


class ControlBench(Testbench):
    """Control, held to its model; software of the worst kind; and whoever runs the jobs."""

    def __init__(self, dut: HierarchyObject, idle: str = "never", stall: str = "never", *, calm: bool = False):
        super().__init__(dut)
        self.design, self.calm = self.settings.design, calm
        self.reset_cycles += 1  # of the core as well
        self.map = RegisterMap.from_dict("bench_control", self.settings.description["registers"])
        self.refusals = list(errors(self.design))
        self.errors = [*MemoryCore.meanings(self.design)]
        self.model = ControlModel(self.design, self.map, self.refusals, MemoryCore.FATAL)
        self.layout = Structure(descriptor_layout())
        self.beats = self.layout.width // self.design.bus_bits
        self.jobs = Jobs(self.model, self.errors, self.beats, self.descriptor_beat, self.rng, calm=calm)
        self._beats = deque[int]()
        channels = {name: Channel(dut, f"s_axi_ctrl_{name}", fields) for name, fields in LITE.items()}
        self.channels = channels
        self.sources = {name: Source(self, channels[name], idle) for name in ("aw", "w", "ar")}
        self.stalls = {name: pauses(stall, self.rng) for name in ("b", "r")}
        self.counted = dict.fromkeys(self.model.names, 0)
        self.diagnosis = Structure(diagnosis_layout())
        self.about(*self.cases_of())
        self.handles = {port["name"]: signal(dut, port["name"]) for port in self.settings.description["ports"]}
        self.levels: dict[str, int] = {}
        """What inputs are set to."""
        self.tail, self.busy = 0, 0
        """Descriptors that were written; cycles in which software does nothing."""
        self.number = 0
        """Of the job that was to be given up last."""
        self.gives_up = True
        """Whether software that is calm gives jobs up."""
        self.news: list[str] = []
        """Registers that software is about to look at."""
        self.resetting = False
        """Whether software has begun a soft reset, and not ended it."""
        self.pins: dict[str, Any] = {}
        self.on_reset(self._forget)
        cocotb.start_soon(self._run())

    def cases_of(self) -> list[str]:
        """What it is about: each error, phase and event."""
        phases = ["run", "stop", "hold", *(["withdraw", "again"] if self.design.abort else [])]
        events = ["queued", "accepted", "refused", "done"]
        names = [field.name for field in self.map.by_name["error"].fields]
        return [*phases, *events, *names, *([FULL, ROUND] if self.design.abort else [])]

    def _forget(self) -> None:
        self.model.reset()
        self.jobs.forget()
        self._beats.clear()
        self.tail, self.resetting = 0, False
        self.news = [str(name) for name in self.rng.choice(list(self.map.by_name), 8)]

    def descriptor_beat(self) -> int:
        """The next beat of a descriptor, most of which are right."""
        if not self._beats:
            rng, width = self.rng, self.layout.width
            fields = self.layout.unpack(noise(width, rng))
            kinds = sum(1 << field.low for field in self.map.by_name["job_mode"].fields)
            step = self.design.bus_bits // 8
            chance = rng.random(3)
            if chance[0] < 0.9:
                fields["mark"] = DESCRIPTOR_MARK
            elif chance[0] < 0.97:
                fields["mark"] = DESCRIPTOR_MARK ^ 1 << int(rng.integers(32))
            if chance[1] < 0.9:
                fields["mode"] &= kinds
            elif chance[1] < 0.97:
                fields["mode"] = (fields["mode"] & kinds) | 1 << int(rng.integers(16))
            aligned = {name for name in fields if name not in (*SHAPE, "mode", "scale", "tag", "mark")}
            if chance[2] > 0.6:
                aligned.discard(str(rng.choice(sorted(aligned))))
            fields |= {name: fields[name] // step * step for name in aligned}
            word, bits = self.layout.pack(fields), self.design.bus_bits
            self._beats.extend(word >> i * bits & ((1 << bits) - 1) for i in range(self.beats))
        return self._beats.popleft()

    def write(self, name: str, word: int, strobes: int = 15) -> None:
        """Queues a write."""
        self._access(self.map.offset(name), word, strobes)

    def _access(self, offset: int, word: int, strobes: int) -> None:
        self.sources["aw"].send([{"addr": offset, "prot": int(self.rng.integers(8))}])
        self.sources["w"].send([{"data": word, "strb": strobes}])

    def read(self, name: str) -> None:
        """Queues a read."""
        self.sources["ar"].send([{"addr": self.map.offset(name) + int(self.rng.integers(4)), "prot": 0}])

    def describe(self) -> None:
        """Queues the writes of some of a job's registers, mostly aligned."""
        rng, step = self.rng, self.design.bus_bits // 8
        names = [name for name in self.map.by_name if name.startswith("job_")]
        for name in rng.choice(names, min(4, len(names)), replace=False):
            word = noise(32, rng)
            if rng.random() < 0.95 and (str(name).endswith(("_low", "_stride"))):
                word = word // step * step
            self.write(str(name), word)

    def act(self) -> None:
        """Software does something; if it is calm, mostly with jobs, and it never resets."""
        rng = self.rng
        chance, turns = rng.random(), rng.random()
        if self.news and chance < 0.5:
            name = self.news.pop(0)
            self.read(name)
            if name in CLEARED and rng.random() < 0.5:
                self.write(name, (1 << 32) - 1)
            return None
        if self.calm:
            names = ["doorbell", "doorbell", "ring_tail", "job_rows", *["abort"] * self.gives_up]
            return self.set(str(rng.choice([name for name in names if name in self.map.by_name])))
        if rng.random() < 0.2:
            self.busy = int(rng.integers(1, 30))
        if turns < (0.2 if self.resetting else 0.1 if self.model.halted else 0.005):
            self.resetting = not self.resetting
            self.write("control", int(self.resetting))
            self.busy = int(rng.integers(1, 60))
        elif chance < 0.30:
            if rng.random() < 0.5:
                self.describe()
            self.set("doorbell")
        elif chance < 0.55:
            self.read(str(rng.choice(OFTEN if rng.random() < 0.5 else list(self.map.by_name))))
        elif chance < 0.60:
            self.write("counter_control", 1 + 2 * int(rng.random() < 0.1))
            self.news += [f"count_{name}" for name in rng.choice(self.model.names, 4)]
        elif chance < 0.85:
            self.set(str(rng.choice([name for name in SET if name in self.map.by_name])))
        elif chance < 0.90:
            self.sources["ar"].send([{"addr": int(rng.integers(1 << self.map.address_bits)), "prot": 0}])
        elif chance < 0.93:
            register = str(rng.choice([name for name in self.map.by_name if name not in SENSITIVE]))
            self._access(self.map.offset(register) + int(rng.integers(4)), noise(32, rng), int(rng.integers(16)))
        elif chance < 0.95:
            used = {register.offset for register in self.map.registers}
            holes = [offset for offset in range(0, 1 << self.map.address_bits, 4) if offset not in used]
            self._access(int(rng.choice(holes)), noise(32, rng), 15)
        elif chance < 0.97:
            self.busy = int(rng.integers(1, 300))

    def set(self, name: str) -> None:
        """Queues a write of a register, of what software might write."""
        rng, model, word = self.rng, self.model, noise(32, self.rng)
        if name == "doorbell":
            word = 1
        elif name == "watchdog":
            word = int(rng.choice([0, 3, 10, 40])) | int(rng.random() < 0.1) << int(rng.integers(32))
        elif name == "irq_coalescing":
            word = int(rng.choice([0, 1, 2, 3, 5])) | int(rng.choice([0, 0, 1, 10, 40])) << WAITING_BITS
        elif name == "ring_size":
            word = int(rng.integers(MOST + 1))
        elif name == "ring_tail":
            assert model.ring is not None
            room = (1 << MOST) - (self.tail - model.ring.head) % (1 << RING_BITS)
            self.tail = word = (self.tail + int(rng.integers(0, max(room, 0) + 1))) % (1 << RING_BITS)
        elif name == "abort":
            assert isinstance(model.queue, BacklogModel)
            if rng.random() < 0.7:  # or the one before once more
                back = int(rng.integers(0, 5 if rng.random() < 0.5 else model.queue.held + 2))
                self.number = (model.queue.next - back) % (1 << JOB_BITS)
            word = self.number | int(rng.random() < 0.9) << 31
        self.write(name, word)

    async def _run(self) -> None:
        """Sets what comes in, sees what comes out, and compares."""
        self._drive()
        while True:
            await self.edge
            if self.in_reset:
                self._forget()
            else:
                self._compare()
                self._go_on()
            self._drive()

    def _go_on(self) -> None:
        """Software does something, or not."""
        self.busy = max(0, self.busy - 1)
        if not self.busy and all(len(source.waiting) < WAITING for source in self.sources.values()):
            self.act()

    def _value(self, name: str) -> int:
        return int(self.handles[name].value)

    def _compare(self) -> None:
        """Compares what comes out with the model, which goes on to the next cycle."""
        model, pins = self.model, dict(self.pins)
        for name, channel in self.channels.items():
            pins |= {f"{name}valid": int(channel.is_valid), f"{name}ready": int(channel.is_ready)}
            if name in self.sources:
                pins |= {f"{name}{field}": value for field, value in channel.payload.items()}
        for name, ready in model.registers.ready().items():
            self._same(f"{name}ready", int(ready), pins[f"{name}ready"])
        for name, there in model.registers.answers.items():
            self._same(f"{name}valid", int(there), pins[f"{name}valid"])
            if there:
                told = {"resp": model.registers.answer}
                if name == "r":
                    told = dict(zip(("data", "resp"), model.registers.read, strict=True))
                self._same(name, told, self.channels[name].payload)
        outputs = model.outputs()
        for name, value in outputs.items():
            self._same(name, value, self._value(name))
        offers = {"job": model.offers()} | ({"fetch": model.ring.asked} if model.ring else {})
        for name, beat in offers.items():
            self._same(f"{name}_valid", int(beat is not None), int(self.streams[name].is_valid))
            if beat is not None:
                self._same(name, beat, self.streams[name].payload)
        for event in sorted(model.cycle(pins)):
            self.met(event)
            if len(self.news) < 10 and self.rng.random() < 0.3:
                self.news += [name for name in TELLS.get(event, ()) if name in self.map.by_name]
        if isinstance(model.queue, BacklogModel):
            self.met(FULL, model.queue.held >= model.queue.depth - model.queue.places)
            self.met(ROUND, model.queue.oldest >= 2 * model.queue.depth)
        self.jobs.see(pins | outputs | offers)
        self.checked += 1

    def _same(self, what: str, expected: object, found: object) -> None:
        if expected != found:
            raise Mismatch(f"{what} in cycle {self.cycle} is {found}, and should be {expected}.")

    def _drive(self) -> None:
        pins = self.jobs.drive()
        if self.rng.random() < 0.2:
            self.counted = {name: noise(COUNTER_BITS, self.rng) for name in self.counted}
        pins["counters"] = self.counted
        pins["diagnosis"] = {}
        if self.design.diagnostics:
            about = self.diagnosis.unpack(noise(self.diagnosis.width, self.rng))
            about |= {"moved": int(self.rng.random() < 0.05), "failed": int(self.rng.random() < 2 * FAILS)}
            pins["diagnosis"] = about
            self._set("diagnosis", self.diagnosis.pack(about))
        self._set("errors", sum(value << i for i, value in enumerate(pins["errors"].values())))
        self._set("counters", sum(value << COUNTER_BITS * i for i, value in enumerate(self.counted.values())))
        for name, value in pins.items():
            if name in self.handles and not isinstance(value, dict):
                self._set(name, value)
        for name, stalls in self.stalls.items():
            pins[f"{name}ready"] = int(not next(stalls))
            self._set(f"s_axi_ctrl_{name}ready", pins[f"{name}ready"])
        self.pins = pins

    def _set(self, name: str, value: int) -> None:
        """Sets an input, if it changes."""
        if self.levels.get(name) != value:
            self.handles[name].value = self.levels[name] = value


@cocotb.test
@cocotb.parametrize(idle=PAUSES, stall=PAUSES)
async def as_modelled(dut: HierarchyObject, idle: str, stall: str) -> None:
    """Whatever software does, in every cycle all is as the model says."""
    bench = ControlBench(dut, idle, stall)
    await bench.start()
    await bench.cycles(CYCLES * bench.blocks)
    bench.finish()


@cocotb.test
async def many_jobs(dut: HierarchyObject) -> None:
    """So many jobs without a reset that each place of them is taken again and again, by some that are given up."""
    bench = ControlBench(dut, calm=True)
    await bench.start()
    await bench.cycles(2 * CYCLES * bench.blocks)
    bench.finish()


@cocotb.test
@cocotb.parametrize(soft=(False, True))
async def reset_of_many(dut: HierarchyObject, soft: bool) -> None:
    """And after a reset when as many jobs as can be have piled up, most of them refused or given up: so many follow
    that each place is taken anew."""
    bench = ControlBench(dut, calm=True)
    await bench.start()
    for _ in range(max(3, bench.blocks // 4)):
        bench.gives_up = True
        bench.jobs.keep(ends=0.5, refuses=0.3)
        await bench.cycles(int(bench.rng.integers(500)))
        bench.jobs.keep(ends=0.0, refuses=0.7)
        await bench.cycles(600)
        if soft:
            bench.write("control", 1)
            await bench.cycles(100)
            bench.write("control", 0)
        else:
            await bench.reset()
        bench.gives_up = False
        bench.jobs.keep(ends=0.5, refuses=0.0)
        await bench.cycles(800)
    bench.finish()


@cocotb.test
async def reset_midway(dut: HierarchyObject) -> None:
    """And after a reset at any moment."""
    bench = ControlBench(dut)
    await bench.start()
    for _ in range(max(4, bench.blocks)):
        await bench.cycles(int(bench.rng.integers(1, 2 * CYCLES)))
        await bench.reset()
    bench.finish()
