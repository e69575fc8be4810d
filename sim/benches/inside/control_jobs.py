"""What becomes of jobs between the registers and whoever runs them, cycle by cycle, by the model that `hw.axi.backlog`,
`hw.axi.ring` and the queue of jobs are held to."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from golden.frontend import MANTISSA_BITS
from hw.axi.map import DESCRIPTOR_MARK, JOB_BITS, RING_BITS, SHAPE, along, descriptor_layout
from hw.axi.write import outstanding
from hw.design import DesignPoint
from hw.engine.planner import modes
from hw.registers import RegisterMap
from sim.benches.inside.control_registers import Pins
from sim.benches.inside.signals import Beat
from sim.benches.inside.words import Structure

NUMBERS, JOBS = 1 << RING_BITS, 1 << JOB_BITS
"""After which numbers of descriptors, and numbers of jobs, begin anew."""

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
