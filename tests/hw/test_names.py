import pytest
from pygments.lexers import SystemVerilogLexer
from pygments.token import Token

from golden.errors import GossetError
from golden.format import Format
from hw.design import PRESETS, DesignPoint
from hw.names import KEYWORDS, LONGEST, check_name

REFUSED = [
    "größe",
    "β",
    "１",
    "ａ",
    "x²",
    "naïve",
    "",
    " ",
    "a b",
    "a-b",
    "a.b",
    "a/b",
    "../a",
    "a\n",
    "a\0",
    "1a",
    "$a",
]
REFUSED += ["_a", "a_", "a__b", "a" * (LONGEST + 1)]
REFUSED += ["module", "endmodule", "logic", "Wire", "CON", "con", "Aux", "nul", "COM1", "lpt9"]
REFUSED += ["tiny_axi", "x_AXIS", "tiny_axi_registers"]


@pytest.mark.parametrize("name", [*REFUSED, None, 3, b"tiny", ["tiny"], True])
def test_names_that_cannot_be_are_refused(name):
    with pytest.raises(GossetError, match=r"The name of a design .*\.$"):
        DesignPoint.from_dict({"name": name, "rows": 1, "cols": 1})


GOOD = [*PRESETS, "axi", "Tiny2", "decoder_q16_beta3_4_5_7", "modules", "con1", "a" * LONGEST]


@pytest.mark.parametrize("name", GOOD)
def test_other_names_can_be(name):
    check_name(name)


def test_a_name_that_is_too_long_is_not_shown():
    with pytest.raises(GossetError) as told:
        check_name("a" * 100_000)
    assert len(str(told.value)) < 300


def test_designs_for_other_formats_have_names_too():
    for preset in PRESETS.values():
        check_name(preset.with_format(Format(64)).name)


def test_keywords_are_those_of_the_standard():
    """Another list of them: that of the highlighter of source texts."""
    lexer = SystemVerilogLexer()

    def keyword(word):
        kind = next(iter(lexer.get_tokens(f"{word} x")))[0]
        return kind in Token.Keyword or kind in Token.Operator.Word

    assert len(KEYWORDS) == 248 - 3
    assert [word for word in sorted(KEYWORDS) if not keyword(word)] == []
