"""What the commands of all rooms share: the console, progress bars, and matrices from files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from golden.errors import GossetError

if TYPE_CHECKING:
    pass

console = Console()


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar for one stage of a job."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=total)
        yield lambda steps: bar.advance(task, steps)


def load_array(path: Path) -> Any:
    """A matrix from a .npy file."""
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise GossetError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise GossetError(f"{path} is not a .npy file of numbers: {error}.") from error
    if not isinstance(array, np.ndarray):
        raise GossetError(f"{path} holds several arrays; give a .npy file with one.")
    return array


def write_array(path: Path, array: Any) -> None:
    """Writes an array as a .npy file, whole or not at all."""
    import numpy as np

    from golden.files import replacing

    with replacing(path) as beside, beside.open("wb") as file:
        np.save(file, array)
