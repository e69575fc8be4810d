"""Control by registers: jobs, soft reset, errors, interrupt, counters."""

from collections.abc import Sequence

from amaranth import Cat, Const, DomainRenamer, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.axi.backlog import Backlog
from hw.axi.lite import Registers
from hw.axi.map import (
    JOB_BITS,
    PATIENCE_BITS,
    SHAPE,
    TAG_BITS,
    WAITING_BITS,
    addresses,
    counters,
    diagnosis_layout,
    front_end_layout,
    job_layout,
)
from hw.axi.ports import ADDRESS_BITS, lite
from hw.axi.ring import Ring, fetch_layout, misplaced
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS
from hw.engine.planner import FIELD_BITS, SUMS
from hw.registers import RegisterMap


class Control(wiring.Component):
    """The registers, and what they do.

    A soft reset first asks for a `halt`, waits until the bus is `quiet`, and then holds `core_reset` while the bit is
    set, for a cycle at least. A reset sets `core_reset` as well, for a cycle longer than itself.

    Parameters
    ----------
    design : DesignPoint
    map : RegisterMap
        As `register_map` makes it.
    refusals : sequence of str
        Errors for which a job is dropped by the core.
    fatal : sequence of str
        Errors that halt.

    Members
    -------
    s_axi_ctrl : In(AXI4-Lite)
    irq : Out(1)
        High while a cause that is enabled is set.
    core_reset : Out(1)
    halt : Out(1)
        Nothing new may be begun on the bus: halted, or on the way to reset.
    quiet : In(1)
        Given `halt`: nothing is under way on the bus.
    job : Out(stream of jobs)
        From a queue of as many as the design says.
    errors : In
        A pulse for each error of the map, those left out that are found out here.
    accepted, done : In(1)
        Pulses: a job was found legal, was done.
    counters : In
    front_end : Out, if the map has registers for one
    freeze : Out(1), if the map has registers for diagnostics
    diagnosis : In, the same
    fetch : Out(stream of address, number), if the map has registers for a ring of descriptors
    words : In(stream of bus_bits), the same
        The beats of the descriptors that were fetched.
    came, lost : In(1), the same
        The last beat of one has come back; a beat was answered by an error.
    accelerator_reset : Out(1), if the map has registers to give jobs up
        Resets what takes the jobs: with `core_reset`; and alone, whereupon jobs that are not done are given anew.
    idle : Out(1), of a design with `idle` whose jobs have addresses
        Nothing is queued, fetched, running or to be answered, and nothing is about to change: the clock may stop until
        an access to the registers begins.
    """

    def __init__(self, design: DesignPoint, map: RegisterMap, refusals: Sequence[str], fatal: Sequence[str]):
        self.design, self.map, self._refusals, self._fatal = design, map, refusals, fatal
        self._addressed = "job_x_low" in map.by_name
        self._front_end = "front_end" in map.by_name
        self._observed = "watchdog" in map.by_name
        self._ring = "ring_tail" in map.by_name
        self._abort = "abort" in map.by_name
        self._idle = design.idle and self._addressed
        own = ("queue_full", "misaligned", "stuck", "bad_descriptor", "aborted")
        names = [field.name for field in map.by_name["error"].fields if field.name not in own]
        super().__init__(
            {
                "s_axi_ctrl": In(lite(map.address_bits)),
                "irq": Out(1),
                "core_reset": Out(1, init=1),
                "halt": Out(1),
                "quiet": In(1),
                "job": Out(stream.Signature(job_layout(design, self._addressed))),
                "errors": In(data.StructLayout(dict.fromkeys(names, 1))),
                "accepted": In(1),
                "done": In(1),
                "counters": In(data.StructLayout(dict.fromkeys(counters(design, self._addressed), COUNTER_BITS))),
                **({"front_end": Out(front_end_layout())} if self._front_end else {}),
                **({"freeze": Out(1), "diagnosis": In(diagnosis_layout())} if self._observed else {}),
                **(
                    {
                        "fetch": Out(stream.Signature(fetch_layout())),
                        "words": In(stream.Signature(design.bus_bits)),
                        "came": In(1),
                        "lost": In(1),
                    }
                    if self._ring
                    else {}
                ),
                **({"accelerator_reset": Out(1, init=1)} if self._abort else {}),
                **({"idle": Out(1)} if self._idle else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Soft reset; doorbell; errors and interrupt; counters."""
        m = Module()
        m.submodules.registers = registers = Registers(self.map, idle=self._idle)
        wiring.connect(m, wiring.flipped(self.s_axi_ctrl), registers.s_axi_ctrl)

        halted = Signal()
        settled = Signal()  # neither on the way into a reset of the core nor out of it
        withdraws = Signal()  # a job that runs is to be given up
        withdrawn = Signal()
        again = Signal()
        with m.If(Cat(self.errors[name] for name in self._fatal).any()):
            m.d.core += halted.eq(1)
        with m.FSM(init="hold"):
            with m.State("run"):
                m.d.comb += self.halt.eq(halted)
                if self._idle:
                    m.d.comb += settled.eq(~registers.control_reset)
                with m.If(registers.control_reset):
                    m.next = "stop"
                if self._abort:
                    with m.Elif(withdraws):
                        m.next = "withdraw"
            if self._abort:
                with m.State("withdraw"):
                    m.d.comb += self.halt.eq(1)
                    with m.If(registers.control_reset):
                        m.next = "stop"
                    with m.Elif(halted):
                        m.next = "run"
                    with m.Elif(self.quiet & withdrawn):
                        m.d.sync += self.accelerator_reset.eq(1)
                        m.next = "again"
                with m.State("again"):
                    m.d.comb += [self.halt.eq(1), again.eq(1)]
                    m.d.sync += self.accelerator_reset.eq(0)
                    m.next = "run"
            with m.State("stop"):
                m.d.comb += self.halt.eq(1)
                with m.If(self.quiet):
                    m.d.sync += self.core_reset.eq(1)
                    if self._abort:
                        m.d.sync += self.accelerator_reset.eq(1)
                    m.next = "hold"
            with m.State("hold"):
                m.d.comb += self.halt.eq(1)
                if self._idle:
                    m.d.comb += settled.eq(registers.control_reset)
                with m.If(~registers.control_reset):
                    m.d.sync += self.core_reset.eq(0)
                    if self._abort:
                        m.d.sync += self.accelerator_reset.eq(0)
                    m.next = "run"

        # The doorbell, and the queue behind it.
        job = Signal(self.job.payload.shape())
        rung = registers.doorbell_go
        for name in SHAPE:
            m.d.comb += job[name].eq(getattr(registers, f"job_{name}"))
        m.d.comb += job.int8.eq(registers.job_mode_int8)
        if self.design.keep_rows:
            m.d.comb += [job[name].eq(getattr(registers, f"job_mode_{name}")) for name in SUMS]
        if self._front_end:
            if self.design.codes and self._addressed:
                m.d.comb += job.out.eq(registers.job_mode_out)
            m.d.comb += [
                job.raw.eq(registers.job_mode_raw),
                self.front_end.seed.eq(registers.front_end_seed),
            ]
            if self._addressed:
                scale = Cat(registers.job_scale_mantissa, registers.job_scale_exponent)
                m.d.comb += [job.scale.eq(scale), job.x_stride.eq(registers.job_x_stride)]
            else:
                m.d.comb += self.front_end.out.eq(registers.front_end_route_out)
            if "front_end_gain" in self.map.by_name:
                m.d.comb += [
                    self.front_end.gain_mantissa.eq(registers.front_end_gain_mantissa),
                    self.front_end.gain_exponent.eq(registers.front_end_gain_exponent),
                ]
        misaligned = Signal()
        taken = Signal()
        has_room = Signal()
        if self._addressed:
            for name in addresses(self.design):
                halves = (getattr(registers, f"job_{name}_{half}") for half in ("low", "high"))
                m.d.comb += job[name].eq(Cat(*halves))
            if self.design.strides:
                m.d.comb += job.y_stride.eq(registers.job_y_stride)
            # A doorbell is a write of its own, which comes later.
            m.d.sync += misaligned.eq(misplaced(self.design, job))
        size = len(job.as_value())
        queue = Backlog(self.design, size) if self._abort else SyncFIFO(width=size, depth=self.design.jobs)
        m.submodules.queue = DomainRenamer("core")(queue)
        m.d.comb += [
            has_room.eq(queue.w_rdy & ~self.halt),
            registers.status_room.eq(Mux(self.halt, 0, self.design.jobs - queue.level)),
            taken.eq(rung & has_room & ~misaligned),
            queue.w_data.eq(job),
            queue.w_en.eq(taken),
            self.job.payload.eq(queue.r_data),
            self.job.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.job.ready),
        ]

        # Errors and the interrupt.
        under_way = Signal(FIELD_BITS)  # more than can be
        busy: Value = under_way.any()
        errors = {"queue_full": rung & ~has_room, "misaligned": rung & misaligned}
        queued: Value = taken
        waits: Value = Const(0, 1)
        if self._ring:
            ring, passed_over = self._fetch(m, registers, queue, rung, again)
            queued = queue.w_en & has_room
            busy = busy | ring.waits
            errors["misaligned"] |= passed_over & ring.misaligned
            errors["bad_descriptor"] = passed_over & ring.bad
        if self._observed:
            m.d.comb += job.tag.eq(registers.job_tag)
            errors["stuck"] = self._diagnose(m, registers, busy)
        if isinstance(queue, Backlog):
            errors["aborted"] = self._give_up(m, registers, queue, withdraws, again)
            m.d.comb += withdrawn.eq(queue.settled)
            waits = waits | registers.abort_pending | ~queue.empty
        errors |= {name: self.errors[name] for name in self.errors.shape().members}
        told: Value = self.done
        if self.design.coalescing:
            told, later = self._wait(m, registers)
            waits = waits | later
        sets = []
        for field in self.map.by_name["error"].fields:
            sets.append(getattr(registers, f"error_{field.name}_set"))
            m.d.comb += sets[-1].eq(errors[field.name])
        m.d.comb += [
            registers.irq_status_error_set.eq(Cat(*sets).any()),
            registers.irq_status_job_done_set.eq(told),
        ]
        causes = [
            getattr(registers, f"irq_status_{cause}") & getattr(registers, f"irq_enable_{cause}")
            for cause in ("job_done", "error")
        ]
        m.d.sync += self.irq.eq(Cat(*causes).any())

        # What became of the jobs.
        events = {
            "queued": queued,
            "accepted": self.accepted,
            "refused": Cat(self.errors[name] for name in self._refusals).any(),
            "done": self.done,
            **({"aborted": errors["aborted"]} if self._abort else {}),
        }
        counts = {name: Signal(32, name=f"jobs_{name}") for name in ("accepted", "refused", "done")}
        was = {name: Signal(name=f"was_{name}") for name in events}
        m.d.core += [was[name].eq(event) for name, event in events.items()]
        for name, count in counts.items():
            # That a job was done is told of at once: the interrupt says so, and whoever hears it may look.
            with m.If(was[name] if name == "accepted" else events[name]):
                m.d.core += count.eq(count + 1)
        left = under_way + was["queued"] - was["refused"] - was["done"]
        m.d.core += under_way.eq(left - was["aborted"] if self._abort else left)
        m.d.comb += [
            registers.jobs_accepted.eq(counts["accepted"]),
            registers.jobs_refused.eq(counts["refused"]),
            registers.jobs_done.eq(counts["done"]),
            # A descriptor that was taken is no longer in the ring, and its job is counted a cycle later.
            registers.status_busy.eq(busy | was["queued"] if self._ring else busy),
            registers.status_halted.eq(halted),
            registers.status_in_reset.eq(self.core_reset),
        ]

        # Counters: read as of the last snapshot, from where they were cleared.
        for name in counters(self.design, self._addressed):
            base = Signal(COUNTER_BITS, name=f"base_{name}")
            shown = Signal(COUNTER_BITS, name=f"shown_{name}")
            with m.If(registers.counter_control_clear):
                m.d.core += base.eq(self.counters[name])
            if self._abort:
                with m.If(again):
                    m.d.core += base.eq(base - self.counters[name])
            with m.If(registers.counter_control_snapshot):
                m.d.sync += shown.eq(self.counters[name] - base)
            m.d.comb += getattr(registers, f"count_{name}").eq(shown)
        if self._idle:
            # While something is under way on the bus there is a job that is not done, or a descriptor not taken.
            m.d.sync += self.idle.eq(registers.idle & settled & ~(busy | waits | Cat(was.values()).any()))
        return m

    def _fetch(
        self, m: Module, registers: Registers, queue: SyncFIFO | Backlog, rung: Value, again: Signal
    ) -> tuple[Ring, Value]:
        """The ring, whose jobs are queued when no doorbell is rung; and whether one is passed over."""
        m.submodules.ring = ring = Ring(self.design, self.map)
        wiring.connect(m, wiring.flipped(self.fetch), ring.fetch)
        wiring.connect(m, wiring.flipped(self.words), ring.words)
        refused = ring.bad | ring.misaligned
        passed_over = ring.job.valid & ring.job.ready & refused
        failed = passed_over | self.lost
        about = {"bad": ring.bad & ~self.lost, "misaligned": ring.misaligned & ~self.lost, "bus": self.lost}
        about["number"] = Mux(self.lost, ring.coming, ring.head)
        m.d.comb += [
            ring.base.eq(Cat(Const(0, ADDRESS_BITS // 2 - len(registers.ring_base_low)), registers.ring_base_low)),
            ring.base[ADDRESS_BITS // 2 :].eq(registers.ring_base_high),
            ring.size.eq(registers.ring_size),
            ring.tail.eq(registers.ring_tail),
            ring.clear.eq(self.core_reset),
            *([ring.again.eq(again)] if self._abort else []),
            ring.came.eq(self.came),
            ring.job.ready.eq(~self.halt & (refused | (queue.w_rdy & ~rung))),
            registers.ring_head.eq(ring.head),
            registers.ring_error_valid_set.eq(failed),
        ]
        with m.If(ring.job.valid & ~rung):
            m.d.comb += [queue.w_data.eq(ring.job.payload), queue.w_en.eq(~self.halt & ~refused)]
        for name, value in about.items():
            shown = Signal.like(getattr(registers, f"ring_error_{name}"), name=f"shown_{name}")
            with m.If(failed & ~registers.ring_error_valid):
                m.d.sync += shown.eq(value)
            m.d.comb += getattr(registers, f"ring_error_{name}").eq(shown)
        return ring, passed_over

    def _give_up(self, m: Module, registers: Registers, jobs: Backlog, withdraws: Signal, again: Signal) -> Signal:
        """Whether the job that was asked for is given up: at once if it is queued; if it runs, when all begin anew,
        with nothing under way on the bus."""
        pending = Signal(name="abort_pending")
        number = Signal(JOB_BITS, name="abort_number", reset_less=True)
        looked = Signal()
        known = Signal()
        given_up = Signal()
        looks = Signal()
        refused = Cat(self.errors[name] for name in self._refusals).any()
        decides = again & ~refused  # or it may be the one that is refused: then all begins anew once more
        m.d.core += [looked.eq(pending & ~registers.abort_go), known.eq(looked & ~registers.abort_go)]
        m.d.comb += [
            looks.eq(pending & known & (~self.halt | again)),
            withdraws.eq(pending & known & jobs.runs),
            given_up.eq(looks & (jobs.waits | (jobs.runs & decides))),
            jobs.ask.eq(pending),
            jobs.number.eq(number),
            jobs.look.eq(~looked),
            jobs.drop.eq(given_up),
            jobs.again.eq(again),
            jobs.done.eq(self.done),
            jobs.refused.eq(refused),
            registers.abort_pending.eq(pending),
            registers.jobs_queued.eq(jobs.next),
        ]
        with m.If(looks & (decides | ~jobs.runs)):
            m.d.core += pending.eq(0)
        with m.If(registers.abort_go):
            m.d.core += [pending.eq(1), number.eq(registers.abort_number)]
        shown = Signal(JOB_BITS, name="shown_aborted")
        with m.If(given_up):
            m.d.sync += shown.eq(number)
        m.d.comb += registers.aborted.eq(shown)
        return given_up

    def _wait(self, m: Module, registers: Registers) -> tuple[Value, Value]:
        """Whether jobs that are done are told of, as many or as late as the register says; whether they will be, if
        nothing else happens."""
        jobs, cycles = registers.irq_coalescing_jobs, registers.irq_coalescing_cycles
        waiting = Signal(WAITING_BITS)  # done and not told of: never more than may wait
        age = Signal(PATIENCE_BITS)  # of the first of them
        enough = Signal()
        over = Signal()
        told = Signal()
        m.d.comb += [enough.eq(waiting >= jobs), told.eq(waiting.any() & (enough | over))]
        m.d.core += [
            waiting.eq(Mux(told, 0, waiting) + self.done),
            age.eq(Mux(told | ~waiting.any(), 0, age + 1)),
            over.eq(cycles.any() & (age >= cycles) & ~told),
        ]
        return told, waiting.any() & (enough | cycles.any())

    def _diagnose(self, m: Module, registers: Registers, busy: Value) -> Signal:
        """Tags, what a bus error was about, and the watchdog, whose pulse is returned."""
        found, error = self.diagnosis, self.diagnosis.error
        tags = {"done_tag": self.done, "refused_tag": Cat(self.errors[name] for name in self._refusals).any()}
        for name, now in tags.items():
            shown = Signal(TAG_BITS, name=f"shown_{name}")
            with m.If(now):
                m.d.core += shown.eq(found[name])
            m.d.comb += getattr(registers, name).eq(shown)

        about = Signal.like(error)
        with m.If(found.failed & ~registers.bus_error_valid):
            m.d.sync += about.eq(error)
        m.d.comb += [
            registers.bus_error_valid_set.eq(found.failed),
            *(getattr(registers, f"bus_error_{name}").eq(about[name]) for name in ("write", "response", "id", "tag")),
            Cat(registers.bus_error_low, registers.bus_error_high).eq(about.address),
        ]

        still = Signal(32)
        over = Signal()
        told = Signal()
        stuck = Signal()
        m.d.core += [
            still.eq(Mux(found.moved | ~busy, 0, still + 1)),
            over.eq(registers.watchdog.any() & (still >= registers.watchdog)),
            told.eq(over),
        ]
        m.d.comb += stuck.eq(over & ~told)
        m.d.comb += self.freeze.eq(registers.counter_freeze)
        return stuck
