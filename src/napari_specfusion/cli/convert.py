"""``convert``: write a cube in another format."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_specfusion.cli.arguments import default
from napari_specfusion.cli.files import print_findings, save_with_progress
from napari_specfusion.data.scene import cube_findings
from napari_specfusion.io import open_cube, save_cube

__all__ = ["convert_file"]


def convert_file(
    source: Annotated[Path, Parameter(name="IN")],
    out: Path,
    /,
    *,
    reader: str | None = default(open_cube, "reader"),
    array: str | None = None,
    axes: str | None = None,
    wavelengths: Path | None = default(open_cube, "wavelengths"),
    interleave: Literal["bsq", "bil", "bip"] | None = None,
    overwrite: bool = default(save_cube, "overwrite"),
) -> int:
    """Write a cube in another format.

    Parameters
    ----------
    source
        A cube in any format that can be read.
    out
        The file or folder to write: .hdr, .tif, .ome.tif, .zarr, .npz or .mat.
    reader
        Format of IN, if its name does not tell.
    array
        Array to take, if IN holds several (HDF5, MATLAB, NPZ, Zarr).
    axes
        Order of its axes: b for bands, y for rows, x for columns, such as yxb.
    wavelengths
        Text file: one number per band in nm, or a table with a wavelength column.
    interleave
        Order of the values in an ENVI file.
    overwrite
        Replace what is there.
    """
    given = {name: value for name, value in {"array": array, "axes": axes}.items() if value is not None}
    cube = open_cube(source, reader=reader, wavelengths=wavelengths, **given)
    print_findings(cube_findings(cube))
    options = {} if interleave is None else {"interleave": interleave}
    save_with_progress(cube, out, overwrite=overwrite, **options)
    return 0
