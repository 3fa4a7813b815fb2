"""Spectral response functions (SRF): the weight of each cube band in each guide band.

``guide(y, x) = matrix @ cube(y, x) + offset``, with one row of the matrix per guide band.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion import memory
from napari_specfusion.arguments import numbers, short, whole
from napari_specfusion.errors import ReadError, SceneError
from napari_specfusion.files import as_path, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANALYTIC_SRFS", "Srf", "analytic_srf", "as_srf", "read_srf"]

ANALYTIC_SRFS: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "pan": {"pan": (575.0, 350.0)},
        "rgb": {"red": (600.0, 85.0), "green": (540.0, 90.0), "blue": (455.0, 80.0)},
        "rgbn": {"red": (660.0, 60.0), "green": (555.0, 70.0), "blue": (480.0, 65.0), "nir": (835.0, 120.0)},
    }
)
"""Centre and full width at half maximum, both in nm, of the bands of generic sensors, modelled as Gaussians."""

# share of its peak that a response must reach in at least one of the cube's bands
LEAST_RESPONSE = 0.01
# share of its peak below which a response's weight contributes nothing in float32
_UNSEEN = 1e-7


@dataclass(frozen=True, eq=False)
class Srf:
    """A spectral response, sampled at a cube's bands.

    Attributes
    ----------
    matrix
        Weights ``(guide bands, cube bands)``.
    offset
        Added to each guide band ``(guide bands,)``.
    names
        Names of the guide bands; empty if they have no names.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64] = None  # type: ignore[assignment]  # zeros, once the shape is known
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            matrix = np.asarray(self.matrix, dtype=np.float64)
            given = None if self.offset is None else np.asarray(self.offset, dtype=np.float64)
        except Exception as error:  # arrays of other libraries raise anything
            raise SceneError(
                f"The spectral response is not a matrix of numbers ({' '.join(str(error).split())[:120]}); give one of "
                "shape (guide bands, cube bands), and an offset (guide bands,)."
            ) from error
        if matrix.ndim != 2 or matrix.size == 0 or not np.all(np.isfinite(matrix)):
            raise SceneError(
                f"The spectral response has shape {matrix.shape}; it must be a finite matrix (guide bands, cube bands)."
            )
        offset = np.zeros(len(matrix)) if given is None else given
        if offset.shape != (len(matrix),) or not np.all(np.isfinite(offset)):
            raise SceneError(
                f"The response's offset has shape {offset.shape}; it must be ({len(matrix)},) and hold finite numbers."
            )
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "offset", offset)

    @property
    def guide_bands(self) -> int:
        """Number of guide bands."""
        return len(self.matrix)

    @property
    def bands(self) -> int:
        """Number of cube bands."""
        return int(self.matrix.shape[1])

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return the guide ``(guide bands, y, x)`` for the cube `values` ``(bands, y, x)``.

        A pixel is NaN where a band with a weight in the guide band is NaN.
        """
        if values.shape[0] != self.bands:
            raise SceneError(f"The response has {self.bands} bands, the cube {len(values)}; they must match.")
        weights, values = self.matrix.astype(np.float32), values.astype(np.float32, copy=False)
        missing = np.isnan(values)
        holed = np.flatnonzero(missing.any(axis=(1, 2)))
        # Zero times NaN is NaN: values without weight must not be multiplied.
        seen = np.tensordot(weights, np.where(missing, np.float32(0), values) if holed.size else values, axes=1)
        if holed.size:
            weighed = np.abs(weights) > _UNSEEN * np.abs(weights).max(axis=1, keepdims=True)
            seen[np.tensordot(weighed[:, holed].astype(np.float32), missing[holed].astype(np.float32), axes=1) > 0] = (
                np.nan
            )
        return np.asarray(seen + self.offset.astype(np.float32)[:, None, None])

    def without(self, missing: NDArray[np.bool_]) -> Srf:
        """Return the response with no weight on the bands in `missing`, a boolean ``(bands,)``.

        Rows without negative weights keep their sum, so that a flat spectrum stays flat.

        Raises
        ------
        SceneError
            If almost all of a guide band's weight lies on missing bands.
        """
        if not missing.any():
            return self
        matrix = np.where(missing, 0.0, self.matrix)
        kept, whole = (np.abs(rows).sum(axis=1) for rows in (matrix, self.matrix))
        blind = (kept <= LEAST_RESPONSE * whole) & (whole > 0)
        if blind.any():
            first = int(np.argmax(blind))
            raise SceneError(
                f"Guide band {self.names[first] if self.names else first} covers only bands without data; "
                "leave it out, or choose a response at other wavelengths."
            )
        positive = (self.matrix >= 0).all(axis=1) & (kept > 0)
        kept[~positive] = whole[~positive] = 1.0
        return Srf(matrix * (whole / kept)[:, None], self.offset, self.names)


def analytic_srf(name: str, wavelengths: ArrayLike) -> Srf:
    """Return a named Gaussian response (`ANALYTIC_SRFS`) at `wavelengths` in nm, each row summing to 1.

    Raises
    ------
    SceneError
        If the name is unknown, or a band of the response covers none of the wavelengths.
    """
    if not isinstance(name, str) or name not in ANALYTIC_SRFS:
        raise SceneError(
            f"There is no spectral response {short(name)}; choose one of {', '.join(sorted(ANALYTIC_SRFS))}."
        )
    grid = numbers("The wavelengths", wavelengths, error=SceneError)
    bands = ANALYTIC_SRFS[name]
    rows = [np.exp(-4 * np.log(2) * ((grid - centre) / width) ** 2) for centre, width in bands.values()]
    return Srf(_normalised(np.array(rows), np.ones(len(rows)), tuple(bands)), names=tuple(bands))


def read_srf(path: str | Path, wavelengths: ArrayLike) -> Srf:
    """Read a response table: a header line, then wavelength in nm and one column per guide band.

    The table is interpolated at `wavelengths`, taken as zero beyond its ends, and each row scaled to sum to 1.

    Raises
    ------
    ReadError
        If the file is missing or does not hold such a table.
    """
    file = as_path(path)
    text = text_of(file, memory.LONGEST_RESPONSE)
    try:
        header, *lines = text.splitlines()
        if not any(line.strip() for line in lines):
            raise ValueError("it holds no numbers")
        table = np.loadtxt(lines, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ReadError(
            f"{file.name} is not a response table ({error}); write a header line, then wavelength,band,band,... in nm."
        ) from error
    if table.shape[1] < 2 or np.any(np.diff(table[:, 0]) <= 0):
        raise ReadError(f"{file.name} needs ascending wavelengths in its first column and one column per guide band.")
    grid = numbers("The wavelengths", wavelengths, error=SceneError)
    rows = [np.interp(grid, table[:, 0], column, left=0.0, right=0.0) for column in table[:, 1:].T]
    columns = header.split(",")
    names = tuple(columns[1:]) if len(columns) == table.shape[1] else ()
    return Srf(_normalised(np.array(rows), table[:, 1:].max(axis=0), names), names=names)


def as_srf(srf: Srf | str | Path | ArrayLike, wavelengths: ArrayLike | None, bands: int) -> Srf:
    """Return an `Srf`, a name, a CSV file or a matrix as an `Srf` over `bands` cube bands.

    Raises
    ------
    SceneError
        If a name or a file is given for a cube without wavelengths, or the band counts differ.
    """
    bands = whole("The number of bands", bands, 1, error=SceneError)
    if isinstance(srf, str | Path):
        if wavelengths is None:
            raise SceneError(f"The response {srf} needs the cube's wavelengths, but the cube has none; set them first.")
        named = isinstance(srf, str) and not srf.lower().endswith((".csv", ".txt"))
        srf = analytic_srf(str(srf), wavelengths) if named else read_srf(srf, wavelengths)
    elif not isinstance(srf, Srf):
        try:
            matrix = np.atleast_2d(np.asarray(srf, dtype=np.float64))
        except Exception as error:  # arrays of other libraries raise anything
            raise SceneError(
                f"The spectral response is of type {type(srf).__name__}; give a name, a CSV file, a matrix "
                "(guide bands, cube bands) or an Srf."
            ) from error
        srf = Srf(matrix)
    if srf.bands != bands:
        raise SceneError(f"The spectral response has {srf.bands} columns, the cube {bands} bands; give one per band.")
    return srf


def _normalised(rows: NDArray[np.float64], peaks: NDArray[np.float64], names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return `rows` ``(G, B)`` scaled to sum to 1; each must reach 1 % of its peak ``(G,)`` somewhere."""
    total = rows.sum(axis=1, keepdims=True)
    blind = (rows.max(axis=1) <= LEAST_RESPONSE * peaks) | (total[:, 0] <= 0)
    if blind.any():
        first = int(np.argmax(blind))
        raise SceneError(
            f"Guide band {names[first] if names else first} covers none of the cube's wavelengths; "
            "leave it out or check the units (nm)."
        )
    return np.asarray(rows / total)
