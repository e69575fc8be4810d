"""What the commands of all rooms share: the console, progress bars, and arrays into files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

console = Console()


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar for one stage of a job."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=total)
        yield lambda steps: bar.advance(task, steps)


def write_array(path: Path, array: Any) -> None:
    """Writes an array as a .npy file, whole or not at all."""
    import numpy as np

    from golden.files import replacing

    with replacing(path) as beside, beside.open("wb") as file:
        np.save(file, array)
