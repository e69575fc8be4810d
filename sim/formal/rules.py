"""The rules of streams and of AXI as circuits that watch: one component per protocol.

Each says, cycle by cycle, whether either side keeps its rules. What is proved of the unit on one side is what may be
assumed of the unit on the other.

Source: AMBA AXI and ACE Protocol Specification, ARM IHI 0022, and AMBA AXI4-Stream, ARM IHI 0051.
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.ports import INCR, axi_stream, lite, memory

PAGE = 4096
"""Bytes of a page, which no burst of AXI crosses the end of."""


class StreamRules(wiring.Component):
    """The rules of a stream: what is offered stays on offer, as it is, until it is taken.

    Parameters
    ----------
    bits : int
        Of the payload.

    Members
    -------
    valid, ready, payload : In
    giver : Out(1)
        Whether who offers keeps the rules.
    """

    def __init__(self, bits: int):
        super().__init__({"valid": In(1), "ready": In(1), "payload": In(bits), "giver": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """What was on offer and was not taken."""
        m = Module()
        waiting = Signal()
        offered = Signal.like(self.payload)
        m.d.sync += [waiting.eq(self.valid & ~self.ready), offered.eq(self.payload)]
        m.d.comb += self.giver.eq(~waiting | (self.valid & (self.payload == offered)))
        return m


class AxiStreamRules(wiring.Component):
    """The rules of AXI4-Stream: those of a stream, for data and last; and nothing is on offer after a reset.

    Parameters
    ----------
    bits : int
        Of the data.

    Members
    -------
    bus : In(AXI4-Stream)
        Both sides' signals.
    transmitter : Out(1)
        Whether the transmitter keeps the rules.
    """

    def __init__(self, bits: int):
        super().__init__({"bus": In(watched(axi_stream(bits))), "transmitter": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """A stream."""
        m = Module()
        quiet = after_reset(m)
        ok = channel(m, "t", self.bus, ("tdata", "tlast"))
        m.d.comb += self.transmitter.eq(ok & (~quiet | ~self.bus.tvalid))
        return m


class AxiLiteRules(wiring.Component):
    """The rules of AXI4-Lite: five streams; and no response but to a request, one for each.

    Parameters
    ----------
    address_bits : int
    most : int
        Requests of a kind that wait for a response, at most: what is more breaks the subordinate's rules, which must
        not take them.

    Members
    -------
    bus : In(AXI4-Lite)
        Both sides' signals.
    manager, subordinate : Out(1)
        Whether each keeps its rules.
    addresses, data, reads : Out
        Write addresses, write data and reads that were taken and not answered.
    """

    def __init__(self, address_bits: int, most: int):
        self.most = most
        members = {"bus": In(watched(lite(address_bits))), "manager": Out(1), "subordinate": Out(1)}
        super().__init__(members | dict.fromkeys(("addresses", "data", "reads"), Out(range(most + 2))))

    def elaborate(self, platform: object) -> Module:
        """The channels; what waits for a response."""
        m = Module()
        bus, quiet = self.bus, after_reset(m)
        asking = [channel(m, name, bus, fields) for name, fields in REQUESTS.items()]
        answering = [channel(m, "b", bus, ("bresp",)), channel(m, "r", bus, ("rdata", "rresp"))]
        for waiting, comes, goes in (
            (self.addresses, bus.awvalid & bus.awready, bus.bvalid & bus.bready),
            (self.data, bus.wvalid & bus.wready, bus.bvalid & bus.bready),
            (self.reads, bus.arvalid & bus.arready, bus.rvalid & bus.rready),
        ):
            m.d.sync += waiting.eq(waiting + comes - goes)
        due = [~bus.bvalid | (self.addresses.any() & self.data.any()), ~bus.rvalid | self.reads.any()]
        few = [waiting <= self.most for waiting in (self.addresses, self.data, self.reads)]
        m.d.comb += [
            self.manager.eq(Cat(*asking).all() & ~(quiet & (bus.awvalid | bus.wvalid | bus.arvalid))),
            self.subordinate.eq(Cat(*answering, *due, *few).all() & ~(quiet & (bus.bvalid | bus.rvalid))),
        ]
        return m


REQUESTS = {"aw": ("awaddr", "awprot"), "w": ("wdata", "wstrb"), "ar": ("araddr", "arprot")}
"""What a manager of AXI4-Lite says on each channel."""


class AxiReadRules(wiring.Component):
    """The rules of AXI4 for reads of one manager whose bursts increase: streams; bursts within a page, of beats as wide
    as the bus; of each ID as many beats as were asked for, and as many of them marked as last as there are bursts.

    Parameters
    ----------
    bus_bits, id_bits : int
    most : int
        Beats of an ID that are not answered, at most; more break the manager's rules.

    Members
    -------
    bus : In(AXI4)
        Both sides' signals.
    manager, subordinate : Out(1)
        Whether each keeps its rules.
    beats_<id>, bursts_<id> : Out
        What each ID is owed.
    """

    def __init__(self, bus_bits: int, id_bits: int, most: int):
        self.bus_bits, self.ids, self.most = bus_bits, 1 << id_bits, most
        owed = {f"{what}_{i}": Out(range(most + 258)) for what in ("beats", "bursts") for i in range(self.ids)}
        super().__init__(
            {"bus": In(watched(memory(bus_bits, id_bits))), "manager": Out(1), "subordinate": Out(1), **owed}
        )

    def elaborate(self, platform: object) -> Module:
        """Channels; bursts; what is owed."""
        m = Module()
        bus, quiet = self.bus, after_reset(m)
        asks, asked = channel(m, "ar", bus, burst_fields("ar")), bus.arvalid & bus.arready
        answers, comes = channel(m, "r", bus, ("rid", "rdata", "rresp", "rlast")), bus.rvalid & bus.rready
        few, due = [], []
        for i in range(self.ids):
            beats, bursts = getattr(self, f"beats_{i}"), getattr(self, f"bursts_{i}")
            here, mine = Signal(name=f"asked_{i}"), Signal(name=f"comes_{i}")
            m.d.comb += [here.eq(asked & (bus.arid == i)), mine.eq(comes & (bus.rid == i))]
            m.d.sync += beats.eq(beats + Mux(here, bus.arlen + 1, 0) - mine)
            m.d.sync += bursts.eq(bursts + here - (mine & bus.rlast))
            few.append(~here | (beats + bus.arlen < self.most))
            # The last of all beats ends the last of all bursts, and every burst that is owed still has a beat.
            ends = Mux(bus.rlast, (bursts != 1) | (beats == 1), beats > bursts)
            due.append(~(bus.rvalid & (bus.rid == i)) | (bursts.any() & beats.any() & ends))
        m.d.comb += [
            self.manager.eq(Cat(asks, within_page(bus, "ar", self.bus_bits), *few).all() & ~(quiet & bus.arvalid)),
            self.subordinate.eq(Cat(answers, *due).all() & ~(quiet & bus.rvalid)),
        ]
        return m


class AxiWriteRules(wiring.Component):
    """The rules of AXI4 for writes of one manager whose bursts increase, all of one ID: streams; bursts within a page,
    of beats as wide as the bus; a response to each burst, after its address and all of its data.

    That a burst has as many beats of data as its address says is not among them.

    Parameters
    ----------
    bus_bits, id_bits : int
    most : int
        Bursts that are not answered, at most; more break the manager's rules.

    Members
    -------
    bus : In(AXI4)
        Both sides' signals.
    manager, subordinate : Out(1)
        Whether each keeps its rules.
    asked, sent : Out
        Bursts of which the address, and all data, were taken, and that were not answered.
    """

    def __init__(self, bus_bits: int, id_bits: int, most: int):
        self.bus_bits, self.most = bus_bits, most
        members = {"bus": In(watched(memory(bus_bits, id_bits))), "manager": Out(1), "subordinate": Out(1)}
        super().__init__(members | dict.fromkeys(("asked", "sent"), Out(range(most + 2))))

    def elaborate(self, platform: object) -> Module:
        """Channels; bursts; what waits for a response."""
        m = Module()
        bus, quiet = self.bus, after_reset(m)
        ok = [channel(m, "aw", bus, burst_fields("aw")), channel(m, "w", bus, ("wdata", "wstrb", "wlast"))]
        answers = channel(m, "b", bus, ("bid", "bresp"))
        asks, ends, done = bus.awvalid & bus.awready, bus.wvalid & bus.wready & bus.wlast, bus.bvalid & bus.bready
        m.d.sync += [self.asked.eq(self.asked + asks - done), self.sent.eq(self.sent + ends - done)]
        few = [~asks | (self.asked < self.most), ~ends | (self.sent < self.most)]
        due = ~bus.bvalid | (self.asked.any() & self.sent.any())
        m.d.comb += [
            self.manager.eq(
                Cat(*ok, *few, within_page(bus, "aw", self.bus_bits)).all() & ~(quiet & (bus.awvalid | bus.wvalid))
            ),
            self.subordinate.eq(Cat(answers, due).all() & ~(quiet & bus.bvalid)),
        ]
        return m


def watched(signature: wiring.Signature) -> wiring.Signature:
    """All signals of an interface as its manager drives them, whoever does."""
    return wiring.Signature({name: Out(member.shape) for name, member in signature.members.items()})


def after_reset(m: Module) -> Signal:
    """Whether the cycle before was one of reset."""
    quiet = Signal(init=1, name="after_reset")
    m.d.sync += quiet.eq(0)
    return quiet


def channel(m: Module, name: str, bus: wiring.PureInterface, fields: tuple[str, ...]) -> Value:
    """Whether a channel keeps the rules of a stream."""
    payload = Cat(getattr(bus, field) for field in fields)
    m.submodules[f"channel_{name}"] = rules = StreamRules(len(payload))
    m.d.comb += [
        rules.valid.eq(getattr(bus, f"{name}valid")),
        rules.ready.eq(getattr(bus, f"{name}ready")),
        rules.payload.eq(payload),
    ]
    return rules.giver


def burst_fields(name: str) -> tuple[str, ...]:
    """What a channel of addresses says."""
    return tuple(f"{name}{field}" for field in ("id", "addr", "len", "size", "burst", "cache", "prot"))


def within_page(bus: wiring.PureInterface, name: str, bus_bits: int) -> Value:
    """Whether the burst on offer increases, is of beats as wide as the bus, begins at one, and ends in its page."""
    address, length = getattr(bus, f"{name}addr"), getattr(bus, f"{name}len")
    size, least = exact_log2(bus_bits // 8), bus_bits // 8
    begin = address[: exact_log2(PAGE)]
    shape = (getattr(bus, f"{name}burst") == INCR) & (getattr(bus, f"{name}size") == size)
    aligned = (begin & (least - 1)) == 0
    return ~getattr(bus, f"{name}valid") | (shape & aligned & (begin + ((length + 1) << size) <= PAGE))
