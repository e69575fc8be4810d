"""Claims on decoders: hw.codec.decoder against golden.lattice and golden.voronoi."""

from functools import partial
from typing import Any

from amaranth import Cat, Mux, Value

from golden.format import Format
from golden.lattice import DIM, INFORMATION, REDUNDANT, codeword, minimal_vectors
from golden.voronoi import RATES, decode_lanes, encode_lanes, label_dtype
from hw.array.cell import tree
from hw.codec.decoder import Decoder
from hw.generate import generate
from sim.formal.claim import Bug, Claim
from sim.formal.exhaustion import Exhaustion
from sim.formal.harness import Harness, lanes
from sim.formal.methods import Pauses, Window

STAGES = {"deep": Decoder.ALL, "lean": Decoder.STAGES["lean"], "two": (3, 6)}
"""The pipelines that are looked at: an FPGA's, standard cells', and one between."""

LEAST = (2, 4, 8, 16)
"""The q whose labels are so few that each can be tried."""

BOUNDED = (2, 4, 8, 16)
"""The q for which a solver sees within minutes that the energy is bounded."""

TIE = Bug(
    "of two equally cheap pairs the upper one is turned over",
    "turn_even_1 < turn_even_0",
    "turn_even_1 <= turn_even_0",
)

DEAR = Bug("the dearer of two pairs is turned over", "turn_even_1 < turn_even_0", "turn_even_1 > turn_even_0")

HOLD = Bug("a register moves on while all others wait", r"= advance \? (.*) : y_3;", r"= \1;")


def equal_to_golden(format: Format, stages: tuple[int, ...], h: Harness) -> None:
    """Every label through golden's decoder and through the generated one."""
    dut = h.place(Decoder(format, stages=stages), o_ready=1)
    expected: list[Any] = decode_lanes(h.golden(dut.i_label, label_dtype(format.q)), format.q)
    y = lanes(dut.o_y, format.point_bits)
    later = [h.past(lane.value, len(stages)) for lane in expected]
    h.prove("y is golden's", Cat(a == b for a, b in zip(y, later, strict=True)).all())
    h.prove("β is the label's", h.past(dut.i_beta, len(stages)) == dut.o_beta)
    h.prove("valid comes with it", h.past(dut.i_valid, len(stages)) == dut.o_valid)
    h.cover("a coordinate is −q", Cat(lane == -format.q for lane in y).any())


def least(format: Format, h: Harness) -> None:
    """The coset by golden's encoder; the energy by the minimal vectors, which are the facets of the Voronoi cell."""
    dut = h.place(Decoder(format, stages=(Decoder.LATENCY,)), o_ready=1)
    y = lanes(dut.o_y, format.point_bits)
    label: Any = encode_lanes([h.golden(lane, "i1") for lane in y], format.q)
    bits = [lane[0] for lane in y]
    word = codeword([bits[i] for i in INFORMATION])
    h.prove("y is a point of Λ", Cat(word[i] == bits[i] for i in REDUNDANT).all())
    h.prove("y is in the label's coset", h.past(dut.i_label) == label.value)
    size = [h.wire(Mux(lane < 0, -lane, lane)[: format.point_bits], "size") for lane in y]
    vectors = minimal_vectors()
    # Over the signs of a vector, all of which occur, ⟨y, v⟩ is greatest where it is Σ |yᵢ|·|vᵢ|.
    for support in sorted({tuple(abs(v).tolist()) for v in vectors}):
        assert sum((abs(vectors) == support).all(axis=1)) == 2 ** sum(map(bool, support))
        total: Value = sum((size[i] << (support[i] - 1) for i in range(DIM) if support[i]), Value.cast(0))
        h.prove(f"⟨y, v⟩ ≤ 2q for v = {support} with any signs", total <= 2 * format.q)
    h.cover("a facet is touched", size[0] + size[1] + size[2] + size[3] == 2 * format.q)


def bounded(format: Format, h: Harness) -> None:
    """The energy of what comes out."""
    dut = h.place(Decoder(format, stages=(Decoder.LATENCY,)), o_ready=1)
    norm = h.wire(tree([lane * lane for lane in lanes(dut.o_y, format.point_bits)]))
    h.prove("‖y‖² ≤ 2q²", norm <= format.norm_bound)
    h.cover("‖y‖² = 2q²", norm == format.norm_bound)


def pauses(format: Format, stages: tuple[int, ...], h: Harness) -> None:
    """The decoder whose consumer may stop it, beside one whose consumer does not."""
    unit = generate(Decoder(format, stages=stages), "decoder")
    dut = h.place(unit)
    free = h.place(unit, "free", i_label=dut.i_label, i_beta=dut.i_beta, i_valid=dut.i_valid, o_ready=1)
    h.prove("it takes a block when it moves, and only then", dut.i_ready == (dut.o_ready | ~dut.o_valid))
    for port in ("o_valid", "o_y", "o_beta"):
        h.prove(f"{port} does not depend on o_ready", getattr(dut, port) == getattr(free, port))
    h.cover("stopped with a block in every stage", ~dut.i_ready)
    h.cover("moving without a consumer", dut.i_ready & ~dut.o_ready)


def claims() -> list[Claim]:
    """All of them."""
    found = []
    for q in RATES:
        fmt = Format(q)
        for name, stages in STAGES.items():
            what = f"The decoder of q = {q} ({name}: registers after steps {', '.join(map(str, stages))})"
            equal = (
                f"{what} turns each of the 2^{fmt.label_bits} labels into golden's point, ties included, and passes β "
                "and valid on."
            )
            stopped = (
                f"{what} keeps every register when it is stopped, and else goes on as with a consumer that is always "
                "ready; it is stopped exactly when a block waits at its end: none is lost, doubled or reordered."
            )
            build = partial(equal_to_golden, fmt, stages)
            found.append(Claim(f"decoder_q{q}_{name}", equal, build, Window(len(stages)), TIE))
            build = partial(pauses, fmt, stages)
            found.append(Claim(f"decoder_q{q}_{name}_pauses", stopped, build, Pauses("dut_i_ready"), HOLD))
    for q in LEAST:
        fmt = Format(q)
        sentence = (
            f"For each of the 2^{fmt.label_bits} labels of q = {q} the decoder's point is in the label's coset, and no "
            "member of the coset has less energy: ⟨y, v⟩ ≤ 2q for all 240 minimal vectors v, which are the facets of "
            "the Voronoi cell of Λ."
        )
        found.append(Claim(f"decoder_q{q}_least", sentence, partial(least, fmt), Exhaustion(1), DEAR))
    for q in BOUNDED:
        sentence = f"What the decoder of q = {q} gives has ‖y‖² ≤ 2q² = {Format(q).norm_bound}, for every label."
        found.append(Claim(f"decoder_q{q}_norm", sentence, partial(bounded, Format(q)), Window(1), DEAR))
    return found
