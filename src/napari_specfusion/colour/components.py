"""Few images that hold most of a cube: principal components, and minimum noise fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from napari_specfusion.arguments import choice, whole
from napari_specfusion.colour.reading import checked_cut, mapped, picture_of, stretched, watch_of
from napari_specfusion.errors import CubeError
from napari_specfusion.io import as_cube

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.progress import Progress, ShouldStop, Watch

__all__ = ["component_colours", "mnf", "pca"]

Floats = NDArray[np.float64]

# pixels that the statistics are taken of, about, and rows that are read at one place
SAMPLE_PIXELS, SAMPLE_ROWS = 1 << 18, 8
# least noise of a band in MNF, as a share of its contrast: a band without noise would outweigh all others
LEAST_NOISE = 1e-4
MESSAGE = "Projecting the spectra"
CHANNELS = ("red", "green", "blue")


def pca(
    cube: CubeLike,
    count: int = 6,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return the principal components of a cube, those of the largest variance first.

    Bad bands, and bands that are empty or constant, are left out. In a large cube, the statistics are those of about
    260 000 pixels spread over it.

    Parameters
    ----------
    cube
        A cube, or what `as_cube` makes one of. It is read in strips.
    count
        Number of components; fewer where the cube has fewer bands.
    progress, should_stop
        As `fuse` takes them.

    Returns
    -------
    Cube
        Components ``(count, y, x)`` in the cube's units, of mean 0, float32, in memory; NaN where a band is missing.
        Of each, the largest loading is positive. The metadata hold ``explained_variance``, shares of the whole.

    Raises
    ------
    CubeError
        If there are not two good bands, or too few complete pixels.
    Cancelled
        If `should_stop` says so.
    """
    cube, count, watch = _begin(cube, count, progress, should_stop)
    statistics = _Statistics.of(cube, watch)
    variances, loadings = np.linalg.eigh(statistics.covariance)
    shares = np.clip(variances[::-1][:count] / variances.sum(), 0, 1)
    values = statistics.project(cube, loadings[:, ::-1][:, :count], watch)
    names = tuple(f"PC {i} ({share:.1%})" for i, share in enumerate(shares, start=1))
    return picture_of(cube, values, "PCA", names, explained_variance=[float(share) for share in shares])


def mnf(
    cube: CubeLike,
    count: int = 6,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return the minimum noise fractions of a cube, those of the highest signal-to-noise ratio first.

    The noise is estimated from differences between neighbours along the rows, so that detail of one pixel counts as
    noise, too. Bands are left out, and statistics taken, as in `pca`. After A. A. Green, M. Berman, P. Switzer and
    M. D. Craig, IEEE Transactions on Geoscience and Remote Sensing 26(1), 1988.

    Parameters
    ----------
    cube
        A cube, or what `as_cube` makes one of. It is read in strips.
    count
        Number of components; fewer where the cube has fewer bands.
    progress, should_stop
        As `fuse` takes them.

    Returns
    -------
    Cube
        Components ``(count, y, x)``, of mean 0 and with noise of standard deviation 1, float32, in memory; NaN where a
        band is missing. The metadata hold ``signal_to_noise``, the ratio of the variances of signal and noise.

    Raises
    ------
    CubeError
        If there are not two good bands, too few complete pixels, or only one column.
    Cancelled
        If `should_stop` says so.
    """
    cube, count, watch = _begin(cube, count, progress, should_stop)
    if cube.shape[2] < 2:
        raise CubeError(f"{cube.name} has one column; MNF estimates noise from neighbours along the rows. Try PCA.")
    statistics = _Statistics.of(cube, watch)
    spread = np.sqrt(np.diag(statistics.covariance))
    spread[spread == 0] = 1
    # in units of each band's contrast, so that bands of any unit can be compared
    noise = statistics.noise / np.outer(spread, spread) + LEAST_NOISE**2 * np.eye(len(spread))
    ratios, vectors = eigh(statistics.covariance / np.outer(spread, spread), noise)
    loadings = (vectors / spread[:, None])[:, ::-1][:, :count]
    signal = np.clip(ratios[::-1][:count] - 1, 0, None)
    values = statistics.project(cube, loadings, watch)
    names = tuple(f"MNF {i} (SNR {ratio:.3g})" for i, ratio in enumerate(signal, start=1))
    return picture_of(cube, values, "MNF", names, signal_to_noise=[float(ratio) for ratio in signal])


def component_colours(
    cube: CubeLike,
    method: Literal["PCA", "MNF"] = "PCA",
    stretch: float = 2.0,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return the first three components of a cube as one picture: the first is red, the second green, the third blue.

    Parameters
    ----------
    cube
        A cube, or what `as_cube` makes one of. It is read in strips.
    method
        "PCA" as `pca` computes them, or "MNF" as `mnf` does.
    stretch
        Percent of the pixels, 0 to 25, that are clipped at either end of each channel.
    progress, should_stop
        As `fuse` takes them.

    Returns
    -------
    Cube
        Red, green and blue ``(3, y, x)``, 0 to 1, float32, in memory; NaN where a band is missing. The metadata hold
        what `pca` and `mnf` note, and the names of the ``components``.

    Raises
    ------
    CubeError
        If there are not three good bands that vary, or as `pca` and `mnf` do.
    Cancelled
        If `should_stop` says so.
    """
    choice("method", method, ("PCA", "MNF"), CubeError)
    cube, cut = as_cube(cube), checked_cut(stretch)
    found = (pca if method == "PCA" else mnf)(cube, 3, progress=progress, should_stop=should_stop)
    if found.bands < 3:
        raise CubeError(
            f"{cube.name} has {found.bands} good bands that vary; a picture of three components needs three. Show its "
            "components one by one instead."
        )
    image = found.read()
    stretched(image, cut)
    noted = {key: value for key, value in found.metadata.items() if key in ("explained_variance", "signal_to_noise")}
    title = f"{method} 1, 2, 3 as RGB"
    return picture_of(cube, image, title, CHANNELS, components=found.band_names, stretch=cut, **noted)


def _begin(cube: CubeLike, count: int, progress: Any, should_stop: Any) -> tuple[Cube, int, Watch]:
    return as_cube(cube), whole("The number of components", count, 1, error=CubeError), watch_of(progress, should_stop)


class _Statistics:
    """Bands that vary, their mean, covariance and noise covariance, of a sample of complete pixels."""

    def __init__(self, bands: NDArray[np.intp], mean: Floats, covariance: Floats, noise: Floats) -> None:
        self.bands, self.mean, self.covariance, self.noise = bands, mean, covariance, noise

    @classmethod
    def of(cls, cube: Cube, watch: Watch) -> _Statistics:
        parts = _spread_rows(*cube.shape[1:])
        bands = _varying(cube, parts, watch)
        chosen = cube.select(bands)
        n, pixels, neighbours = len(bands), 0, 0
        # about the first part's mean: sums of squares about zero would lose the digits of a small contrast
        level: Floats | None = None
        total, squares, noise = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
        for done, rows in enumerate(parts):
            watch.tell(done, len(parts), "Taking the statistics")
            values = chosen.read(rows).astype(np.float64)
            complete = np.asarray(np.isfinite(values).all(axis=0))
            whole_pixels = values[:, complete]
            if not whole_pixels.size:
                continue
            level = whole_pixels.mean(axis=1) if level is None else level
            whole_pixels -= level[:, None]
            pixels += whole_pixels.shape[1]
            total += whole_pixels.sum(axis=1)
            squares += whole_pixels @ whole_pixels.T
            steps = np.diff(values, axis=2)[:, complete[:, 1:] & complete[:, :-1]]
            neighbours += steps.shape[1]
            noise += steps @ steps.T
        if level is None or pixels <= n:
            raise CubeError(
                f"{pixels} pixels of {cube.name} have a value in all of its {n} good bands; components need more "
                "pixels than bands. Mark bands with many missing values as bad."
            )
        mean = total / pixels
        covariance = (squares - pixels * np.outer(mean, mean)) / (pixels - 1)
        # a difference holds the noise of two pixels
        return cls(bands, level + mean, covariance, noise / (2 * max(1, neighbours)))

    def project(self, cube: Cube, loadings: Floats, watch: Watch) -> NDArray[np.float32]:
        largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=0)[None], axis=0)
        matrix = (loadings * np.where(largest < 0, -1.0, 1.0)).T
        mean = self.mean[:, None, None]
        return mapped(
            cube, self.bands, len(matrix), lambda values: np.tensordot(matrix, values - mean, axes=1), watch, MESSAGE
        )


def _varying(cube: Cube, parts: list[slice], watch: Watch) -> NDArray[np.intp]:
    """Return the good bands that hold more than one value in the sample."""
    good = np.flatnonzero(cube.good)
    low, high = np.full(len(good), np.inf), np.full(len(good), -np.inf)
    chosen = cube.select(good) if len(good) else cube
    for rows in parts if len(good) else ():
        watch.check()
        values = chosen.read(rows)
        known = np.isfinite(values)
        low = np.minimum(low, values.min(axis=(1, 2), where=known, initial=np.inf))
        high = np.maximum(high, values.max(axis=(1, 2), where=known, initial=-np.inf))
    bands = good[high > low]
    if len(bands) < 2:
        raise CubeError(
            f"{cube.name} has {len(bands)} good band{'s' if len(bands) != 1 else ''} that vary; components need two."
        )
    return bands


def _spread_rows(height: int, width: int) -> list[slice]:
    """Return ranges of rows, spread evenly, that hold about `SAMPLE_PIXELS` pixels; all of them in a small image."""
    blocks = -(-height // SAMPLE_ROWS)
    wanted = max(8, -(-SAMPLE_PIXELS // (SAMPLE_ROWS * width)))
    chosen = np.unique(np.linspace(0, blocks - 1, min(blocks, wanted)).round().astype(int))
    return [slice(int(b) * SAMPLE_ROWS, min((int(b) + 1) * SAMPLE_ROWS, height)) for b in chosen]
