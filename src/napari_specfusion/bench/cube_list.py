"""The sharp cubes of `bench airborne`: files of many sensors, with a list of what the files do not say.

The list is a TOML file with a table for each file or pattern of files; the first one that matches a file holds::

    ["abu-*.mat"]
    sensor = "AVIRIS"
    wavelengths = [400, 2500]    # first and last of evenly spread bands
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.files import text_of
from napari_specfusion.io import open_cube
from napari_specfusion.simulation.sharp_cubes import cube_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_specfusion.data.cube import Cube

__all__ = ["LIST", "PERCENTILE", "SharpCube", "open_listed_cubes"]

LIST = "cubes.toml"
UNKNOWN = "unknown"
# options of the list that open_cube does not get as they are
OWN = ("sensor", "skip", "wavelengths")
# share of the values that the scale is taken from
PERCENTILE = 99.9
# a band that correlates less than this with both of its neighbours is noise
LEAST_CORRELATION = 0.8
# a band with a mean below this share of the scale is dark: water vapour, where ERGAS divides by next to nothing
LEAST_MEAN = 0.002


@dataclass(frozen=True, eq=False)
class SharpCube:
    """A sharp cube, ready to be degraded.

    Attributes
    ----------
    cube
        Good bands only; lazy, and scaled so that the 99.9th percentile of all values is 1.
    sensor
        Name of the sensor.
    stored
        Number of bands in the file.
    dropped
        Indices of bands that were left out, by the reason.
    assumed
        Whether the wavelengths were spread evenly between two limits.
    """

    cube: Cube
    sensor: str
    stored: int
    dropped: Mapping[str, tuple[int, ...]]
    assumed: bool

    @property
    def name(self) -> str:
        """Name of the scene."""
        return self.cube.name


def open_listed_cubes(folder: str | Path, listed: str | Path | None = None) -> list[SharpCube]:
    """Open the sharp cubes in a folder.

    Parameters
    ----------
    folder
        The folder; files that are not cubes are skipped.
    listed
        A list of options for the files; None takes ``cubes.toml`` in the folder, if there is one. A file without
        options is opened as it is. The list's patterns may reach into folders below.

    Returns
    -------
    list of SharpCube
        In the order of the list, then by name.

    Raises
    ------
    ReadError
        If the list or a cube cannot be read, or there is no cube.
    """
    place = Path(folder)
    file = place / LIST if listed is None else Path(listed)
    tables = _read_list(file) if listed is not None or file.exists() else {}
    files: dict[Path, Mapping[str, Any]] = {}
    for pattern, options in tables.items():
        found = sorted(place.glob(pattern))
        if not found:
            raise ReadError(f"{file.name} names {pattern}, but {place} holds no such file; correct or remove it.")
        for path in found:
            files.setdefault(path, options)
    above = {parent for path in files for parent in path.parents}
    for path in cube_files(place):
        if path not in above:
            files.setdefault(path, {})
    cubes = [_open(path, options, file) for path, options in files.items() if not options.get("skip")]
    if not cubes:
        raise ReadError(f"{folder} holds no cube; give the folder with the sharp cubes.")
    return cubes


def _read_list(file: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(text_of(file, memory.LONGEST_TEXT))
    except tomllib.TOMLDecodeError as error:
        raise ReadError(f"{file} is not a list of cubes ({error}); write a TOML table for each file.") from error
    for name, options in tables.items():
        if not isinstance(options, dict):
            raise ReadError(f'{file.name} holds {name} = {options!r} outside any table; begin with ["{name}"].')
    return tables


def _open(path: Path, options: Mapping[str, Any], listed: Path) -> SharpCube:
    """Open one file with its options: `sensor`, `wavelengths`, and those of `open_cube`."""
    told = {key: value for key, value in options.items() if key not in OWN}
    centres = options.get("wavelengths")
    limits = centres if isinstance(centres, list) and len(centres) == 2 else None
    if isinstance(centres, str):
        told["wavelengths"] = listed.parent / centres
    elif centres is not None and limits is None:
        told["wavelengths"] = centres
    try:
        cube = open_cube(path, **told)
        if limits is not None:
            spread = np.linspace(float(limits[0]), float(limits[1]), cube.bands)
            cube = cube.replace(wavelengths=spread, fwhm=None).ascending()
    except (TypeError, ValueError) as error:
        raise ReadError(f"{listed.name}: the options of {path.name} do not fit ({error}); correct them.") from error
    return _prepared(cube.replace(name=path.stem), str(options.get("sensor", UNKNOWN)), limits is not None)


def _prepared(cube: Cube, sensor: str, assumed: bool) -> SharpCube:
    values = cube.read().astype(np.float32, copy=False)
    dropped = _useless(values, cube.good)
    kept = _others(cube.bands, dropped)
    if len(kept) < 2:
        raise ReadError(f"{cube.name} holds {len(kept)} bands with an image; leave it out with skip = true.")
    scale = float(np.nanpercentile(values[kept], PERCENTILE))
    if not scale > 0:
        raise ReadError(f"{cube.name} holds no positive values; leave it out with skip = true.")
    dropped["dark"] = kept[np.abs(np.nanmean(values[kept], axis=(1, 2))) < LEAST_MEAN * scale]
    kept = _others(cube.bands, dropped)
    if len(kept) < 2:
        raise ReadError(f"{cube.name} is dark in all but {len(kept)} bands; leave it out with skip = true.")
    scaled = cube.replace(scale=np.divide(cube.scale, scale), offset=np.divide(cube.offset, scale)).select(kept)
    reasons = {reason: tuple(int(band) for band in bands) for reason, bands in dropped.items() if len(bands)}
    return SharpCube(scaled, sensor, cube.bands, reasons, assumed)


def _others(bands: int, dropped: Mapping[str, NDArray[np.intp]]) -> NDArray[np.intp]:
    return np.setdiff1d(np.arange(bands), np.concatenate(list(dropped.values())))


def _useless(values: NDArray[np.float32], good: NDArray[np.bool_]) -> dict[str, NDArray[np.intp]]:
    """Return the bands of `values` ``(bands, y, x)`` that show no image, by the reason."""
    missing = np.isnan(values)
    empty = missing.all(axis=(1, 2))
    flat = np.zeros_like(empty)
    flat[~empty] = np.nanmax(values[~empty], axis=(1, 2)) == np.nanmin(values[~empty], axis=(1, 2))
    left = np.flatnonzero(good & ~empty & ~flat)
    noise = left[_neighbours_agree(values[left], missing[left]) < LEAST_CORRELATION] if len(left) > 2 else left[:0]
    return {
        "no data": np.flatnonzero(empty),
        "bad in the file": np.flatnonzero(~good & ~empty),
        "one value": np.flatnonzero(good & flat),
        "noise": noise,
    }


def _neighbours_agree(values: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the correlation of each band with the one beside it that it is more like."""
    seen = values[:, ~missing.any(axis=0)].astype(np.float64)
    if seen.shape[1] < 2:
        return np.ones(len(values))
    seen -= seen.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(seen, axis=1)
    beside = np.einsum("bi,bi->b", seen[1:], seen[:-1]) / np.maximum(norms[1:] * norms[:-1], np.finfo(float).tiny)
    return np.asarray(np.maximum(np.append(beside, -1.0), np.insert(beside, 0, -1.0)))
