"""``bench viewer``: how long napari's window is blocked."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_specfusion.cli.arguments import Positive
from napari_specfusion.cli.demo import has_napari
from napari_specfusion.errors import OutputError, needs_extra

__all__ = ["viewer"]


def viewer(
    *,
    out: Path = Path("bench-viewer"),
    gigabytes: Positive = 4.0,
    folder: Path | None = None,
    run: Annotated[bool, Parameter(negative="--no-run")] = True,
) -> int:
    """Measure how long napari's window is blocked while a large cube is opened, looked through and fused.

    The same array is looked through with napari alone.

    Parameters
    ----------
    out
        Folder for table.md and viewer.json.
    gigabytes
        Size of the cube.
    folder
        A folder on the disk to measure. Without it, the system's temporary folder.
    run
        Also fuse the cube with a guide, and cancel that.
    """
    if not has_napari():
        raise OutputError(f"There is no napari with a Qt binding to measure; that {needs_extra('napari')}")
    from napari_specfusion.widgets._window_bench import bench_window

    bench_window(out, gigabytes=gigabytes, folder=folder, run=run)
    print(f"\nwritten: {out / 'table.md'}, {out / 'viewer.json'}")
    return 0
