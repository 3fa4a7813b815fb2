"""What several commands do: open a pair, print findings, save a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_specfusion.alignment.scene import check_trust, make_scene
from napari_specfusion.cli.progress import ProgressLine
from napari_specfusion.data.scene import Scene
from napari_specfusion.io import open_cube, save_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from fractions import Fraction
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Finding

__all__ = ["open_pair", "print_findings", "save_with_progress"]

MARKS = {"error": "[x]", "warning": "[!]", "info": "   "}


def open_pair(
    cube: Path,
    guide: Path,
    ratio: Fraction | None,
    *,
    align: bool = True,
    refuse: bool = True,
    check: Callable[[Cube, Cube], None] | None = None,
) -> Scene:
    """Open the two files of a pair and align them, unless told not to; print what was done to them.

    `check` is called with the two images before the long steps.

    Raises
    ------
    AlignmentError
        If an alignment was found that cannot be trusted.
    """
    hsi, sharp = open_cube(cube), open_cube(guide)
    if check is not None:
        check(hsi, sharp)
    if not align:
        return Scene(hsi, sharp, ratio)
    with ProgressLine("Aligning") as line:
        scene = make_scene(hsi, sharp, ratio, progress=line.step)
    alignment = scene.alignment
    if alignment is not None and alignment.placement != "as is":
        print_findings(alignment.findings())
        if refuse:
            check_trust(scene)
    return scene


def print_findings(findings: Iterable[Finding]) -> None:
    """Print what a check found, with a mark for how serious it is."""
    for finding in findings:
        print(f"{MARKS[finding.level]} {finding.topic}: {finding.message}")


def save_with_progress(cube: Cube, out: Path, *, overwrite: bool, **options: Any) -> None:
    """Save a cube, show how far that is, and print what was written."""
    with ProgressLine(f"Writing {out}") as line:
        saved = save_cube(
            cube,
            out,
            overwrite=overwrite,
            progress=lambda event: line.update(event.done, event.total),
            **options,
        )
    print("\n".join([str(cube), *(f"note: {note}" for note in saved.notes), f"written to {saved.paths[-1]}"]))
