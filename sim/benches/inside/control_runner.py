"""Whoever runs the jobs that registers and rings tell of, at any pace, and with any errors."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sim.benches.inside.control_model import ControlModel
from sim.benches.inside.signals import noise

FAILS, LOSES = 0.003, 0.02
"""How likely it is that a cycle with a job, or a beat of a descriptor, brings an error of the bus."""

REFUSES_LATE, LOSES_ANEW = 0.8, 0.3
"""How likely it is that a job is refused while another is withdrawn, and that the descriptor that is read first once it
has been is lost."""

PACES = (0.005, 0.02, 0.1, 0.5)
"""How likely it is in a cycle that something goes on with jobs."""


class Jobs:
    """Whoever takes jobs: refuses some, ends the others in their order, reads descriptors, and fails now and then.

    Parameters
    ----------
    model : ControlModel
        Of what gives jobs to it.
    errors : sequence of str
        What it may tell of.
    beats : int
        Of a descriptor.
    next_beat : callable
        Gives the next one.
    rng : np.random.Generator
    calm : bool
        Whether the bus brings no errors.
    """

    def __init__(
        self,
        model: ControlModel,
        errors: Sequence[str],
        beats: int,
        next_beat: Callable[[], int],
        rng: np.random.Generator,
        *,
        calm: bool,
    ):
        self.model, self.errors, self.beats, self.next_beat = model, errors, beats, next_beat
        self.rng, self.calm = rng, calm
        self.paces = dict.fromkeys(("decides", "ends", "comes"), PACES[-1])
        self.refuses, self.changes = 0.3, True
        """How likely it is that a job is refused; whether paces change by themselves."""
        self.taken, self.running, self.stopped = 0, 0, False
        self.fetched = deque[int]()
        """Beats that are to come, of each descriptor that was asked for."""
        self.words = deque[int]()
        """Beats that came."""
        self.anew = False
        """Whether no descriptor has come since a job was withdrawn."""
        self.forget()

    def forget(self) -> None:
        """After a reset there is nothing left."""
        self.taken, self.running, self.stopped = 0, 0, False
        self.fetched.clear()
        self.words.clear()

    def keep(self, *, ends: float, refuses: float) -> None:
        """Has jobs end at a pace, and be refused so often, from now on."""
        self.refuses, self.changes = refuses, False
        self.paces |= {"decides": PACES[-1], "ends": ends, "comes": PACES[-1]}

    def see(self, seen: dict[str, Any]) -> None:
        """What happened in the cycle that ends."""
        if seen["core_reset"] or seen.get("accelerator_reset"):
            self.forget()
            self.anew = not seen["core_reset"]
            return
        self.stopped = bool(seen["halt"] and (seen["quiet"] or self.stopped))
        if seen["job"] and seen["job_ready"]:
            self.taken += 1
        if seen.get("fetch") and seen["fetch_ready"]:
            self.fetched.append(self.beats)
        if seen.get("words_valid") and seen["words_ready"]:
            self.words.popleft()

    def drive(self) -> dict[str, Any]:
        """What comes in the next cycle."""
        rng, calm, fatal = self.rng, self.calm, self.model.fatal
        chance = rng.random(6)
        if chance[0] < 0.02 and self.changes:
            self.paces[str(rng.choice(list(self.paces)))] = float(rng.choice(PACES))
        decides, ends, comes = (rng.random() < pace for pace in self.paces.values())
        failing = dict.fromkeys(self.errors, 0)
        pins: dict[str, Any] = {"errors": failing, "accepted": 0, "done": 0, "came": 0, "lost": 0}
        if self.taken and decides:
            self.taken -= 1
            if chance[1] < (REFUSES_LATE if self.model.phase == "withdraw" else self.refuses):
                for _ in range(1 + (chance[2] < 0.3)):
                    failing[str(rng.choice(self.model.refusals))] = 1
            else:
                pins["accepted"], self.running = 1, self.running + 1
        if not self.stopped:  # else nothing is under way on the bus
            if self.running > pins["accepted"] and ends:
                pins["done"], self.running = 1, self.running - 1
            if self.fetched and comes:
                self.fetched[0] -= 1
                self.words.append(self.next_beat())
                lost = chance[3] < (LOSES_ANEW if self.anew else LOSES) and not calm
                pins["came"], pins["lost"] = int(not self.fetched[0]), int(lost)
                if pins["came"]:
                    self.fetched.popleft()
                    self.anew = False
                failing["read_error"] = pins["lost"]
            if chance[4] < FAILS and not calm and (self.running or self.taken):
                failing[str(rng.choice(fatal))] = 1
        moves = pins["done"] or pins["came"] or any(failing[name] for name in fatal)
        pins["quiet"] = int(self.stopped or (chance[5] < 0.2 and not moves))
        pins["job_ready"] = int(not self.taken and rng.random() < 0.5)
        pins["fetch_ready"] = int(rng.random() < 0.5)
        pins["words_valid"], pins["words_payload"] = 0, noise(8, rng)
        if self.words and rng.random() < 0.7:
            pins["words_valid"], pins["words_payload"] = 1, self.words[0]
        return pins
