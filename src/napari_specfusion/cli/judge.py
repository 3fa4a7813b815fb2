"""``judge``: judge fused cubes by the two images that they were made of."""

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_specfusion.calibration import CalibratedScene
from napari_specfusion.cli.arguments import Align, RatioOrNone
from napari_specfusion.cli.evaluate import print_json
from napari_specfusion.cli.files import open_pair, save_with_progress
from napari_specfusion.cli.progress import ProgressLine
from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.error_map import expected_error
from napari_specfusion.fusion.judging import judge
from napari_specfusion.io import open_cube
from napari_specfusion.quality.judgement import JUDGEMENTS, Judgement, format_judgements
from napari_specfusion.quality.metrics import MEASURES
from napari_specfusion.quality.table import plain_values

__all__ = ["judge_files"]


def judge_files(
    cube: Path,
    guide: Path,
    /,
    *fused: Annotated[Path, Parameter(required=True)],
    ratio: RatioOrNone = None,
    align: Align = True,
    trial: Annotated[bool, Parameter(negative="--no-trial")] = True,
    map: Path | None = None,  # noqa: A002 - the name of the option
    json: bool = False,
    overwrite: bool = False,
) -> int:
    """Judge fused cubes by the cube and the guide that they were made of; no reference is needed.

    Parameters
    ----------
    cube
        The cube with many bands and few pixels.
    guide
        The sharper image of the same scene.
    fused
        One or more results of fusing the two.
    ratio
        Guide pixels per cube pixel, such as 4 or 10/3. Without it, taken from the two files.
    align
        Bring the guide onto the cube's grid first, as fuse did. --no-align trusts equal corners.
    trial
        Try the method of each result one scale down as well, where the cube is the reference. --no-trial leaves it out.
    map
        File for a map of the error to be expected of each pixel, such as error.tif; for one result only.
    json
        Print JSON instead of a table, with the values of each band.
    overwrite
        Replace the map if it exists.
    """
    if map is not None and len(fused) > 1:
        raise OutputError(f"One map is asked for, and {len(fused)} results are given; give one result with --map.")
    # JSON is for programs: what is told on the way must not be in it
    with redirect_stdout(sys.stderr) if json else nullcontext():
        scene = CalibratedScene(open_pair(cube, guide, ratio, align=align))
        judged: dict[str, Judgement] = {}
        for path in fused:
            with ProgressLine(f"Judging {path.name}") as line:
                judged[str(path)] = judge(scene, open_cube(path), trial=trial, progress=line.step)
        if map is not None:
            with ProgressLine("Mapping the expected error") as line:
                found = expected_error(scene, open_cube(fused[0]), progress=line.step)
            save_with_progress(found, map, overwrite=overwrite)
    if json:
        print_json({name: _plain(one) for name, one in judged.items()})
        return 0
    print(format_judgements(judged))
    for name, one in judged.items():
        if one.note:
            print(f"{name}: {one.note}")
    return 0


def _plain(judgement: Judgement) -> dict[str, Any]:
    found = plain_values(judgement, JUDGEMENTS)
    found |= {"guide_floor": judgement.guide_floor, "cube_negative": judgement.cube_negative, "note": judgement.note}
    found["reduced"] = None if judgement.reduced is None else plain_values(judgement.reduced, MEASURES)
    return found
