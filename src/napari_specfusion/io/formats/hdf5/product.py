"""What a reader of an agency's HDF5 product declares about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_specfusion.io.formats.hdf5.file import vector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene

__all__ = ["Product", "band_fields"]


@dataclass(frozen=True)
class Product:
    """One product, told by what is in the file and not by its name.

    Attributes
    ----------
    title
        What people call it.
    matches
        Whether an open h5py file is one.
    read
        ``read(path, file) -> Cube``, lazy.
    read_scene
        ``read_scene(path, file) -> Scene | None`` where the product may hold a sharper image beside the cube.
    """

    title: str
    matches: Callable[[Any], bool]
    read: Callable[[Path, Any], Cube]
    read_scene: Callable[[Path, Any], Scene | None] | None = None


def band_fields(bands: int, wavelengths: Any, fwhm: Any = None, good: Any = None) -> dict[str, Any]:
    """Return what describes the bands as arguments of `Cube`, leaving out what has not one finite number per band.

    Parameters
    ----------
    bands
        Number of bands.
    wavelengths, fwhm
        Datasets or arrays of band centres and widths in nm.
    good
        Dataset or array that is 1 where a band is good.
    """
    found = {"wavelengths": vector(wavelengths), "fwhm": vector(fwhm), "good_bands": vector(good)}
    fields: dict[str, Any] = {k: v for k, v in found.items() if v is not None and v.size == bands}
    if "good_bands" in fields:
        fields["good_bands"] = fields["good_bands"] > 0
    return fields
