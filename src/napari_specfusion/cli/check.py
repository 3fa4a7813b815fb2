"""``check``: say whether a pair belongs together."""

from pathlib import Path

from napari_specfusion.calibration import calibrate
from napari_specfusion.cli.arguments import Align, RatioOrNone
from napari_specfusion.cli.files import open_pair, print_findings
from napari_specfusion.cli.progress import ProgressLine

__all__ = ["check_files"]


def check_files(cube: Path, guide: Path, /, *, ratio: RatioOrNone = None, align: Align = True) -> int:
    """Check whether two files belong together, and calibrate the pair.

    The exit status is 1 if the two should not be fused.

    Parameters
    ----------
    cube
        The cube with many bands and few pixels.
    guide
        The sharper image of the same scene.
    ratio
        Guide pixels per cube pixel, such as 4 or 10/3. Without it, taken from the two files.
    align
        Bring the guide onto the cube's grid first, if it lies otherwise. --no-align trusts equal corners.
    """
    scene = open_pair(cube, guide, ratio, align=align, refuse=False)
    if scene.alignment is not None and scene.alignment.verdict == "unrelated" and scene.alignment.placement != "as is":
        return 1
    findings = scene.check()
    print(f"Cube:  {scene.hsi}\nGuide: {scene.guide}\n")
    print_findings(findings)
    if any(finding.level == "error" for finding in findings):
        return 1
    with ProgressLine("Calibrating") as line:
        calibration = calibrate(scene, progress=line.step)
    print("\nCalibration")
    print_findings(calibration.findings())
    return int(calibration.verdict == "unrelated")
