"""The board: bytes of commands in, bytes of replies out; memory and accelerator behind."""

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from fpga.gateware.framing import LENGTH_BITS, Receiver, Sender
from fpga.gateware.memory import BoardMemory
from fpga.gateware.runner import Runner
from fpga.link import ARGUMENT_BYTES, FIRST, HEADER_BYTES, MAX_DATA, MAX_PAYLOAD, ORDERED, REPLY, Kind, Status
from fpga.memory import MemoryShape
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.values import register

ANSWER_BYTES = HEADER_BYTES + 1
"""Bytes of a reply before its data: the header and the status."""


class BoardCore(wiring.Component):
    """Answers commands, one after the other, as `fpga.link` states.

    Parameters
    ----------
    design : DesignPoint
        Without a front end.
    memory : MemoryShape
    identity : bytes
        What IDENTIFY gives: fewer than a frame carries.

    Members
    -------
    rx : In(stream of bytes, always ready), tx : Out(stream of bytes)
        The line.
    busy : Out(1)
        Whether a job runs.
    """

    def __init__(self, design: DesignPoint, memory: MemoryShape, identity: bytes):
        self.design, self.memory, self.identity = design, memory, identity
        super().__init__(
            {
                "rx": In(stream.Signature(8, always_ready=True)),
                "tx": Out(stream.Signature(8)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Header; arguments; what the command does; the reply."""
        m = Module()
        memory = self.memory
        m.submodules.receiver = receiver = Receiver()
        m.submodules.sender = sender = Sender()
        m.submodules.runner = runner = Runner(self.design, memory)
        m.submodules.memory = block = BoardMemory(memory)
        m.submodules.identity = rom = Memory(shape=8, depth=len(self.identity), init=self.identity)
        rom_read = rom.read_port()
        connect(m, flipped(self.rx), receiver.i)
        connect(m, sender.o, flipped(self.tx))

        header = Signal(data.StructLayout({"kind": 8, "sequence": 8, "length": LENGTH_BITS}), reset_less=True)
        # Bytes come in at the high end, and go out at the low end.
        arguments = Signal(8 * max(ARGUMENT_BYTES.values()), reset_less=True)
        word = Signal(memory.bits, reset_less=True)  # a word on its way to memory or from it
        expected = Signal(8)
        began = Signal()  # a RESET has come
        left = Signal(range(MAX_PAYLOAD + 1), reset_less=True)  # bytes of what is being taken or sent
        index = Signal(range(max(len(self.identity), memory.bytes, ANSWER_BYTES) + 1))
        status = Signal(Status, reset_less=True)
        detail = Signal(8, reset_less=True)
        damaged = Signal(Status)
        with m.If(receiver.fault != Status.OK):
            m.d.sync += damaged.eq(receiver.fault)

        # The address of READ and WRITE is the last of their arguments; so is that of a job's results.
        fields = {"rows": arguments[:16], "tiles": arguments[16:32], "steps": arguments[32:48], "int8": arguments[48]}
        runner_x, runner_w = arguments[64:96], arguments[96:128]
        count, address = arguments[-64:-32], arguments[-32:]
        inside = address[: memory.address_bits]
        last_byte = index == memory.bytes - 1
        # What is wrong with the arguments, in registers: what depends on it is everywhere.
        wrong_count = register(m, "wrong_count", ~count.any() | (count > MAX_DATA // memory.bytes))
        past_end = register(m, "past_end", inside + count[: MAX_DATA.bit_length()] > memory.words)
        outside = register(m, "outside", address[memory.address_bits :].any())
        operand_outside = register(
            m, "operand_outside", Cat(side[memory.address_bits :] for side in (runner_x, runner_w)).any()
        )
        m.d.comb += [
            *(runner.job[name].eq(value) for name, value in fields.items()),
            runner.x.eq(runner_x),
            runner.w.eq(runner_w),
            runner.y.eq(inside),
            runner.read_data.eq(block.read_data),
            block.read_address.eq(Mux(self.busy, runner.read_address, inside)),
            block.write_address.eq(Mux(self.busy, runner.write_address, inside)),
            block.write_data.eq(Mux(self.busy, runner.write_data, word)),
            rom_read.addr.eq(index),
        ]

        waited = Signal(BoardMemory.LATENCY, reset_less=True)
        m.d.sync += waited.eq(0)
        i, o = receiver.o, sender.i
        with m.FSM():
            with m.State("header"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid):
                    m.d.sync += [header.eq(Cat(header.as_value()[8:], i.payload)), index.eq(index + 1)]
                    with m.If(index == HEADER_BYTES - 1):
                        m.next = "check"
                with m.Elif((damaged != Status.OK) & ~index.any()):
                    m.d.sync += [header.kind.eq(Kind.DAMAGED), header.sequence.eq(0), damaged.eq(Status.OK)]
                    m.d.sync += [status.eq(damaged), detail.eq(0), left.eq(1)]
                    m.next = "answer"

            with m.State("check"):
                verdict = Signal(Status)
                m.d.comb += verdict.eq(Status.KIND)
                m.d.sync += [index.eq(0), detail.eq(expected), status.eq(verdict)]
                m.next = "judge"
                for kind in ARGUMENT_BYTES:
                    with m.If(header.kind == kind):
                        m.d.comb += verdict.eq(Status.OK)
                        if kind in ORDERED:
                            with m.If(header.sequence != expected):
                                m.d.comb += verdict.eq(Status.SEQUENCE)
                        if kind not in FIRST:
                            with m.If(~began):
                                m.d.comb += verdict.eq(Status.NEW)
                        with m.If(self._wrong_length(kind, header.length)):
                            m.d.comb += verdict.eq(Status.LENGTH)

            with m.State("judge"):
                m.d.sync += left.eq(header.length)
                m.next = "skip"
                with m.If(status == Status.OK):
                    m.next = "arguments"
                    with m.Switch(header.kind):
                        for kind, size in ARGUMENT_BYTES.items():
                            with m.Case(kind):
                                m.d.sync += left.eq(size)

            with m.State("skip"):
                m.d.comb += i.ready.eq(left.any())
                with m.If(~left.any()):
                    m.d.sync += left.eq(1)
                    m.next = "answer"
                with m.Elif(i.valid):
                    m.d.sync += left.eq(left - 1)

            with m.State("arguments"):
                m.d.comb += i.ready.eq(left.any())
                with m.If(~left.any()):
                    m.next = "act"
                with m.Elif(i.valid):
                    m.d.sync += [arguments.eq(Cat(arguments[8:], i.payload)), left.eq(left - 1)]

            with m.State("act"), m.Switch(header.kind):
                with m.Case(Kind.IDENTIFY):
                    m.d.sync += left.eq(len(self.identity))
                    m.next = "answer"
                with m.Case(Kind.RESET):
                    m.d.sync += [expected.eq(header.sequence + 1), began.eq(1)]
                    m.next = "answer"
                with m.Case(Kind.WRITE):
                    m.d.sync += left.eq(header.length - ARGUMENT_BYTES[Kind.WRITE])
                    m.next = "take"
                with m.Case(Kind.READ):
                    m.d.sync += left.eq(1)
                    m.next = "answer"
                    with m.If(wrong_count):
                        m.d.sync += status.eq(Status.LENGTH)
                    with m.Elif(outside | past_end):
                        m.d.sync += status.eq(Status.ADDRESS)
                    with m.Else():
                        m.d.sync += left.eq(count * memory.bytes)
                with m.Case(Kind.RUN):
                    with m.If(outside | operand_outside):
                        m.d.sync += [status.eq(Status.ADDRESS), left.eq(1)]
                        m.next = "answer"
                    with m.Else():
                        m.d.comb += runner.start.eq(1)
                        m.next = "run"

            with m.State("take"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid):
                    m.d.sync += [word.eq(Cat(word, i.payload)[8:]), left.eq(left - 1), index.eq(index + 1)]
                    with m.If(last_byte):
                        m.d.sync += index.eq(0)
                        m.next = "write"

            with m.State("write"):
                m.d.sync += address.eq(address + 1)
                with m.If(outside):
                    m.d.sync += status.eq(Status.ADDRESS)
                    m.next = "skip"
                with m.Else():
                    m.d.comb += block.write.eq(1)
                    with m.If(left.any()):
                        m.next = "take"
                    with m.Else():
                        m.d.sync += expected.eq(expected + 1)
                        m.next = "answer"

            with m.State("run"):
                m.d.comb += [self.busy.eq(1), block.write.eq(runner.write)]
                with m.If(runner.done):
                    m.d.sync += [arguments.eq(runner.counters), detail.eq(runner.refused), left.eq(1)]
                    with m.If(runner.refused.any()):
                        m.d.sync += status.eq(Status.REFUSED)
                    with m.Elif(runner.stuck):
                        m.d.sync += status.eq(Status.STUCK)
                    with m.Else():
                        m.d.sync += [left.eq(len(COUNTERS) * COUNTER_BITS // 8), expected.eq(expected + 1)]
                    m.next = "answer"

            with m.State("answer"):
                length = Signal(LENGTH_BITS)
                m.d.comb += [
                    length.eq(left + 1),
                    o.valid.eq(1),
                    o.payload.last.eq((index == HEADER_BYTES) & ~left.any()),
                ]
                with m.Switch(index):
                    for at, byte in enumerate((header.kind | REPLY, header.sequence, length[:8], length[8:], status)):
                        with m.Case(at):
                            m.d.comb += o.payload.data.eq(byte)
                with m.If(o.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == HEADER_BYTES):
                        m.d.sync += index.eq(0)
                        m.next = "fetch"
                        with m.If(~left.any()):
                            m.next = "header"

            with m.State("fetch"):  # a word out of memory, or a byte out of the identity
                m.d.sync += waited.eq(Cat(C(1, 1), waited))
                m.d.sync += word.eq(Mux(header.kind == Kind.IDENTIFY, rom_read.data, block.read_data))
                with m.If(waited.all()):
                    m.next = "send"

            with m.State("send"):
                m.d.comb += [o.valid.eq(1), o.payload.last.eq(left == 1), o.payload.data.eq(detail)]
                with m.If(status == Status.OK), m.Switch(header.kind):
                    with m.Case(Kind.IDENTIFY, Kind.READ):
                        m.d.comb += o.payload.data.eq(word)
                    with m.Case(Kind.RUN):
                        m.d.comb += o.payload.data.eq(arguments)
                with m.If(o.ready):
                    m.d.sync += [left.eq(left - 1), index.eq(index + 1), word.eq(word >> 8)]
                    with m.If(header.kind == Kind.RUN):
                        m.d.sync += arguments.eq(arguments >> 8)
                    with m.If(header.kind == Kind.IDENTIFY):
                        m.next = "fetch"
                    with m.If((header.kind == Kind.READ) & last_byte):
                        m.d.sync += [index.eq(0), address.eq(address + 1)]
                        m.next = "fetch"
                    with m.If(left == 1):
                        m.d.sync += index.eq(0)
                        m.next = "header"
        return m

    def _wrong_length(self, kind: Kind, length: Value) -> Value:
        """Whether a command cannot have a payload of that many bytes."""
        size = ARGUMENT_BYTES[kind]
        if kind != Kind.WRITE:
            return length != size
        words = length - size
        return (length <= size) | (words > MAX_DATA) | words[: exact_log2(self.memory.bytes)].any()
