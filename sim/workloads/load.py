"""A workload, by name or from a file."""

from collections.abc import Mapping
from pathlib import Path

from golden.errors import GossetError
from sim.workloads.builtin import NAMES, builtin
from sim.workloads.language import Request, read_config
from sim.workloads.layers import Workload
from sim.workloads.table import read_table


def load(source: str, request: Request | None = None, dims: Mapping[str, int] | None = None) -> Workload:
    """The workload of a built-in name, an ONNX file (.onnx), a `config.json` (.json) or a table (.toml).

    Parameters
    ----------
    source : str
    request : Request, optional
        How a language model is run; a file of shapes has them in it.
    dims : mapping, optional
        Sizes of the dynamic dimensions of an ONNX file.

    Raises
    ------
    GossetError
        If there is no such workload, it cannot be read, or it does not take what is asked for.
    """
    asked, path = request or Request(), Path(source)
    given = [name for name in ("phase", "batch", "context") if getattr(asked, name) != getattr(Request(), name)]
    takes = {"digits": ("batch",), ".onnx": (), ".toml": ()}.get(source if source in NAMES else path.suffix)
    if takes is not None and (wrong := [name for name in given if name not in takes]):
        raise GossetError(f"{source} has no {wrong[0]} to choose: leave it out.")
    if dims and path.suffix != ".onnx":
        raise GossetError(f"{source} has no dynamic dimensions: they are for ONNX files.")
    if source in NAMES:
        return builtin(source, asked)
    if path.suffix == ".onnx":
        from sim.workloads.graph import read_graph

        return read_graph(path, dims or {})
    if path.suffix == ".json":
        return read_config(path, asked)
    if path.suffix == ".toml":
        return read_table(path)
    raise GossetError(
        f"No workload is called {source!r}; give {', '.join(NAMES)}, or the path of an .onnx, .json or .toml file."
    )
