"""Cubes whose values methods can compute with: odd values missing, large offsets and extreme units taken out.

Methods compare bands by their uncentred power, and compute in single precision. A level many times the contrast, a
constant band or values near the largest number would swamp all else. They are taken out of the cube before, and put
back into the result. A cube without any of these is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.values import physical, stored_window

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.survey import ValueSurvey

__all__ = ["Cleaning"]

# a level of so many times the contrast is taken out
LEVEL = 8.0
# magnitudes between 2**-EXTREME and 2**EXTREME can be squared and summed in single precision
EXTREME = 40


@dataclass(frozen=True, eq=False)
class Cleaning:
    """How to bring a cube of B bands into a range to compute with: ``clean = (value - level) / unit``.

    Attributes
    ----------
    survey
        What was found out about its values.
    level, unit
        ``(B,)``, physical; the unit is a power of two, so that dividing by it is exact.
    """

    survey: ValueSurvey
    level: NDArray[np.float64]
    unit: NDArray[np.float64]

    @classmethod
    def of(cls, survey: ValueSurvey) -> Cleaning:
        """Decide what to take out."""
        level = _levels(survey)
        return cls(survey, level, _units(survey, level))

    @classmethod
    def masking(cls, survey: ValueSurvey) -> Cleaning:
        """Make odd values missing, and leave the others as they are."""
        return cls(survey, np.zeros(len(survey.limit)), np.ones(len(survey.limit)))

    @cached_property
    def moves(self) -> bool:
        """Whether it changes values other than missing ones."""
        return bool(self.level.any() or (self.unit != 1).any())

    def apply(self, cube: Cube) -> Cube:
        """Return the clean cube, lazily; the same cube if there is nothing to do."""
        if not (self.moves or self.survey.masks):
            return cube
        source = _CleanSource(self, cube)
        return cube.replace(data=self._lazy(cube), source=source, nodata=None, scale=1.0, offset=0.0)

    def values(self, cube: Cube, stored: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Return the clean values for a cube's stored values ``(B, y, x)``."""
        if self.moves:
            scale, offset, level, unit = self._columns(cube)
            # in double precision: single would lose the contrast
            values = ((stored.astype(np.float64) * scale + offset - level) / unit).astype(cube.values.dtype)
            if cube.nodata is not None:
                values[np.isnan(physical(cube, stored))] = np.nan
        else:
            values = physical(cube, stored)
        if self.survey.masks:
            missing = self.survey.missing(stored)
            if missing.any():
                values[np.broadcast_to(missing, values.shape)] = np.nan
        return values

    def restore(self, fused: Any) -> Any:
        """Put level and unit back into a result ``(B, y, x)``, a torch tensor."""
        import torch

        from napari_specfusion.device import uploaded

        def like(values: NDArray[np.float64]) -> Any:
            return uploaded(values, fused)[:, None, None]

        if (self.unit != 1).any():
            # methods overshoot a little: beyond the largest number that would be infinite
            bound = torch.finfo(fused.dtype).max
            fused = (fused * like(self.unit)).clamp_(-bound, bound)
        return fused + like(self.level) if self.level.any() else fused

    def _columns(self, cube: Cube) -> list[NDArray[np.float64]]:
        return [np.asarray(v, np.float64).reshape(-1, 1, 1) for v in (cube.scale, cube.offset, self.level, self.unit)]

    def _lazy(self, cube: Cube) -> da.Array:
        values = cube.values
        if self.moves:
            scale, offset, level, unit = self._columns(cube)
            moved = ((cube.data.astype(np.float64) * scale + offset - level) / unit).astype(values.dtype)
            values = moved if cube.nodata is None else da.where(da.isnan(values), values.dtype.type(np.nan), moved)
        if self.survey.masks:
            values = da.where(self.survey.missing(cube.data), values.dtype.type(np.nan), values)
        return values


@dataclass(frozen=True, eq=False)
class _CleanSource:
    """The clean values of a cube, its `image`, read window by window."""

    cleaning: Cleaning
    image: Cube

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the values ``(bands,)`` of one pixel."""
        return self.window(slice(y, y + 1), slice(x, x + 1))[:, 0, 0]

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the values ``(bands, rows, columns)`` of one window."""
        return self.cleaning.values(self.image, stored_window(self.image, rows, columns))


def _levels(survey: ValueSurvey) -> NDArray[np.float64]:
    """Return the level ``(B,)`` of each band, 0 unless it is large against the contrast or the band is constant."""
    low, spread = np.nan_to_num(survey.low), np.nan_to_num(survey.high - survey.low)
    level = np.where(survey.constant, low, 0.0)
    contrast = float(spread.max(initial=0))
    if contrast > 0:
        # A whole number of the power of two above the contrast: an offset that is one leaves no trace at all.
        unit = 2.0 ** np.ceil(np.log2(contrast))
        far = ~survey.constant & (np.abs(low) > LEVEL * contrast)
        level[far] = np.floor(low[far] / unit + 0.25) * unit
    return level


def _units(survey: ValueSurvey, level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit ``(B,)``: 1, unless values are extreme; one for all bands, but for those far above the others."""
    sizes = np.fmax(np.abs(survey.low - level), np.abs(survey.high - level))
    seen = np.nan_to_num(sizes) > 0
    unit = np.ones(len(sizes))
    if not seen.any():
        return unit
    power = np.zeros(len(sizes))
    power[seen] = np.floor(np.log2(sizes[seen]))
    middle = float(np.floor(np.median(power[seen])))
    if abs(middle) > EXTREME:
        unit[:] = 2.0**middle
    own = seen & (power - middle > EXTREME)
    unit[own] = 2.0 ** power[own]
    return unit
