"""The command line: puts the rooms' commands together, and turns what goes wrong into a sentence and an exit code."""

import typer

import fpga.cli
import golden.cli
import sim.cli
import sim.compare.cli
import sim.encoder.cli
import sim.formal.cli
import sim.mutate.cli
import sim.networks.cli
import sim.silicon.cli
import sim.soak.cli
import sim.studies.cli
from golden.exits import ending

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A matrix-multiply accelerator whose operands stay E8-lattice-packed until the last register: "
    "generate its Verilog, simulate it, and compare it with what you use today.\n\n"
    "Start with **gosset sim**: it generates a small accelerator, proves it equal to the golden model and reads "
    "handwritten digits on it.",
)
board_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Computes on a board, over its serial line; or on a simulated one, over the same protocol.\n\n"
    "Start with **gosset board list**; **gosset board simulate** makes a port where there is no board.",
)

PANELS = {
    "Describe and generate": (sim.cli.generate,),
    "Verify": (
        sim.cli.sim,
        fpga.cli.with_board(sim.cli.bench),
        sim.cli.waves,
        sim.encoder.cli.encoder,
        fpga.cli.with_board(sim.formal.cli.formal),
        fpga.cli.with_board(sim.mutate.cli.mutate),
        sim.soak.cli.soak,
    ),
    "Pack and multiply": (sim.networks.cli.quantize, golden.cli.info, golden.cli.fit, sim.cli.matmul),
    "Measure": (sim.cli.cycles, sim.cli.workload, fpga.cli.area, sim.silicon.cli.silicon, sim.silicon.cli.energy),
    "Compare": (sim.compare.cli.compare, sim.networks.cli.run, sim.networks.cli.quality),
    "Build for a board": (fpga.cli.fpga, fpga.cli.litex),
}
"""The commands by what a person wants to do, in the order in which a newcomer needs them."""

for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(board_app, name="board", rich_help_panel="Build for a board")
app.add_typer(sim.studies.cli.explore_app, name="explore", rich_help_panel="Measure")
board_app.command("list")(fpga.cli.list_ports)
board_app.command()(fpga.cli.identify)
board_app.command()(fpga.cli.run)
board_app.command()(fpga.cli.network)
board_app.command("bench")(fpga.cli.bench_board)
board_app.command()(fpga.cli.simulate)


def main() -> None:
    """Runs the command line; `golden.exits` says how it ends."""
    ending("gosset", app)


if __name__ == "__main__":
    main()
