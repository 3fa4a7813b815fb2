"""``demo``: fuse a sample pair from beginning to end, in napari or without a window."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from napari_specfusion.cli.arguments import Positive, default
from napari_specfusion.cli.headless import run_headless
from napari_specfusion.errors import needs_extra

__all__ = ["demo", "has_napari"]


def demo(
    *,
    headless: bool = False,
    size: int = default(run_headless, "size"),
    out: Path = Path(default(run_headless, "out")),
    minutes: Positive = default(run_headless, "minutes"),
) -> int:
    """Fuse a sample pair from beginning to end, in napari or without a window.

    Parameters
    ----------
    headless
        Open no window, even on a machine with a display.
    size
        Rows and columns of the guide.
    out
        Folder for table, picture and fused cube; used without a window.
    minutes
        Time to fit the network, in minutes; used without a window.
    """
    if headless or not _has_window():
        run_headless(out, size=size, minutes=minutes)
    else:
        from napari_specfusion.widgets._demo import show_demo

        show_demo(size)
    return 0


def has_napari() -> bool:
    """Whether napari is installed, with a Qt binding."""
    return find_spec("napari") is not None and any(map(find_spec, ("PyQt6", "PySide6", "PyQt5")))


def _has_window() -> bool:
    """Whether there is a display, and napari with a Qt binding to use it."""
    display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not display:
        return False
    if not has_napari():
        print(f"Continuing without a window, which {needs_extra('napari')}", file=sys.stderr)
        return False
    return True
