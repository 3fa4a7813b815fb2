"""HyperSpy's ``.hspy``: ``Experiments/<title>`` holds the data and one group per axis with its calibration.

Each group ``axis-0``, ``axis-1``, ... describes an axis of ``data`` by its attributes: name, size, units, whether it is
a navigation axis (a position on the sample) or a signal axis, and offset and scale, or a dataset ``axis`` with one
value per point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import AmbiguousArrayError, ReadError
from napari_specfusion.io.formats.hdf5.arrays import hdf_cube
from napari_specfusion.io.formats.hdf5.file import attribute, child, vector
from napari_specfusion.io.formats.hdf5.product import Product
from napari_specfusion.io.metadata.axes import bands_first, find_band_axis, letters_of, named_axis
from napari_specfusion.io.metadata.units import photon_wavelengths, to_standard_unit

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["PRODUCT", "is_signal", "read_signal"]

_MOST_SIGNALS = 1000
_MOST_POINTS = 1_000_000
_ELECTRONVOLTS = {"ev": 1.0, "mev": 1e-3, "kev": 1e3}
# what HyperSpy writes for unknown values
_NOTHING = {"", "<undefined>", "_none_", "none", "undefined"}


@dataclass(frozen=True)
class _Axis:
    """One axis of a signal."""

    name: str
    unit: str | None
    values: NDArray[np.float64] | None
    navigate: bool | None

    @property
    def step(self) -> float | None:
        """Distance between neighbouring points, if it is constant."""
        if self.values is None or self.values.size < 2:
            return None
        steps = np.diff(self.values)
        step = abs(float(steps[0]))
        return step if step > 0 and np.allclose(steps, steps[0], rtol=1e-6) else None


def _signals(file: Any) -> list[Any]:
    """Return the data of all signals in a file that have two or three described axes."""
    group = child(file, "Experiments")
    found = []
    for name in list(getattr(group, "keys", list)())[:_MOST_SIGNALS]:
        data = child(group, f"{name}/data")
        if child(group, f"{name}/axis-0") is not None and len(getattr(data, "shape", None) or ()) in {2, 3}:
            found.append(data)
    return found


def _matches(file: Any) -> bool:
    return bool(_signals(file))


def _read(path: Path, file: Any) -> Cube:
    signals = _signals(file)
    cubes = [item for item in signals if len(item.shape) == 3] or signals
    if len(cubes) > 1:
        names = ", ".join(f"{item.name} ({' x '.join(map(str, item.shape))})" for item in cubes[:20])
        raise AmbiguousArrayError(f"{path} holds several signals: {names}. Name one with array=.")
    return read_signal(path, cubes[0])


def is_signal(file: Any, data: Any) -> bool:
    """Whether a dataset of an open file holds the data of one of its signals."""
    return any(item == data for item in _signals(file))


def read_signal(path: Path, data: Any) -> Cube:
    """Open one signal of a file, with the axes described by its groups.

    Parameters
    ----------
    path
        The file.
    data
        The dataset "data" in the group of a signal.

    Raises
    ------
    ReadError
        If the data are a line of spectra, or cannot be read.
    """
    group = data.parent
    axes = [_axis(child(group, f"axis-{number}"), size) for number, size in enumerate(data.shape)]
    title = attribute(child(group, "metadata/General"), "title")
    metadata: dict[str, Any] = {"product": "HyperSpy", "dataset": str(data.name)}
    fields: dict[str, Any] = {"name": str(title) if title and str(title).lower() not in _NOTHING else path.stem}
    if len(data.shape) == 2:
        if any(axis.navigate for axis in axes):
            raise ReadError(f"{path}: {data.name} is a line of spectra, not an image; open it with array= and axes=.")
        band, places = None, (0, 1)
    else:
        band = _spectral(axes, data.shape)
        places = bands_first(band)[1:]
        values, unit, notes = _wavelengths(axes[band])
        metadata["notes"] = notes
        if values is not None:
            fields |= {"wavelengths": values, "spectral_unit": unit}
    steps = [axes[place].step for place in places]
    units = {axes[place].unit for place in places}
    if None not in steps and len(units) == 1:
        fields["pixel_size"] = tuple(steps)
        metadata["pixel_unit"] = units.pop() or "unknown"
    letters = "yx" if band is None else letters_of(band)
    return hdf_cube(path, data, letters, metadata=metadata, **fields)


def _axis(group: Any, size: int) -> _Axis:
    """Return the axis of `size` points that a group describes."""
    name, units = (str(attribute(group, key) or "") for key in ("name", "units"))
    navigate = attribute(group, "navigate")
    values = vector(child(group, "axis")) if group is not None else None
    if values is None:
        values = vector(attribute(group, "axis"))
    if values is None and size <= _MOST_POINTS:
        scale, offset = (_number(attribute(group, key)) for key in ("scale", "offset"))
        points = np.arange(size, dtype=np.float64)
        values = None if scale is None or not scale else points * scale + (offset or 0.0)
    return _Axis(
        "" if name.lower() in _NOTHING else name,
        None if units.lower() in _NOTHING else units,
        values if values is not None and values.size == size and np.all(np.isfinite(values)) else None,
        None if navigate is None else bool(np.any(navigate)),
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _spectral(axes: list[_Axis], shape: tuple[int, ...]) -> int:
    """Return the spectral axis: the only signal axis, the stacking axis of images, or the one with a spectral name."""
    for wanted in (False, True):
        alone = [number for number, axis in enumerate(axes) if axis.navigate is wanted]
        if len(alone) == 1:
            return alone[0]
    found = named_axis([axis.name for axis in axes])
    return find_band_axis(shape, named=found, usual=2).axis


def _wavelengths(axis: _Axis) -> tuple[NDArray[np.float64] | None, str, tuple[str, ...]]:
    """Return the values of a spectral axis, their unit (nm or cm-1), and notes."""
    if axis.values is None:
        return None, "nm", ("the spectral axis has no scale",)
    if axis.unit is None and "raman" not in axis.name.lower() and "wavenumber" not in axis.name.lower():
        return None, "nm", (f"the spectral axis {axis.name or 'without a name'} was left out: it has no unit",)
    factor = _ELECTRONVOLTS.get((axis.unit or "").lower())
    if factor is not None:
        converted = photon_wavelengths(axis.values * factor)
        words = "were converted to wavelengths" if converted is not None else "were left out: not all are above 0"
        return converted, "nm", (f"photon energies in {axis.unit} {words}",)
    values, _, unit, note = to_standard_unit(axis.values, axis.unit or "cm-1")
    return values, unit, () if note is None else (note,)


PRODUCT = Product("HyperSpy", _matches, _read)
