import random
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from amaranth import Const, Signal

import hw.units
from golden.format import Format
from hw.design import DesignPoint
from hw.generate import generate_axi
from sim.benches.catalogue import BENCHES, SMALL
from sim.benches.inside.axi_common import AxiBench
from sim.benches.runner import run_bench
from sim.designs import covering, equipped

# A bus that words and rows do not fit: partial beats, several words per beat; and the other dataflow.
WIDE = DesignPoint(
    name="wide",
    rows=2,
    cols=2,
    panel_rows=6,
    x_depth=32,
    format=Format(8),
    dataflow="ws",
    activations=("packed", "int8"),
    bus_bits=128,
)


def unreset_at_random(design: DesignPoint) -> str:
    """The Verilog of a memory port, in which registers that no reset reaches begin as anything, as on a chip."""
    rng, begin = random.Random(2718), Signal.__init__

    def anything(self: Signal, *args: object, **options: object) -> None:
        begin(self, *args, **options)  # type: ignore[arg-type]
        if self.reset_less:
            self._init = Const(rng.getrandbits(len(self)), self.shape()).value

    with mock.patch.object(Signal, "__init__", anything), mock.patch.dict(hw.units._kept, clear=True):
        return generate_axi.__wrapped__(design, "axi").verilog


def test_a_wide_bus_passes() -> None:
    only = "(random_jobs|large_jobs|errors/side=write)/stall=random|illegal"
    result = run_bench("axi_memory", WIDE, blocks=6, only=only, verilog=unreset_at_random(WIDE))
    assert result.ok, str(result)
    assert result.passed == 4 and result.checked > 500


def test_all_that_a_port_can_have_passes() -> None:
    design = replace(equipped(SMALL), address_bits=40)
    only = "(random_jobs|long_products|reset_midway|bus_errors/side=read)/stall=random|watchdog/channel=r|codes"
    result = run_bench("axi_memory", design, blocks=4, only=only, verilog=unreset_at_random(design))
    assert result.ok, str(result)
    assert result.passed == 7 and result.checked > 100


@pytest.mark.parametrize(
    ("name", "only", "pattern", "replacement", "message"),
    [
        # A burst that begins beside a multiple of its length is as long as if it began there.
        ("axi_memory", "random_jobs/stall=never", r"(= \w+) - offset;", r"\1;", "crosses 4 KiB"),
        # A soft reset does not wait for responses to writes.
        (
            "axi_memory",
            "soft_reset_waits/channel=b",
            r"assign quiet = (\S+)\s+& .*;",
            r"assign quiet = \1 ;",
            "in reset while|withdrew valid",
        ),
        # The rest of a packet that is too long stays.
        (
            "axi_stream",
            "soft_reset_midway/stall=never",
            r"tready(\S*) = (.*) \| core_reset;",
            r"tready\1 = \2;",
            "were not dropped",
        ),
    ],
    ids=["boundary", "quiet", "drop"],
)
def test_planted_bug_is_found(name: str, only: str, pattern: str, replacement: str, message: str) -> None:
    sound = BENCHES[name].generate(SMALL).verilog
    text = re.sub(pattern, replacement, sound)
    assert text != sound
    result = run_bench(name, SMALL, blocks=4, only=only, verilog=text)
    assert result.failed
    assert any(re.search(message, failure.message) for failure in result.failures), str(result)
    assert result.folder is not None
    shutil.rmtree(result.folder)


@pytest.mark.parametrize("large", [False, True])
def test_the_jobs_of_any_design_fit_it(large: bool) -> None:
    """Also where int8 rows of a whole panel do not fit a bank."""
    full = 0
    for point in covering(2718):
        bench = SimpleNamespace(design=point, rng=np.random.default_rng(0), expected=lambda job: job)
        for _ in range(4):
            job = AxiBench.random_job(bench, large=large)  # type: ignore[arg-type]
            assert len(job.parts) == 1
            full += point.panel_rows * 2 > point.x_depth
    assert full
