"""The rate of the UART; what it sends and hears is tried by the bench `uart` (`fpga/benches`)."""

import pytest

from fpga.baud import divisor
from golden.errors import GossetError


def test_a_rate_that_no_divisor_makes_is_refused():
    assert divisor(48e6, 3_000_000) == 16
    with pytest.raises(GossetError, match="cannot make 3000000 baud"):
        divisor(25e6, 3_000_000)
    with pytest.raises(GossetError, match="at least 4"):
        divisor(6e6, 3_000_000)
