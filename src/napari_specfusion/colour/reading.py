"""What every picture needs: the bands at wavelengths, the cube in strips of rows, and a stretch of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.arguments import number
from napari_specfusion.data.computed import computed
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import CubeError
from napari_specfusion.progress import ShouldStop, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Progress

__all__ = ["band_near", "checked_cut", "mapped", "mean_spectrum", "picture_of", "stretched", "watch_of"]

Floats = NDArray[np.floating[Any]]

# a band stands for a wavelength that lies no further away, in the unit of the wavelengths; or no further than bands lie
# apart
NEAR = 10.0
# so many bands are read one by one
FEW_BANDS = 8
# pixels that percentiles are taken of, at most
STRETCHED_PIXELS = 1 << 18
HIGHEST_CUT = 25.0
# bands of a mean spectrum, at most
MEAN_BANDS = 128


def watch_of(progress: Callable[[Progress], None] | None, should_stop: ShouldStop | None) -> Watch:
    """Return a watch over the reading of a cube for a picture."""
    return Watch(progress, should_stop, "Stopped; no picture was made.")


def band_near(cube: Cube, wavelength: float) -> int:
    """Return the good band that stands for a wavelength.

    Raises
    ------
    CubeError
        If the cube has no wavelengths, or no good band near this one.
    """
    at = number("A wavelength", wavelength, above=0, error=CubeError)
    band = cube.band_at(at)
    known = cube.wavelengths
    assert known is not None
    good = known[cube.good] if cube.good.any() else known
    reach = max(NEAR, float(np.median(np.diff(known)))) if len(known) > 1 else NEAR
    unit = cube.spectral_unit
    if not good.min() - reach <= at <= good.max() + reach:
        raise CubeError(
            f"{at:g} {unit} lies outside the range of {cube.name}, {good.min():g} to {good.max():g} {unit}; choose a "
            "wavelength within it."
        )
    if abs(known[band] - at) > reach:
        raise CubeError(
            f"{cube.name} covers {good.min():g} to {good.max():g} {unit}, but has no good band near {at:g} {unit}: the "
            f"nearest is {known[band]:g} {unit}. Choose that one."
        )
    return band


def mapped(
    cube: Cube,
    bands: Sequence[int] | NDArray[np.intp],
    count: int,
    function: Callable[[Floats], Floats],
    watch: Watch,
    message: str,
) -> NDArray[np.float32]:
    """Return a function of the spectra as an image in memory, while the cube is read in strips of rows.

    Parameters
    ----------
    cube
        The cube.
    bands
        Indices of the bands that the function takes.
    count
        Number of values that it returns for a pixel.
    function
        From physical values ``(len(bands), rows, columns)`` to ``(count, rows, columns)``.
    watch
        Hears of the strips, and can stop.
    message
        What is being done.
    """
    read, (_, height, width) = _reader(cube, bands), cube.shape
    step = max(1, memory.STRIP // (8 * (len(bands) + count) * width))
    result = np.empty((count, height, width), np.float32)
    starts = range(0, height, step)
    for done, start in enumerate(starts):
        watch.tell(done, len(starts), message)
        rows = slice(start, min(start + step, height))
        with np.errstate(all="ignore"):
            result[:, rows] = function(read(rows))
    return result


def _reader(cube: Cube, bands: Sequence[int] | NDArray[np.intp]) -> Callable[[slice], Floats]:
    chosen = cube.select(bands)
    if chosen.bands > FEW_BANDS:
        return chosen.read

    def read(rows: slice) -> Floats:
        # a source reads all bands of a window; one slice per band reaches the file as it is
        data = da.stack([cube.data[int(band), rows] for band in bands])
        return computed(chosen.replace(data=data, source=None).values)

    return read


def stretched(image: NDArray[np.float32], cut: float, *, together: bool = False) -> None:
    """Stretch the channels of an image ``(channels, y, x)`` to 0 to 1, in place, and clip them; NaN stays.

    Parameters
    ----------
    image
        What to stretch.
    cut
        Percent of the pixels that are clipped at either end of each channel.
    together
        Whether to divide all channels by one number instead, so that colours stay what they are: that of the
        brightest channel of which `cut` percent of the pixels are clipped.
    """
    channels, height, width = image.shape
    stride = max(1, int(np.ceil(np.sqrt(height * width / STRETCHED_PIXELS))))
    sample = image[:, ::stride, ::stride].reshape(channels, -1)
    sample = sample[:, np.isfinite(sample).all(axis=0)]
    if not sample.size:
        low, high = np.zeros(channels), np.ones(channels)
    elif together:
        low, high = np.zeros(channels), np.full(channels, np.percentile(sample.max(axis=0), 100 - cut))
    else:
        low, high = np.percentile(sample, [cut, 100 - cut], axis=1)
    for channel, start, end in zip(image, low, high, strict=True):
        channel -= np.float32(start)
        channel /= np.float32(end - start if end > start else 1)
        np.clip(channel, 0, 1, out=channel)


def checked_cut(stretch: float) -> float:
    """Return the share to clip at either end, in percent.

    Raises
    ------
    CubeError
        If it is no share from 0 to 25 percent.
    """
    return number("stretch", stretch, 0, HIGHEST_CUT, error=CubeError)


def picture_of(cube: Cube, values: NDArray[np.float32], title: str, names: tuple[str, ...], **metadata: Any) -> Cube:
    """Return values ``(n, y, x)`` as a cube that lies where `cube` does; its bands have names, and no wavelengths."""
    return type(cube).from_array(
        values,
        pixel_size=cube.pixel_size,
        affine=cube.affine,
        crs=cube.crs,
        name=f"{cube.name}: {title}",
        source=ArraySource(values),
        metadata={"band_names": names, "made_from": cube.name, **metadata},
    )


def mean_spectrum(cube: Cube) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return wavelengths ``(n,)`` of up to 128 good bands, and the means of a small sample of each.

    Raises
    ------
    CubeError
        If the cube has no wavelengths.
    """
    if cube.wavelengths is None:
        raise CubeError(f"{cube.name} has no wavelengths; give them with replace(wavelengths=...).")
    good = np.flatnonzero(cube.good) if cube.good.any() else np.arange(cube.bands)
    chosen = np.unique(good[np.linspace(0, len(good) - 1, min(len(good), MEAN_BANDS)).astype(int)])
    sample = cube.select(chosen).sample(len(chosen)).reshape(len(chosen), -1).astype(np.float64)
    known = np.isfinite(sample)
    counts = known.sum(axis=1)
    sums = np.where(known, sample, 0).sum(axis=1)
    return cube.wavelengths[chosen], np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
