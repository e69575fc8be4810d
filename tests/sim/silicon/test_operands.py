import numpy as np
import pytest

from golden.frontend import FrontEndRules
from golden.quantize import gaussian_scale
from golden.voronoi import decode
from sim.silicon.operands import RAW_RMS, raw, workload

WORK = workload(150, cut=True)


def test_a_cut_workload_has_as_much_of_each_source():
    ends = np.flatnonzero(WORK.last())
    share = 150 // len(WORK.sources)
    assert {share * (i + 1) - 1 for i in range(len(WORK.sources))} <= set(ends) and WORK.blocks == ends[-1] + 1
    assert workload(150).blocks > WORK.blocks  # its last rows go on


@pytest.mark.parametrize("length", [8, 128])
def test_raw_rows_are_whole_segments_that_a_front_end_packs_well(length):
    rules = FrontEndRules(length=length)
    blocks, last = raw(WORK, rules)
    ends = np.flatnonzero(last) + 1
    assert not (ends * 8 % length).any() and (ends[-1], len(ends)) == (len(blocks), len(WORK.pairs))
    x, _ = WORK.pairs[0]
    row = blocks[: ends[0]].reshape(-1)[: len(x)]
    assert np.corrcoef(row, x)[0, 1] > 0.9999 and np.sqrt(np.square(row).mean()) == pytest.approx(RAW_RMS, rel=1e-3)
    # One scale suits all rows: the rotated words come back as well as q = 16 does, 23.7 dB.
    words = rules.rotate(blocks.reshape(1, -1))
    scale = rules.multiplier([RAW_RMS * gaussian_scale(rules.format, "first")])
    t = rules.scaled(words, scale)
    labels, index = rules.encode(t)
    betas = np.array(rules.format.betas)[index[0]]
    back = decode(labels[0], rules.format.q) * betas[:, None] * (1 << rules.fraction_bits)
    error = back.reshape(-1) - t[0]
    assert 10 * np.log10(np.square(t[0]).mean() / np.square(error).mean()) > 21
