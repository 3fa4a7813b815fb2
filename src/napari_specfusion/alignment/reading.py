"""Read two images for a search: the cube's principal components and the guide's bands, averaged, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Return the cube's whitened components ``(k, h, w)`` in each window, and where they were measured ``(h, w)``.

    Parameters
    ----------
    hsi
        The cube.
    step
        Cube pixels along a side of each averaged pixel.
    watch
        Told about the reading; may stop it.
    windows
        Rows and columns to read; None reads all as one window.

    Raises
    ------
    AlignmentError
        If the cube is constant or has too few measured pixels.
    """
    live, mean, directions = _directions(hsi, watch, windows)
    basis = directions.T.astype(np.float32)

    def prepared(values: NDArray[Any]) -> NDArray[np.float32]:
        return np.tensordot(basis, (values[live] - mean[:, None, None]).astype(np.float32), axes=1)

    found = []
    for values, share in _averaged(hsi, step, watch, windows, prepared, len(basis), live):
        measured = share > 0.5
        found.append((np.where(measured, values, 0), measured))
    _check_count(sum(int(np.count_nonzero(measured)) for _, measured in found))
    return found


def read_guide(
    guide: Cube, step: int, watch: Watch, windows: Sequence[Window] | None = None
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the guide's bands ``(g, h, w)`` in each window, of contrast about 1, and the share that was measured.

    Raises
    ------
    AlignmentError
        If the guide is constant, has too few measured pixels, or is smaller than one step.
    """
    height, width = guide.shape[1:]
    if min(height, width) < step:
        raise AlignmentError(
            f"The guide of {height} x {width} pixels is smaller than a pixel of the cube by the ratio at hand. Check "
            "the ratio, and which of the two is the guide."
        )
    found = list(_averaged(guide, step, watch, windows, None, guide.bands, np.arange(guide.bands)))
    pixels = np.concatenate([values[:, share > 0.5] for values, share in found], axis=1).astype(np.float64)
    if pixels.shape[1] < 4 * COMPONENTS:
        raise AlignmentError("The guide holds hardly any valid pixel. Check its no-data value.")
    mean, spread = pixels.mean(axis=1), pixels.std(axis=1)
    varied = spread > 1e-6 * np.maximum(np.abs(mean), 1e-30)
    if not varied.any():
        raise AlignmentError("The guide is constant: nothing in it can be compared with the cube. Check the file.")
    mix = np.diag(1 / spread[varied])
    if len(mix) > GUIDE_BANDS:
        inner = mix @ (pixels[varied] - mean[varied, None])
        mix = np.linalg.eigh(inner @ inner.T)[1][:, : -GUIDE_BANDS - 1 : -1].T @ mix
    out = []
    for values, share in found:
        centred = values[varied] - mean[varied, None, None]
        mixed = np.tensordot(mix, centred, axes=1)
        out.append((np.where(share > 0.5, mixed, 0).astype(np.float32), share))
    return out


def _averaged(
    image: Cube,
    step: int,
    watch: Watch,
    windows: Sequence[Window] | None,
    prepare: Callable[[NDArray[Any]], NDArray[np.float32]] | None,
    planes: int,
    live: NDArray[np.intp],
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield `step` x `step` means of each window ``(planes, h, w)`` and the share of each that was measured."""
    bands, height, width = image.shape
    whole = [(slice(0, height), slice(0, width))] if windows is None else windows
    total = sum(rows.stop - rows.start for rows, _ in whole)
    done = 0
    for rows, columns in whole:
        size = max(1, (rows.stop - rows.start) // step), max(1, (columns.stop - columns.start) // step)
        found, share = np.zeros((planes, *size), np.float32), np.zeros(size, np.float32)
        lines = max(1, memory.STRIP // (8 * bands * size[1] * step) // step)
        for first in range(0, size[0], lines):
            watch.tell(done, total, "Reading the two images")
            last = min(first + lines, size[0])
            part = slice(rows.start + first * step, rows.start + last * step)
            values = image.read(part, slice(columns.start, columns.start + size[1] * step))
            ok = np.isfinite(values[live]).all(axis=0)
            if not ok.all():
                values = np.where(ok, values, 0)
            ready = values.astype(np.float32, copy=False) if prepare is None else prepare(values)
            share[first:last] = boxes(ok.astype(np.float32)[None], step)[0]
            found[:, first:last] = boxes(ready * ok, step) / np.maximum(share[first:last], 1e-6)
            done += part.stop - part.start
        yield found, share


def boxes(planes: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the means of `factor` x `factor` boxes of planes ``(p, h, w)``; what is left over is dropped."""
    if factor == 1:
        return planes
    count, height, width = planes.shape
    rows, columns = height // factor, width // factor
    whole = planes[:, : rows * factor, : columns * factor]
    return np.asarray(whole.reshape(count, rows, factor, columns, factor).mean(axis=(2, 4)))


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
    _check_count(pixels.shape[1] if some.any() else 0)
    mean = pixels.mean(axis=1)
    pixels -= mean[:, None]
    variance, vectors = np.linalg.eigh(pixels @ pixels.T / pixels.shape[1])
    if not variance[-1] > 1e-12 * float(np.mean(mean**2)):
        raise AlignmentError("The cube is constant: nothing in it can be compared with the guide. Check the file.")
    count = min(COMPONENTS, len(mean), max(1, pixels.shape[1] // 30))
    kept = variance[-count:][::-1] > 1e-10 * variance[-1]
    directions = vectors[:, -count:][:, ::-1][:, kept] / np.sqrt(variance[-count:][::-1][kept])
    return np.flatnonzero(good)[some], mean, directions
