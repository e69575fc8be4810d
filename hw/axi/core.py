"""What the two tops have in common: planner and engine, and the wires between them and the registers."""

from typing import Any, ClassVar

from amaranth import Cat, DomainRenamer, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.axi.control import Control
from hw.axi.map import along, counters, diagnosis_layout, front_end_layout, job_layout, register_map
from hw.axi.ports import lite
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import KEPT_ERROR, RAW_ERROR, Planner, errors, modes
from hw.engine.sequencer import Engine
from hw.registers import RegisterMap

REFUSALS = {
    "empty": "A job without rows, tiles or steps was refused.",
    "too_many_rows": "A job of more rows than panel_rows was refused.",
    "x_too_long": "A job whose activations do not fit their memory bank was refused.",
    "w_too_long": "A job whose tiles of weights do not fit their memory bank was refused.",
    "activations": "A job was refused whose kind of activations the design does not take.",
    RAW_ERROR: "A raw job was refused because no row of so many steps fits the front end: longer than it can measure, "
    "or no whole number of segments.",
    KEPT_ERROR: "A job was refused that adds to rows which were kept, or keeps its own: its rows times tiles are less "
    "than 4, or more than can be kept.",
}
"""What each of the planner's errors means."""


class Core(wiring.Component):
    """What a soft reset resets: planner, engine, and what brings their data.

    Parameters
    ----------
    design : DesignPoint
    members : dict
        Members beside these.

    Members
    -------
    job : In(stream of jobs)
    errors : Out
        Pulses.
    accepted, done : Out(1)
        Pulses: a job was found legal, was done.
    counters : Out
    halt : In(1)
    quiet : Out(1)
        See `Control`.
    front_end : In, of a design with a front end
    freeze : In(1), of a design with diagnostics whose jobs have addresses
        Counters stand still.
    diagnosis : Out, of the same
    """

    ERRORS: ClassVar[dict[str, str]]
    """Errors beside those of the planner, with their meaning."""

    FATAL: ClassVar[tuple[str, ...]] = ()
    """Those of them after which nothing goes on."""

    ADDRESSED: ClassVar[bool]
    """Whether jobs have addresses."""

    def __init__(self, design: DesignPoint, members: dict[str, wiring.Member]):
        self.design = design
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(design, self.ADDRESSED))),
                "errors": Out(data.StructLayout(dict.fromkeys(self.meanings(design), 1))),
                "accepted": Out(1),
                "done": Out(1),
                "counters": Out(data.StructLayout(dict.fromkeys(counters(design, self.ADDRESSED), COUNTER_BITS))),
                "halt": In(1),
                "quiet": Out(1),
                **({"front_end": In(front_end_layout())} if design.front_end else {}),
                **({"freeze": In(1), "diagnosis": Out(diagnosis_layout())} if self.observed(design) else {}),
                **members,
            }
        )

    @classmethod
    def meanings(cls, design: DesignPoint) -> dict[str, str]:
        """What each error means."""
        return {name: REFUSALS[name] for name in errors(design)} | cls.ERRORS

    @classmethod
    def observed(cls, design: DesignPoint) -> bool:
        """Whether it has diagnostics."""
        return design.diagnostics and cls.ADDRESSED

    def place(self, m: Module) -> tuple[Any, Engine]:
        """Adds planner and engine; returns the stream of plans, with what goes along as tag, and the engine."""
        raw = self.job.payload
        tags = along(self.design).members if self.ADDRESSED else {}
        m.submodules.planner = planner = Planner(self.design, tag_bits=along(self.design).size if tags else 0)
        m.submodules.engine = engine = Engine(self.design)
        wanted = planner.i.payload
        m.d.comb += [wanted[name].eq(raw[name]) for name in ("rows", "tiles", "steps", *modes(self.design))]
        if tags:
            m.d.comb += wanted.tag.eq(Cat(raw[name] for name in tags))
        m.d.comb += [planner.i.valid.eq(self.job.valid), self.job.ready.eq(planner.i.ready)]
        m.d.comb += [self.errors[name].eq(planner.errors[i]) for i, name in enumerate(errors(self.design))]
        m.d.comb += [self.counters[name].eq(getattr(engine, name)) for name in COUNTERS]
        m.d.comb += self.accepted.eq(planner.o.valid & planner.o.ready)
        return planner.o, engine


class Top(wiring.Component):
    """A core and its registers.

    Parameters
    ----------
    design : DesignPoint
    members : dict
        What the core has to do with the world.

    Members
    -------
    s_axi_ctrl : In(AXI4-Lite)
    irq : Out(1)
    core_reset : Out(1)
        Resets the clock domain `core`; out of a register, which a reset sets.
    accelerator_reset : Out(1), if jobs can be given up
        Resets the clock domain `accelerator`; the same.
    """

    KIND: ClassVar[str]
    """How its module's name ends."""

    CORE: ClassVar[Any]
    """The class of its core, made from a design point."""

    def __init__(self, design: DesignPoint, members: dict[str, wiring.Member]):
        self.design, self.core = design, self.CORE(design)
        self.map = self.registers(design)
        """The registers."""
        self._gives_up = "abort" in self.map.by_name
        resets = ("core_reset", *(["accelerator_reset"] if self._gives_up else []))
        members |= {name: Out(1, init=1) for name in resets}
        super().__init__({"s_axi_ctrl": In(lite(self.map.address_bits)), "irq": Out(1), **members})

    @classmethod
    def registers(cls, design: DesignPoint) -> RegisterMap:
        """The register map of a design."""
        core = cls.CORE
        return register_map(design, f"{design.module}_{cls.KIND}", core.meanings(design), addressed=core.ADDRESSED)

    def elaborate(self, platform: object) -> Module:
        """Registers and core."""
        m = Module()
        core = self.core
        m.submodules.control = control = Control(self.design, self.map, errors(self.design), core.FATAL)
        m.submodules.accelerator = DomainRenamer("accelerator" if self._gives_up else "core")(core)
        wiring.connect(m, wiring.flipped(self.s_axi_ctrl), control.s_axi_ctrl)
        wiring.connect(m, control.job, core.job)
        m.d.comb += [
            self.irq.eq(control.irq),
            self.core_reset.eq(control.core_reset),
            control.accepted.eq(core.accepted),
            control.done.eq(core.done),
            control.errors.eq(core.errors),
            control.counters.eq(core.counters),
            control.quiet.eq(core.quiet),
            core.halt.eq(control.halt),
        ]
        if self._gives_up:
            m.d.comb += self.accelerator_reset.eq(control.accelerator_reset)
        if "front_end" in core.signature.members:
            m.d.comb += core.front_end.eq(control.front_end)
        if core.observed(self.design):
            m.d.comb += [control.diagnosis.eq(core.diagnosis), core.freeze.eq(control.freeze)]
        return m
