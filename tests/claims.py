"""Claims whose proofs take long, looked at without a solver."""

from collections.abc import Iterable

from sim.formal.claim import Claim
from sim.formal.harness import Harness
from sim.formal.model import planted


def on_the_hardware(claims: Iterable[Claim]) -> None:
    """Asserts that claims speak of the hardware as it is: their wires are there by name, and so is the place of their
    bug."""
    for claim in claims:
        harness = Harness()
        claim.build(harness)
        assert harness.proved and claim.method.model(harness, harness.verilog).registers
        assert planted(harness.verilog, claim.bug.pattern, claim.bug.replacement) != harness.verilog
