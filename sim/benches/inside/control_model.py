"""What the registers and what is behind them do, cycle by cycle: the model that `hw.axi.control` is held to.

Each part, here and in `control_registers` and `control_jobs`, is given what it sees in a cycle, and goes on to the next
one; before that, its attributes and methods say how things are in the cycle itself.
"""

from collections.abc import Mapping, Sequence

from hw.axi.map import bus_error_layout, counters, front_end_layout
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS
from hw.registers import RegisterMap
from sim.benches.inside.control_jobs import JOBS, BacklogModel, JobModel, QueueModel, RingModel
from sim.benches.inside.control_registers import Pins, RegistersModel
from sim.benches.inside.signals import Beat
from sim.benches.inside.words import Structure

COUNTS = 1 << COUNTER_BITS
"""After which counts begin anew."""


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
