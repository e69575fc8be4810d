"""Launch configurations of the GPU's kernels, and which of them is taken."""

import pytest

from golden.format import Format
from sim.kernels.launches import Launch, Wide, launch


def test_blocks_for_many_rows():
    """As few as keep 132 processors busy; one round of small ones that share tiles is better than two of large ones."""
    assert Wide.of(256, 512, 16, 132) == Wide(256, 2)
    assert Wide.of(1024, 512, 16, 132) == Wide(256, 1)
    assert Wide.of(256, 256, 8, 132) == Wide(128, 2)
    assert Wide.of(100, 1056, 3, 132) == Wide(128, 1)
    assert Wide(256, 2).grid(300, 9, 16, 132) == (2, 2, 2)


def test_where_blocks_share_tiles_and_where_not():
    assert Launch(8, 1, 4, 4).grid(1, 512, 16, 132) == (512, 1, 1)
    assert Launch(8, 1, 4, 4).grid(9, 20, 16, 132) == (20, 2, 3)
    assert Launch(64, 4, 8, 1).grid(64, 6, 4, 132) == (2, 1, 2)


def test_shared_memory_holds_two_stages_or_the_sums():
    """Of 16 rows of 64 blocks of 34 bits and, of each row of activations, 512 bytes and 64 more of padding."""
    assert Launch(8, 1, 4, 4).shared_bytes(Format(16), 3) == 2 * 4 * (16 * 64 * 34 // 8 + 3 * 576)
    assert Launch(64, 4, 8, 1).shared_bytes(Format(16), 64) == 2 * (8 * 4352 + 2 * 64 * 512)


@pytest.mark.parametrize("m, rows", [(1, 8), (8, 8), (9, 16), (17, 32), (64, 64), (65, 64)])
def test_the_kernel_for_a_number_of_rows(m, rows):
    for fmt, expected in ((Format(16), rows), (Format(64), min(8, 1 << (m - 1).bit_length()))):
        assert launch(fmt, m, 1, 1, 132, False).rows == launch(fmt, min(m, 64), 1, 1, 132, True).rows == expected
        assert isinstance(launch(fmt, m, 1, 1, 132, True), Wide) == (m > 64 and fmt.q == 16)
