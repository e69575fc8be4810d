"""The memories of words: what a word is, two banks of them, and how rows of blocks fill one."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory, WritePort
from amaranth.lib.wiring import In, Out

from hw.design import DesignPoint

READING = 2
"""Cycles from an address to the word in a register: block memories are slow."""


def x_lane(design: DesignPoint) -> data.StructLayout:
    """A lane of a word of activations: `label`, a label or one digit each (4 bits) of eight int8, in the low bits of as
    many as the longer of the two has, zeros above; and the label's `beta`, if the format has several."""
    return _lane(design.x_lane_bits, design.x_beta_bits)


def w_lane(design: DesignPoint) -> data.StructLayout:
    """A lane of a word of weights: `label`, and its `beta` if the format has several."""
    return _lane(design.format.label_bits, design.format.beta_bits)


def _lane(label_bits: int, beta_bits: int) -> data.StructLayout:
    return data.StructLayout({"label": label_bits} | ({"beta": beta_bits} if beta_bits else {}))


def x_word(design: DesignPoint) -> data.StructLayout:
    """A word of activations: the `labels` and `betas` of a lane for each row of cells."""
    return _word(x_lane(design), design.rows)


def w_word(design: DesignPoint) -> data.StructLayout:
    """A word of weights: the `labels` and `betas` of a lane for each column."""
    return _word(w_lane(design), design.cols)


def _word(lane: data.StructLayout, count: int) -> data.StructLayout:
    return data.StructLayout({f"{name}s": data.ArrayLayout(shape, count) for name, shape in lane.members.items()})


class Turns(wiring.Component):
    """Which of two banks is filled, and which is read: each in turn, and never one that is both.

    Members
    -------
    wanted : In(1)
        There will be something to fill a bank with in the next cycle.
    filled, done : In(1)
        The bank is full from the next cycle on; it is free from the next cycle on.
    filling, reading : Out(1)
        A bank may be written; one is there to be read.
    free : Out(1)
        A bank may be written if it is wanted: what `filling` says to the memory, for those who decide.
    bank_in, bank_out : Out(1)
        Which one.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "wanted": In(1),
                "filled": In(1),
                "done": In(1),
                "filling": Out(1),
                "reading": Out(1),
                "free": Out(1),
                "bank_in": Out(1),
                "bank_out": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """How many are full; whose turn it is."""
        m = Module()
        both = Signal()
        both_next = Signal()
        m.d.comb += [both_next.eq((both | (self.reading & self.filled)) & ~self.done), self.free.eq(~both)]
        m.d.sync += [
            both.eq(both_next),
            self.reading.eq(both | self.filled | (self.reading & ~self.done)),
            self.filling.eq(self.wanted & ~both_next),
            self.bank_in.eq(self.bank_in ^ self.filled),
            self.bank_out.eq(self.bank_out ^ self.done),
        ]
        return m


def banks(
    m: Module,
    name: str,
    lane: data.StructLayout,
    words: stream.Interface,
    turns: Turns,
    filling: Value,
    write_to: Value,
    read_from: Value,
    depth: int,
    *,
    by_lane: bool,
) -> tuple[data.View, WritePort]:
    """Two banks of words, written from a stream while `filling`.

    Returns what they read, `READING` cycles after the address, and the port that they are written through, lanes side
    by side, with an enable per lane if `by_lane`.
    """
    lanes = len(words.payload.labels)
    m.submodules[f"memory_{name}"] = memory = Memory(shape=data.ArrayLayout(lane, lanes), depth=2 * depth, init=[])
    each = 1 if by_lane else lanes
    write, read = memory.write_port(granularity=each), memory.read_port()
    m.d.comb += [
        words.ready.eq(filling),
        write.en.eq((filling & words.valid).replicate(lanes // each)),
        write.addr.eq(Cat(write_to, turns.bank_in)),
        read.addr.eq(Cat(read_from, turns.bank_out)),
        # As written here, it is plain to see that no word is read while it is written: tools need not provide for that.
        read.en.eq((turns.bank_in != turns.bank_out) | ~turns.filling),
    ]
    data_ = Signal(words.payload.shape(), name=f"{name}_data", reset_less=True)
    for i in range(lanes):
        m.d.comb += [write.data[i][field].eq(words.payload[f"{field}s"][i]) for field in lane.members]
        m.d.sync += [data_[f"{field}s"][i].eq(read.data[i][field]) for field in lane.members]
    return data_, write


def fill_by_block(
    m: Module,
    design: DesignPoint,
    blocks: stream.Interface,
    job: data.View,
    index: Signal,
    write: WritePort,
    filling: Value,
    *,
    whole: bool = False,
) -> Value:
    """Fills a bank of the activations' memory with the blocks of rows, each into its lane of its word.

    Rows fill the lanes of a row tile one after the other (output-stationary); or the blocks of a row fill the lanes
    of a word, and the words of a slice lie side by side (weight-stationary): after a row's last block the lanes that
    are left of its last word are filled with zeros. So are those of rows that the last row tile lacks, if it is to be
    `whole`.

    Returns a pulse when the bank is full: after as many rows as the job says, all of which have its steps.
    """
    block = blocks.payload
    filled = Signal(name="filled_by_block")
    lane = Signal(range(design.rows))
    rows = Signal(job.rows.shape())
    base = Signal.like(index)
    taken = Signal()
    last_lane = lane == design.rows - 1
    m.d.comb += [blocks.ready.eq(filling), taken.eq(filling & blocks.valid)]
    row_ends = block.last if design.dataflow == "ws" else (lane == 0) if whole else Const(0, 1)
    with m.If(taken):
        for i, place in enumerate(write.data):
            here = lane == i
            m.d.comb += [place[field].eq(Mux(here | ~row_ends, block[field], 0)) for field in place.shape().members]
            m.d.comb += write.en[i].eq(here | ((lane < i) & row_ends) if i else here)
    with m.If(taken):
        if design.dataflow == "os":
            m.d.sync += index.eq(index + 1)
        else:
            m.d.sync += lane.eq(Mux(last_lane, 0, lane + 1))
            with m.If(last_lane):
                m.d.sync += index.eq(index + job.rows)
    with m.If(taken & block.last):
        m.d.comb += filled.eq(rows + 1 == job.rows)
        m.d.sync += rows.eq(rows + 1)
        if design.dataflow == "os":
            m.d.sync += lane.eq(Mux(last_lane, 0, lane + 1))
            with m.If(last_lane):
                m.d.sync += base.eq(index + 1)
            with m.Else():
                m.d.sync += index.eq(base)
        else:
            m.d.sync += [lane.eq(0), index.eq(rows + 1)]
        with m.If(filled):
            m.d.sync += [rows.eq(0), lane.eq(0), base.eq(0), index.eq(0)]
    return filled
