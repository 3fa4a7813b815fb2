"""The type that describes an HDF5 product and how to read it."""

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
    """One product, recognised by the contents of the file rather than its name.

    Attributes
    ----------
    title
        Display name.
    matches
        Whether an open h5py file is this product.
    read
        ``read(path, file) -> Cube``, lazy.
    read_scene
        ``read_scene(path, file) -> Scene | None``, for products that may also hold a sharper image.
    """

    title: str
    matches: Callable[[Any], bool]
    read: Callable[[Path, Any], Cube]
    read_scene: Callable[[Path, Any], Scene | None] | None = None


def band_fields(bands: int, wavelengths: Any, fwhm: Any = None, good: Any = None) -> dict[str, Any]:
    """Return the band description as arguments of `Cube`; skip arrays without one finite number per band.

    Parameters
    ----------
    bands
        Number of bands.
    wavelengths, fwhm
        Datasets or arrays of band centres and FWHM in nm.
    good
        Dataset or array that is 1 for good bands.
    """
    found = {"wavelengths": vector(wavelengths), "fwhm": vector(fwhm), "good_bands": vector(good)}
    fields: dict[str, Any] = {k: v for k, v in found.items() if v is not None and v.size == bands}
    if "good_bands" in fields:
        fields["good_bands"] = fields["good_bands"] > 0
    return fields
