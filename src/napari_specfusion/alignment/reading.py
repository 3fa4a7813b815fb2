"""Read two images for a search: the cube's principal components and the guide's bands, averaged, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.calibration.moments import sample_rows
from napari_specfusion.errors import AlignmentError

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Watch

__all__ = ["Window", "boxes", "read_cube", "read_guide"]

Window = tuple[slice, slice]

# principal components of the cube that explain the guide
COMPONENTS = 8
# guide bands that are compared, at most: principal components of more
GUIDE_BANDS = 4
# pixels that the principal components come from
SAMPLED = 65_536


def read_cube(
    hsi: Cube, step: int, watch: Watch, windows: Sequence[Window] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the cube's whitened components ``(k, h, w)``, and where they were measured ``(h, w)``.

    Parameters
    ----------
    hsi
        The cube.
    step
        Cube pixels along a side of each averaged pixel.
    watch
        Told about the reading; may stop it.
    windows
        Rows and columns to read; None reads all.

    Raises
    ------
    AlignmentError
        If the cube is constant or has too few measured pixels.
    """
    bands, height, width = hsi.shape
    live, mean, directions = _directions(hsi, watch, windows)
    found = np.zeros((directions.shape[1], height // step, width // step), np.float32)
    share = np.zeros(found.shape[1:], np.float32)
    basis = directions.T.astype(np.float32)
    parts = list(_parts(windows, (height, width), step, bands))
    for number, (rows, columns) in enumerate(parts):
        watch.tell(number, len(parts), "Reading the cube")
        values = hsi.read(rows, columns)[live]
        ok = np.isfinite(values).all(axis=0)
        centred = np.where(ok, values - mean[:, None, None], 0).astype(np.float32)
        planes = np.tensordot(basis, centred, axes=1)
        target = _target(rows, columns, step)
        share[target] = boxes(ok.astype(np.float32)[None], step)[0]
        found[:, *target] = boxes(planes, step) / np.maximum(share[target], 1e-6)
    measured = share > 0.5
    _check_count(int(np.count_nonzero(measured)))
    return np.where(measured, found, 0), measured


def read_guide(
    guide: Cube, step: int, watch: Watch, windows: Sequence[Window] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the guide's bands ``(g, h, w)`` with a contrast of about 1, and the share of each pixel that was measured.

    Raises
    ------
    AlignmentError
        If the guide is constant or has too few measured pixels.
    """
    bands, height, width = guide.shape
    found = np.zeros((bands, max(1, height // step), max(1, width // step)), np.float32)
    share = np.zeros(found.shape[1:], np.float32)
    parts = list(_parts(windows, (height, width), step, bands))
    for number, (rows, columns) in enumerate(parts):
        watch.tell(number, len(parts), "Reading the guide")
        values = guide.read(rows, columns).astype(np.float32, copy=False)
        ok: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=0))
        if not ok.all():
            values = np.where(ok, values, np.float32(0))
        target = _target(rows, columns, step)
        share[target] = boxes(ok.astype(np.float32)[None], step)[0]
        found[:, *target] = boxes(values, step) / np.maximum(share[target], 1e-6)
    measured = share > 0.5
    if np.count_nonzero(measured) < 4 * COMPONENTS:
        raise AlignmentError("The guide holds hardly any valid pixel. Check its no-data value.")
    pixels = found[:, measured].astype(np.float64)
    mean, spread = pixels.mean(axis=1), pixels.std(axis=1)
    varied = spread > 1e-6 * np.maximum(np.abs(mean), 1e-30)
    if not varied.any():
        raise AlignmentError("The guide is constant: nothing in it can be compared with the cube. Check the file.")
    found = (found[varied] - mean[varied, None, None]) / spread[varied, None, None]
    if len(found) > GUIDE_BANDS:
        inner = found[:, measured]
        _, vectors = np.linalg.eigh(inner @ inner.T)
        found = np.tensordot(vectors[:, : -GUIDE_BANDS - 1 : -1].T, found, axes=1)
    return np.where(measured, found, 0).astype(np.float32), share


def boxes(planes: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the means of `factor` x `factor` boxes of planes ``(p, h, w)``; what is left over is dropped."""
    if factor == 1:
        return planes
    count, height, width = planes.shape
    rows, columns = height // factor, width // factor
    whole = planes[:, : rows * factor, : columns * factor]
    return np.asarray(whole.reshape(count, rows, factor, columns, factor).mean(axis=(2, 4)))


def _parts(windows: Sequence[Window] | None, size: tuple[int, int], step: int, bands: int) -> Iterator[Window]:
    """Yield windows of whole averaged pixels, at most `memory.STRIP` bytes of double precision each."""
    whole = [(slice(0, size[0]), slice(0, size[1]))] if windows is None else windows
    for rows, columns in whole:
        top, left = (-(-part.start // step) * step for part in (rows, columns))
        bottom, right = (part.stop // step * step for part in (rows, columns))
        if right <= left:
            continue
        lines = max(1, memory.STRIP // (8 * bands * (right - left)) // step) * step
        for start in range(top, bottom, lines):
            yield slice(start, min(start + lines, bottom)), slice(left, right)


def _target(rows: slice, columns: slice, step: int) -> Window:
    return slice(rows.start // step, rows.stop // step), slice(columns.start // step, columns.stop // step)


def _check_count(count: int) -> None:
    if count < 4 * COMPONENTS:
        raise AlignmentError(
            f"Only {count} pixels of the cube hold values in all bands; at least {4 * COMPONENTS} are needed to align "
            "it. Check its no-data value."
        )


def _directions(
    hsi: Cube, watch: Watch, windows: Sequence[Window] | None
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return the bands used, their means, and whitening directions ``(bands, k)``."""
    bands, height, width = hsi.shape
    good = hsi.good if hsi.good.any() else np.ones(bands, np.bool_)
    chosen = windows or [(rows, slice(0, width)) for rows in sample_rows(height, width, bands)]
    total = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in chosen)
    parts = []
    for number, (rows, columns) in enumerate(chosen):
        watch.tell(number, len(chosen), "Reading the cube")
        values = hsi.read(rows, columns)[good].reshape(int(np.count_nonzero(good)), -1)
        parts.append(values[:, :: max(1, total // SAMPLED)])
    pixels = np.concatenate(parts, axis=1).astype(np.float64)
    some = np.isfinite(pixels).any(axis=1)
    pixels = pixels[some]
    pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
    _check_count(pixels.shape[1])
    mean = pixels.mean(axis=1)
    pixels -= mean[:, None]
    variance, vectors = np.linalg.eigh(pixels @ pixels.T / pixels.shape[1])
    if not variance[-1] > 1e-12 * float(np.mean(mean**2)):
        raise AlignmentError("The cube is constant: nothing in it can be compared with the guide. Check the file.")
    count = min(COMPONENTS, len(mean), max(1, pixels.shape[1] // 30))
    kept = variance[-count:][::-1] > 1e-10 * variance[-1]
    directions = vectors[:, -count:][:, ::-1][:, kept] / np.sqrt(variance[-count:][::-1][kept])
    return np.flatnonzero(good)[some], mean, directions
