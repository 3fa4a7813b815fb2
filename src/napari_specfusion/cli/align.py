"""``align``: bring the guide of a pair onto the cube's grid."""

from pathlib import Path
from typing import Literal

from napari_specfusion.alignment import Alignment, align
from napari_specfusion.cli.arguments import RatioOrNone, default
from napari_specfusion.cli.files import print_findings, save_with_progress
from napari_specfusion.cli.progress import ProgressLine
from napari_specfusion.io import open_cube

__all__ = ["align_files"]

Model = Literal["auto", "shift", "rigid", "similarity", "affine", "projective"]


def align_files(
    cube: Path,
    guide: Path,
    /,
    *,
    out: Path | None = None,
    transform: Path | None = None,
    use: Path | None = None,
    model: Model = default(align, "model"),
    start: Literal["tags", "images"] | None = None,
    ratio: RatioOrNone = default(align, "ratio"),
    overwrite: bool = False,
) -> int:
    """Bring the guide of a pair onto the cube's grid, and say how the two lie to each other.

    The exit status is 1 if the alignment cannot be trusted; nothing is written then.

    Parameters
    ----------
    cube
        The cube with many bands and few pixels.
    guide
        The sharper image of the same place; it may show more or less, be turned, mirrored or scaled.
    out
        File for the guide on the cube's grid, such as guide.tif. Where the guide shows a part of the cube only, it
        covers that part.
    transform
        File for the alignment itself (.json), for other images of the same cameras.
    use
        An alignment from an earlier --transform to apply, instead of looking for one.
    model
        How the two may lie to each other; auto takes the simplest that the images support.
    start
        Follow the tags of the files only, or the images only. Without it: the tags if both files have them, and the
        images where those do not match.
    ratio
        Guide pixels per cube pixel, roughly. Without it, taken from the two files.
    overwrite
        Replace files that exist.
    """
    hsi, sharp = open_cube(cube), open_cube(guide)
    if use is not None:
        scene = Alignment.load(use).scene(hsi, sharp)
    else:
        with ProgressLine("Aligning") as line:
            scene = align(hsi, sharp, model=model, start=start, ratio=ratio, progress=line.step)
    found = scene.alignment
    assert found is not None
    print_findings(found.findings())
    if not found.trusted:
        return 1
    if out is not None:
        save_with_progress(scene.guide, out, overwrite=overwrite)
    if transform is not None:
        found.save(transform, overwrite=overwrite)
        print(f"written to {transform}")
    return 0
