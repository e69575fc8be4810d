"""What commands take of the hardware: a design."""

from typing import Annotated

import typer

Design = Annotated[
    str,
    typer.Option(
        "--design",
        "-d",
        help="A preset (tiny, small, medium, small_ws, silicon) or a TOML file of a design.",
    ),
]
"""The design of a command; `hw.design.DesignPoint.load` reads it."""
