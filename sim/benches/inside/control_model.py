"""What the registers and what is behind them do, cycle by cycle: the model that `hw.axi.control` is held to.

Each part is given what it sees in a cycle, and goes on to the next one; before that, its attributes and methods say how
things are in the cycle itself.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from golden.frontend import MANTISSA_BITS
from hw.axi.map import (
    DESCRIPTOR_MARK,
    JOB_BITS,
    RING_BITS,
    SHAPE,
    along,
    bus_error_layout,
    counters,
    descriptor_layout,
    front_end_layout,
)
from hw.axi.ports import OKAY, SLVERR
from hw.axi.write import outstanding
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS
from hw.engine.planner import modes
from hw.registers import Register, RegisterMap
from sim.benches.inside.signals import Beat
from sim.benches.inside.words import Structure

Pins = Mapping[str, Any]
"""What comes in, by name: numbers, and structures as fields."""

NUMBERS, JOBS, COUNTS = 1 << RING_BITS, 1 << JOB_BITS, 1 << COUNTER_BITS
"""After which numbers of descriptors, numbers of jobs, and counts begin anew."""

BYTES = descriptor_layout().size // 8
"""Of a descriptor."""


class JobModel:
    """Jobs as registers and descriptors give them."""

    def __init__(self, design: DesignPoint, map: RegisterMap):
        self.beat = design.bus_bits // 8
        self.modes, self.along = list(modes(design)), list(along(design).members)
        self.kinds = {field.name: field.low for field in map.by_name["job_mode"].fields}
        self.scale = map.by_name["job_scale"].fields if "job_scale" in map.by_name else ()

    def described(self, held: Mapping[str, int]) -> Beat:
        """The job that the registers describe."""
        job = {name: held[f"job_{name}"] for name in SHAPE}
        job |= {name: held.get(f"job_mode_{name}", 0) for name in self.modes}
        for name in self.along:
            if f"job_{name}_low" in held:
                job[name] = held[f"job_{name}_low"] | held[f"job_{name}_high"] << 32
            elif name == "scale":
                job[name] = held["job_scale_mantissa"] | held["job_scale_exponent"] << MANTISSA_BITS
            else:
                job[name] = held[f"job_{name}"]
        return job

    def read(self, fields: Beat) -> Beat:
        """The job of a descriptor."""
        job = {name: fields[name] for name in (*SHAPE, *self.along)}
        job |= {name: fields["mode"] >> self.kinds[name] & 1 if name in self.kinds else 0 for name in self.modes}
        if self.scale:
            mantissa, exponent = (fields["scale"] >> part.low & ((1 << part.bits) - 1) for part in self.scale)
            job["scale"] = mantissa | exponent << MANTISSA_BITS
        return job

    def is_bad(self, fields: Beat) -> bool:
        """Whether a descriptor has no mark, or a mode that there is not."""
        known = sum(1 << low for low in self.kinds.values())
        return fields["mark"] != DESCRIPTOR_MARK or bool(fields["mode"] & ~known)

    def misplaced(self, job: Beat) -> bool:
        """Whether an address or a stride of a job that is looked at is no multiple of the bus width."""
        names = (name for name in self.along if name not in ("tag", "scale"))
        return any(job[name] % self.beat for name in names if name != "x_stride" or job["raw"])


class RegistersModel:
    """A register map behind AXI4-Lite, one access of either kind at a time.

    A write does what it does in the cycle after the one in which its register is known, which is the one after both of
    its parts are there, and is answered a cycle later. What a read returns is looked up in the cycle after its address
    came, and is on offer two cycles later.
    """

    def __init__(self, map: RegisterMap):
        self.map = map
        self.at = {register.offset // 4: register for register in map.registers}
        self.members = {register.name: [(f.member(register), f) for f in register.fields] for register in map.registers}
        every = [field for fields in self.members.values() for field in fields]
        self.first = {name: field.reset for name, field in every if field.access != "RO"}
        self.brief, self.kept = ([name for name, field in every if field.access == kind] for kind in ("WO", "W1C"))
        self.reset()

    def reset(self) -> None:
        """Nothing is under way, and all fields are as they are at first."""
        self.held = dict(self.first)
        self.address: int | None = None
        self.data: tuple[int, int] | None = None
        self.decoded, self.written, self.looked = False, False, False
        self.reply, self.answer = OKAY, OKAY
        self.wanted: int | None = None
        self.entry = self.read = (0, SLVERR)
        self.answers = {"b": False, "r": False}

    def ready(self) -> dict[str, bool]:
        """By channel."""
        return {"aw": self.address is None, "w": self.data is None, "ar": self.wanted is None}

    def rests(self, pins: Pins) -> bool:
        """Whether no access is under way and none begins."""
        begins = any(pins[f"{name}valid"] for name in ("aw", "w", "ar"))
        under_way = not all(self.ready().values()) or any(self.answers.values())
        return not (begins or under_way or self.decoded or self.written or self.looked)

    def word(self, register: Register, told: Mapping[str, int]) -> int:
        """What a register reads as; `told` has the fields that are read only."""
        word = 0
        for field in register.fields:
            name = field.member(register)
            if field.access != "WO":
                value = field.value if field.value is not None else self.held.get(name, told.get(name, 0))
                word |= value << field.low
        return word

    def writes(self, pins: Pins, sets: Mapping[str, int]) -> None:
        """A cycle of the side that writes; `sets` has the bits of fields that are cleared by ones, by name."""
        write = self.decoded and self.data is not None and not self.written and not self.answers["b"]
        here = self.at.get(self.address) if write and self.address is not None else None
        self._hold(here, *(self.data or (0, 0)), sets)
        self.answers["b"] = self.written or (self.answers["b"] and not pins["bready"])
        if self.written:
            self.answer = self.reply
        if write:
            self.reply = OKAY if here and here.writable else SLVERR
        self.decoded, self.written = self.address is not None and not write, write
        if write:
            self.address = self.data = None
        else:
            if pins["awvalid"] and self.address is None:
                self.address = pins["awaddr"] >> 2
            if pins["wvalid"] and self.data is None:
                self.data = pins["wdata"], sum(0xFF << 8 * i for i in range(4) if pins["wstrb"] >> i & 1)

    def _hold(self, here: Register | None, data: int, mask: int, sets: Mapping[str, int]) -> None:
        """What becomes of the fields, if those of a register, or of none, are written."""
        for name in self.brief:
            self.held[name] = 0
        for name, field in self.members[here.name] if here else ():
            every = (1 << field.bits) - 1
            new, chosen = data >> field.low & every, mask >> field.low & every
            if field.access == "RW":
                self.held[name] = (self.held[name] & ~chosen) | (new & chosen)
            elif field.access == "WO":
                self.held[name] = new & chosen
            elif field.access == "W1C":
                self.held[name] &= ~(new & chosen)
        for name in self.kept:
            self.held[name] |= sets.get(name, 0)

    def reads(self, pins: Pins, told: Callable[[], Mapping[str, int]]) -> None:
        """A cycle of the side that reads, first; `told` gives the fields that are read only, by name."""
        register, has = self.at.get(-1 if self.wanted is None else self.wanted), self.wanted is not None
        entry = (0, SLVERR) if register is None else (self.word(register, told()), OKAY)
        comes = self.looked and has and not self.answers["r"]
        if not self.answers["r"]:
            self.read = self.entry
        self.answers["r"] = comes or (self.answers["r"] and not pins["rready"])
        self.entry, self.looked = entry, has
        if comes:
            self.wanted = None
        elif not has and pins["arvalid"]:
            self.wanted = pins["araddr"] >> 2


class QueueModel:
    """Jobs in their order, as many as it has places, the first of them on offer."""

    def __init__(self, design: DesignPoint):
        self.places = design.jobs
        self.reset()

    def reset(self) -> None:
        """It is empty."""
        self.words = deque[Beat]()

    @property
    def level(self) -> int:
        """Places that are taken."""
        return len(self.words)

    def room(self) -> bool:
        """Whether it takes a job."""
        return len(self.words) < self.places

    def offers(self) -> Beat | None:
        """The job on offer."""
        return self.words[0] if self.words else None

    def cycle(self, comes: Beat | None, taken: bool) -> None:
        """A job comes or not, and the one on offer is taken or not."""
        more = self.room()
        if taken and self.words:
            self.words.popleft()
        if comes is not None and more:
            self.words.append(comes)


class BacklogModel:
    """Jobs that are kept until they are done, refused or given up; the last two are passed over.

    In each cycle the first that has not gone out goes, if it is taken, or is passed over; and the first of all is
    counted, if it is passed over or done.
    """

    def __init__(self, design: DesignPoint):
        self.places = design.jobs
        self.depth = 1 << (2 * design.jobs + 2 + outstanding(design)).bit_length()
        self.reset()

    def reset(self) -> None:
        """There was no job yet."""
        self.jobs: dict[int, Beat] = {}
        """Those that are kept, by number."""
        self.next, self.oldest, self.going, self.last = 0, 0, 0, 0
        self.passed: set[int] = set()
        self.credit = 0
        self.behind = 0
        self.waits = self.runs = False

    @property
    def queued(self) -> int:
        """Jobs that have not gone out."""
        return self.next - self.going

    @property
    def held(self) -> int:
        """Those that are kept."""
        return self.next - self.oldest

    @property
    def level(self) -> int:
        """Places that are taken."""
        return self.queued if self.room() else self.places

    def room(self) -> bool:
        """Whether it takes a job."""
        return self.queued < self.places and self.held < self.depth - self.places

    def offers(self, asked: bool) -> Beat | None:
        """The job on offer, if none is asked for."""
        return self.jobs[self.going] if self.queued and self.going not in self.passed and not asked else None

    def counts(self, again: bool) -> bool:
        """Whether the first one is counted."""
        return not again and self.held != self.queued and (self.oldest in self.passed or self.credit > 0)

    def settled(self, again: bool) -> bool:
        """Whether all that are done have been counted."""
        return not self.credit and not self.counts(again)

    @property
    def empty(self) -> bool:
        """Whether there is no job."""
        return not self.held and not self.credit

    def cycle(
        self,
        comes: Beat | None,
        taken: bool,
        *,
        asked: bool,
        number: int,
        look: bool,
        drop: bool,
        again: bool,
        done: bool,
        refused: bool,
    ) -> None:
        """A job comes or not, and the one on offer is taken or not; the others as of `hw.axi.backlog.Backlog`."""
        counts, more = self.counts(again), comes is not None and self.room()
        goes = self.offers(asked) is not None and taken
        steps = goes or (self.queued > 0 and self.going in self.passed)
        meant = self.oldest + (number - self.oldest) % JOBS  # of those that come, the one that is called so
        there = self._place(meant) not in map(self._place, self.passed)
        there = there and not (refused and self._place(meant) == self._place(self.last))
        out = self.held - self.queued
        self.waits, self.runs = out <= self.behind < self.held and there, self.behind < out and there
        self.behind = ((meant - self.oldest if look else self.behind) - counts) % JOBS
        self.credit += done - (counts and self.oldest not in self.passed)
        if counts:
            self.passed.discard(self.oldest)
            del self.jobs[self.oldest]
        if refused:
            self.passed.add(self.last)
        if drop:
            self.passed.add(meant)
        if goes:
            self.last = self.going
        if more:
            assert comes is not None
            self.jobs[self.next] = comes
        self.going = self.oldest if again else self.going + steps
        self.oldest, self.next = self.oldest + counts, self.next + more

    def _place(self, number: int) -> int:
        return number % self.depth


class Offer(NamedTuple):
    """A job of the ring, and what is wrong with it."""

    job: Beat
    bad: bool
    misaligned: bool


class RingModel:
    """Descriptors that are fetched in their order, as far as they were written; each is a job a cycle after it is
    there."""

    def __init__(self, design: DesignPoint, map: RegisterMap, jobs: JobModel):
        self.design, self.jobs, self.layout = design, jobs, Structure(descriptor_layout())
        self.low = map.by_name["ring_base_low"].fields[0].low
        self.reset()

    def reset(self) -> None:
        """Nothing was written."""
        self._begin(0)

    def _begin(self, number: int) -> None:
        self.number = self.head = self.coming = number
        self.asked: Beat | None = None
        self.beats: list[int] = []
        self.whole: int | None = None
        self.offer: Offer | None = None

    def takes(self) -> bool:
        """Whether it takes a beat."""
        return self.whole is None

    def cycle(self, pins: Pins, held: Mapping[str, int], taken: bool, clear: bool, again: bool) -> None:
        """`held` has the registers; the job on offer is taken, or not."""
        tail = held["ring_tail"]
        if clear or again:
            return self._begin(self.head if again else tail)
        if self.asked is None or pins["fetch_ready"]:
            wanted, self.asked = self.number != tail, None
            if wanted:
                base = held["ring_base_low"] << self.low | held["ring_base_high"] << 32
                place = base + self.number % (1 << held["ring_size"]) * BYTES
                self.asked = {"address": place % (1 << 64), "number": self.number}
                self.number = (self.number + 1) % NUMBERS
        self.coming = (self.coming + pins["came"]) % NUMBERS
        self.head = (self.head + taken) % NUMBERS
        offer = None if self.whole is None or taken else self._look(self.whole)
        if self.whole is None and pins["words_valid"]:
            self.beats.append(pins["words_payload"])
            if len(self.beats) == 8 * BYTES // self.design.bus_bits:
                self.whole = sum(beat << i * self.design.bus_bits for i, beat in enumerate(self.beats))
                self.beats = []
        elif taken:
            self.whole = None
        self.offer = offer

    def _look(self, word: int) -> Offer:
        """What a descriptor says."""
        fields = self.layout.unpack(word)
        job, bad = self.jobs.read(fields), self.jobs.is_bad(fields)
        return Offer(job, bad, self.jobs.misplaced(job) and not bad)


class ControlModel:
    """All of it.

    Parameters
    ----------
    design : DesignPoint
    map : RegisterMap
    refusals, fatal : sequence of str
        As of `hw.axi.control.Control`.
    """

    def __init__(self, design: DesignPoint, map: RegisterMap, refusals: Sequence[str], fatal: Sequence[str]):
        self.design, self.map, self.refusals, self.fatal = design, map, refusals, fatal
        self.registers = RegistersModel(map)
        self.queue: QueueModel | BacklogModel = BacklogModel(design) if design.abort else QueueModel(design)
        self.jobs = JobModel(design, map)
        self.ring = RingModel(design, map, self.jobs) if design.ring else None
        self.about, self.front_end = Structure(bus_error_layout()), Structure(front_end_layout())
        self.names = list(counters(design, True))
        self.reset()

    def reset(self) -> None:
        """A reset of everything."""
        self.registers.reset()
        if self.ring:
            self.ring.reset()
        self.phase, self.core_reset, self.accelerator_reset = "hold", 1, 1
        self.irq = self.misaligned = self.rests = 0
        self.shown = dict.fromkeys(self.names, 0)
        self.bus_error = self.about.unpack(0)
        self.ring_error = {"bad": 0, "misaligned": 0, "bus": 0, "number": 0}
        self.aborted = 0
        self._reset_core()

    def _reset_core(self) -> None:
        """What a soft reset resets."""
        self.queue.reset()
        self.halted = self.under_way = 0
        self.was = dict.fromkeys(("queued", "accepted", "refused", "done", "aborted"), 0)
        self.counts = {"accepted": 0, "refused": 0, "done": 0}
        self.base = dict.fromkeys(self.names, 0)
        self.tags = {"done_tag": 0, "refused_tag": 0}
        self.still = self.over = self.told = 0
        self.asked = self.looked = self.known = 0
        self.number = 0
        self.waiting = self.age = self.late = 0

    @property
    def halt(self) -> int:
        """Nothing new may be begun on the bus."""
        return self.halted if self.phase == "run" else 1

    def offers(self) -> Beat | None:
        """The job on offer."""
        return self.queue.offers(bool(self.asked)) if isinstance(self.queue, BacklogModel) else self.queue.offers()

    def outputs(self) -> dict[str, int]:
        """What comes out and is always looked at, by name."""
        held = self.registers.held
        out = {"irq": self.irq, "core_reset": self.core_reset, "halt": self.halt}
        if self.design.diagnostics:
            out["freeze"] = held["counter_freeze"]
        if self.design.front_end:
            out["front_end"] = self.front_end.pack(
                {"seed": held["front_end_seed"], "gain_mantissa": 0, "gain_exponent": 0, "out": 0}
            )
        if self.design.abort:
            out["accelerator_reset"] = self.accelerator_reset
        if self.design.idle:
            out["idle"] = self.rests
        if self.ring:
            out["words_ready"] = int(self.ring.takes())
        return out

    def tells(self) -> dict[str, int]:
        """The fields that are read only, by name."""
        told = {
            "status_busy": int(self._busy() or bool(self.ring and self.was["queued"])),
            "status_halted": self.halted,
            "status_in_reset": self.core_reset,
            "status_room": 0 if self.halt else self.design.jobs - self.queue.level,
        }
        told |= {f"jobs_{name}": count for name, count in self.counts.items()}
        told |= {f"count_{name}": count for name, count in self.shown.items()} | self.tags
        error = self.bus_error
        told |= {f"bus_error_{name}": error[name] for name in ("write", "response", "id", "tag")}
        told |= {"bus_error_low": error["address"] % (1 << 32), "bus_error_high": error["address"] >> 32}
        if self.ring:
            told |= {"ring_head": self.ring.head} | {f"ring_error_{name}": n for name, n in self.ring_error.items()}
        if isinstance(self.queue, BacklogModel):
            told |= {"jobs_queued": self.queue.next % JOBS, "abort_pending": self.asked, "aborted": self.aborted}
        return told

    def _busy(self) -> bool:
        return self.under_way > 0 or (self.ring is not None and self.ring.head != self.registers.held["ring_tail"])

    def cycle(self, pins: Pins) -> set[str]:
        """Goes on to the next cycle; returns what happened."""
        held, queue, ring = self.registers.held, self.queue, self.ring
        halt, again, rung = bool(self.halt), self.phase == "again", bool(held["doorbell_go"])
        room = queue.room() and not halt
        refused = any(pins["errors"][name] for name in self.refusals)
        busy, rests = self._busy(), self.registers.rests(pins)
        self.registers.reads(pins, self.tells)
        errors = {"queue_full": rung and not room, "misaligned": rung and bool(self.misaligned)}

        job = self.jobs.described(held)
        comes = job if rung and room and not self.misaligned else None
        offer, taken, lost, passed_over = None, False, 0, False
        if ring:
            offer, lost = ring.offer, pins["lost"]
            wrong = offer is not None and (offer.bad or offer.misaligned)
            taken = offer is not None and not halt and (wrong or (queue.room() and not rung))
            passed_over = taken and wrong
            if taken and offer and not wrong:
                comes = offer.job
            errors["misaligned"] |= passed_over and offer is not None and offer.misaligned
            errors["bad_descriptor"] = passed_over and offer is not None and offer.bad
        errors["stuck"] = bool(self.over and not self.told)
        withdraws = given_up = ends = False
        if isinstance(queue, BacklogModel):
            decides = again and not refused
            looks = bool(self.asked and self.known) and (not halt or again)
            withdraws = bool(self.asked and self.known) and queue.runs
            given_up = looks and (queue.waits or (queue.runs and decides))
            errors["aborted"] = given_up
            ends = looks and (decides or not queue.runs)
        errors |= pins["errors"]
        enough = self.waiting >= held.get("irq_coalescing_jobs", 0)
        is_told = bool(self.waiting and (enough or self.late)) if self.design.coalescing else bool(pins["done"])
        sets = {f"error_{name}": int(bool(error)) for name, error in errors.items()}
        sets |= {"irq_status_error": int(any(errors.values())), "irq_status_job_done": int(is_told)}
        failed = bool(ring and (passed_over or lost))
        sets |= {"ring_error_valid": int(failed), "bus_error_valid": pins["diagnosis"].get("failed", 0)}

        # What is late by a cycle.
        causes = [held[f"irq_status_{name}"] & held[f"irq_enable_{name}"] for name in ("job_done", "error")]
        later = bool(self.waiting) and (enough or held.get("irq_coalescing_cycles", 0) > 0)
        waits = bool(self.asked) or (self.design.coalescing and later)
        waits = waits or (isinstance(queue, BacklogModel) and not queue.empty)
        settled = (self.phase == "run" and not held["control_reset"]) or (
            self.phase == "hold" and bool(held["control_reset"])
        )
        self.irq = int(any(causes))
        self.rests = int(rests and settled and not (busy or waits or any(self.was.values())))
        misaligned = int(self.jobs.misplaced(job))
        if given_up:
            self.aborted = self.number
        if held["counter_control_snapshot"]:
            self.shown = {name: (pins["counters"][name] - self.base[name]) % COUNTS for name in self.names}
        if self.design.diagnostics and pins["diagnosis"]["failed"] and not held["bus_error_valid"]:
            self.bus_error = self.about.unpack(pins["diagnosis"]["error"])
        if ring and failed and not held["ring_error_valid"]:
            bad, wrong_place = (offer is not None and offer.bad), (offer is not None and offer.misaligned)
            self.ring_error = {
                "bad": int(bad and not lost),
                "misaligned": int(wrong_place and not lost),
                "bus": lost,
                "number": ring.coming if lost else ring.head,
            }

        # Jobs and counts.
        core_reset, number, events = self.core_reset, self.number, dict[str, int]()
        events["queued"] = int(comes is not None and room)
        events |= {"accepted": pins["accepted"], "refused": int(refused), "done": pins["done"]}
        events["aborted"] = int(given_up)
        settled_queue = not isinstance(queue, BacklogModel) or queue.settled(again)
        reached = self._moves(held, pins, withdraws, settled_queue)
        self.under_way += self.was["queued"] - self.was["refused"] - self.was["done"] - self.was["aborted"]
        for name, counted in (("accepted", self.was["accepted"]), ("refused", refused), ("done", pins["done"])):
            self.counts[name] = (self.counts[name] + counted) % (1 << 32)
        self.was = events
        for name in self.names:
            if again:
                self.base[name] = (self.base[name] - pins["counters"][name]) % COUNTS
            elif held["counter_control_clear"]:
                self.base[name] = pins["counters"][name]
        if self.design.diagnostics:
            seen = pins["diagnosis"]
            self.tags = {
                "done_tag": seen["done_tag"] if pins["done"] else self.tags["done_tag"],
                "refused_tag": seen["refused_tag"] if refused else self.tags["refused_tag"],
            }
            limit = held["watchdog"]
            self.told, self.over = self.over, int(limit > 0 and self.still >= limit)
            self.still = 0 if seen["moved"] or not busy else self.still + 1
        if self.design.coalescing:
            patience = held["irq_coalescing_cycles"]
            self.late = int(patience > 0 and self.age >= patience and not is_told)
            self.age = 0 if is_told or not self.waiting else self.age + 1
            self.waiting = (0 if is_told else self.waiting) + pins["done"]
        if any(pins["errors"][name] for name in self.fatal):
            self.halted = 1
        if isinstance(queue, BacklogModel):
            queue.cycle(
                comes,
                pins["job_ready"],
                asked=bool(self.asked),
                number=number,
                look=not self.looked,
                drop=given_up,
                again=again,
                done=pins["done"],
                refused=refused,
            )
            go = bool(held["abort_go"])
            self.known, self.looked = int(self.looked and not go), int(self.asked and not go)
            self.asked = int(go or (self.asked and not ends))
            self.number = held["abort_number"] if go else number
        else:
            queue.cycle(comes, pins["job_ready"])
        if core_reset:
            self._reset_core()
        if ring:
            ring.cycle(pins, held, taken, bool(core_reset), again)
        self.misaligned = misaligned
        self.registers.writes(pins, sets)
        return {
            *(name for name, event in events.items() if event),
            *(name for name, error in errors.items() if error),
            reached,
        }

    def _moves(self, held: Mapping[str, int], pins: Pins, withdraws: bool, settled: bool) -> str:
        """Goes on between running, halting and resets; returns the phase that it leaves."""
        phase, reset = self.phase, held["control_reset"]
        if phase == "run":
            self.phase = "stop" if reset else "withdraw" if withdraws else "run"
        elif phase == "withdraw":
            if reset or self.halted:
                self.phase = "stop" if reset else "run"
            elif pins["quiet"] and settled:
                self.phase, self.accelerator_reset = "again", 1
        elif phase == "again":
            self.phase, self.accelerator_reset = "run", 0
        elif phase == "stop" and pins["quiet"]:
            self.phase, self.core_reset, self.accelerator_reset = "hold", 1, 1
        elif phase == "hold" and not reset:
            self.phase, self.core_reset, self.accelerator_reset = "run", 0, 0
        return phase
