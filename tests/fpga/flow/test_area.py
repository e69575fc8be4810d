"""Which units are measured."""

import pytest

from fpga.flow.area import OPTIONS, chosen, units
from golden.errors import GossetError


def test_units_are_chosen_by_the_shape_of_their_names():
    assert chosen(["tiny", "cell_q8"]) == ["cell_q8", "tiny"] and chosen([]) == list(units())
    assert chosen(["tiny_axi_*"]) == [f"tiny_axi_{name}" for name in OPTIONS]
    with pytest.raises(GossetError, match="No unit is called 'huge_\\*'; there are decoder_q16, "):
        chosen(["tiny", "huge_*"])
