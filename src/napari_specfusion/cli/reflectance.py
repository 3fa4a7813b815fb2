"""``reflectance``: turn the counts of a camera into reflectance."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_specfusion.cli.arguments import POSITIVE, Positive, PositiveOrNone, default
from napari_specfusion.cli.files import save_with_progress
from napari_specfusion.io import save_cube
from napari_specfusion.radiometry.convert import reflectance

__all__ = ["reflectance_file"]


def reflectance_file(
    raw: Path,
    /,
    *,
    out: Path,
    white: Path | None = default(reflectance, "white"),
    dark: Path | None = default(reflectance, "dark"),
    panel: Positive = default(reflectance, "panel"),
    times: Annotated[tuple[float, float] | None, POSITIVE, Parameter(metavar="RAW WHITE")] = default(
        reflectance, "times"
    ),
    dead: Literal["nan", "interpolate"] = default(reflectance, "dead"),
    saturation: PositiveOrNone = default(reflectance, "saturation"),
    overwrite: bool = default(save_cube, "overwrite"),
) -> int:
    """Turn counts into reflectance with white and dark references.

    Parameters
    ----------
    raw
        A cube in counts, or the folder of a Specim capture.
    out
        The file or folder to write: .hdr, .tif, .ome.tif, .zarr, .npz or .mat.
    white
        White reference. Without it, the WHITEREF_ file of the Specim capture.
    dark
        Dark reference. Without it, the DARKREF_ file of the Specim capture, if there is one.
    panel
        Reflectance of the white panel, 0 to 1.
    times
        Integration times of RAW and of the white reference, in the same unit. Without it, taken from the headers.
    dead
        What dead pixels become: NaN, or a value interpolated along the row.
    saturation
        Count at which the sensor saturates. Without it, taken from the white reference.
    overwrite
        Replace what is there.
    """
    cube = reflectance(raw, white, dark, panel=panel, times=times, dead=dead, saturation=saturation)
    for level, message in cube.metadata["findings"]:
        print(f"{level}: {message}")
    save_with_progress(cube, out, overwrite=overwrite)
    return 0
