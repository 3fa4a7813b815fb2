"""Each band's own place, magnification and sharpness against the guide.

Keystone and lateral chromatic aberration displace the bands of a cube against each other. Each band is regressed on
the degraded guide and on its differences, with one displacement, magnification and blur for all guide bands
(Gauss-Newton). Only detail counts: a relation of colours that changes over the image would otherwise look like a
displacement. What the fit gains on pixels that it has not seen decides whether it is believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_specfusion.data.scene import Finding
from napari_specfusion.sensor.expansion import PARAMETERS, TERMS, Expansion, factors, seen_differences, slopes

if TYPE_CHECKING:
    from napari_specfusion.calibration.moments import CoarseGuide
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.progress import Watch
    from napari_specfusion.sensor.sampling import Matrix, Sampling

__all__ = ["BandGeometry", "band_geometry"]

# the scene is sampled in so many patches along each axis, each of at most so many LR pixels a side
PATCHES, PATCH = 6, 40
# every third patch along each axis is left out together: nine fits for the errors and the gain
LEFT_OUT = 3
# standard deviation in LR pixels of the mean that is subtracted to leave detail
DETAIL = 1.0
# LR pixels that the fit needs for each unknown of a band
PIXELS_PER_UNKNOWN = 40
# guide bands, at most: the normal equations hold eleven terms of each
MOST_GUIDES = 16
ITERATIONS = 4
# how many of the parameters displace a band; the methods leave its blur alone
DISPLACEMENT = 3
# Least share of a band's unexplained detail that its geometry must explain on pixels left out, and least share of its
# detail that the guide must explain. Set by hand after a look at CAVE training scenes, not searched for.
MIN_GAIN, MIN_EXPLAINED = 0.03, 0.5
# Most that a displacement may be uncertain by, at the edge too, in LR pixels. On airborne cubes of 20 to 25 pixels a
# side errors of 0.05 and more cost GLP and subspace up to 3 dB.
MAX_ERROR = 0.03


@dataclass(frozen=True, eq=False)
class BandGeometry:
    """Where each of B bands lies against the guide, beside what the calibration says for all of them.

    A band sees the guide at its pixels' calibrated places plus ``shift + magnification * (place - centre)``.

    Attributes
    ----------
    shift
        (y, x) displacement ``(B, 2)`` at the centre, in HR pixels; of the LR grid, as in `Calibration`.
    magnification
        ``(B,)``: relative change of the distance from the centre.
    width
        ``(B,)``: how much the standard deviation of the band's PSF exceeds the calibrated one, in HR pixels.
    shift_error, magnification_error, width_error
        Their standard errors.
    centre
        (y, x) of the centre in HR pixels: the middle of the guide.
    gain
        ``(B,)``: share of the detail that the guide leaves unexplained in a band that these values explain on pixels
        left out of the fit.
    significant
        Boolean ``(B,)``: bands whose values can be believed. The others are taken as lying where the calibration says.
    parameters, expansion
        The significant values ``(B, 4)``, 0 for the other bands, as factors of the guide's `Expansion`.
    weights
        ``(B, G)``: the regression of each band's detail on the guide in the band's geometry.
    ratio
        HR pixels per LR pixel.
    names
        What to call the bands.
    """

    shift: NDArray[np.float64]
    magnification: NDArray[np.float64]
    width: NDArray[np.float64]
    shift_error: NDArray[np.float64]
    magnification_error: NDArray[np.float64]
    width_error: NDArray[np.float64]
    centre: tuple[float, float]
    gain: NDArray[np.float64]
    significant: NDArray[np.bool_]
    parameters: NDArray[np.float64]
    expansion: Expansion
    weights: NDArray[np.float64]
    ratio: float
    names: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether any band lies elsewhere than the calibration says."""
        return bool(self.significant.any())

    def displacement(self, y: float, x: float) -> NDArray[np.float64]:
        """Return the (y, x) displacement ``(B, 2)`` of the bands at an HR pixel; 0 where it is not significant."""
        place = [self.expansion.coordinate(np.array(at), axis) for axis, at in enumerate((y, x))]
        return np.asarray(self.parameters[:, :2] + self.parameters[:, 2:3] * np.stack(place))

    def displaced(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights ``(B, T G)`` of the guide's terms that displace what `weights` ``(B, G)`` make of it."""
        return _mixed(weights, self.parameters)

    def mixing(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights ``(B, T G)`` of the guide's terms, `weights` ``(B, G)`` for bands that stay in place."""
        return self.displaced(np.where(self.significant[:, None], self.weights, weights))

    def spread(self) -> tuple[float, int, int]:
        """Return the largest distance of two bands in HR pixels, at the centre or in a corner, and their numbers."""
        (y, x), best = self.centre, (0.0, 0, 0)
        for at in ((y, x), (0.0, 0.0), (0.0, 2 * x), (2 * y, 0.0), (2 * y, 2 * x)):
            points = self.displacement(*at)
            away = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
            first, second = np.unravel_index(np.argmax(away), away.shape)
            low, high = sorted((int(first), int(second)))
            best = max(best, (float(away[low, high]), low, high))
        return best

    def findings(self) -> Iterator[Finding]:
        """Yield how far the bands lie beside each other; nothing unless it is significant."""
        if not self:
            return
        distance, first, second = self.spread()
        yield Finding(
            "info" if distance < self.ratio / 2 else "warning",
            "bands",
            f"The cube's bands do not lie exactly on each other: {self.names[first]} and {self.names[second]} are up "
            f"to {distance:.1f} px of the guide apart (keystone or chromatic aberration). The fusion allows for "
            "that.",
        )


def band_geometry(
    scene: Scene, sampling: Sampling, guide: CoarseGuide, live: NDArray[np.bool_], watch: Watch
) -> BandGeometry | None:
    """Estimate each band's geometry from patches of at most 40 x 40 LR pixels spread over the scene.

    Parameters
    ----------
    scene
        The pair.
    sampling
        Its calibrated sampling.
    guide
        The degraded guide; says which pixels can be used.
    live
        Boolean ``(B,)``: bands that hold data.
    watch
        Checked between patches.

    Returns
    -------
    BandGeometry or None
        None where there are too few pixels to tell.

    Raises
    ------
    Cancelled
        If `watch` stops it.
    """
    guides = scene.guide.bands
    if guides > MOST_GUIDES or not live.any():
        return None
    ratio = sampling.ratio
    expansion = Expansion.of(scene.guide.shape[1:], max(1, round(float(ratio) / 4)))
    sums = _sums(scene, sampling, guide, live, expansion, watch)
    whole = sums.total(np.ones(len(sums.counts), np.bool_))
    if whole.count < PIXELS_PER_UNKNOWN * (guides + PARAMETERS) or not whole.gram.any():
        return None
    # half an LR pixel of displacement, at the edge for the magnification; the PSF keeps a positive width
    spread = sampling.psf.width**2
    limits = np.array([[-float(ratio) / 2] * 3 + [-0.45 * spread], [float(ratio) / 2] * 3 + [spread]])
    weights, found = _fit(whole, guides, limits, DISPLACEMENT)
    width = np.sqrt(spread + 2 * _fit(whole, guides, limits, PARAMETERS)[1][:, 3])
    errors, gain, explained = _left_out(sums, guides, limits, watch)
    certain = errors[:, :DISPLACEMENT].max(axis=1) < MAX_ERROR * float(ratio)
    significant = live & certain & (gain > MIN_GAIN) & (explained > MIN_EXPLAINED)
    used = np.where(significant[:, None], found, 0.0)
    # The expansion is exact at whole steps and good up to a half more; what magnification adds is less but at the edge.
    reach = max(1, math.ceil(float(np.abs(used * [1, 1, 0.5, 0]).max(initial=0)) / 1.5))
    return BandGeometry(
        shift=found[:, :2],
        magnification=found[:, 2] / expansion.unit,
        width=width - math.sqrt(spread),
        shift_error=errors[:, :2],
        magnification_error=errors[:, 2] / expansion.unit,
        width_error=errors[:, 3] / width,
        centre=expansion.centre,
        gain=gain,
        significant=significant,
        parameters=used,
        expansion=Expansion.of(scene.guide.shape[1:], reach),
        weights=weights,
        ratio=float(ratio),
        names=_names(scene),
    )


def _names(scene: Scene) -> tuple[str, ...]:
    cube = scene.hsi
    if cube.wavelengths is None:
        return tuple(f"band {number + 1}" for number in range(cube.bands))
    return tuple(f"{value:.4g} {cube.spectral_unit}" for value in cube.wavelengths)


@dataclass(frozen=True, eq=False)
class _Normal:
    """Normal equations of B bands on T terms of G guide bands: terms by terms, bands by terms, squares of the bands."""

    count: int
    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    power: NDArray[np.float64]

    def left(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of squares ``(B,)`` that `weights` ``(B, T G)`` leave."""
        return np.asarray(self.power + np.einsum("bt,bt->b", weights, weights @ self.gram - 2 * self.cross))


@dataclass(frozen=True, eq=False)
class _Sums:
    """The normal equations of each patch, and the (row, column) of the patches."""

    places: NDArray[np.int64]
    counts: NDArray[np.int64]
    grams: NDArray[np.float64]
    crosses: NDArray[np.float64]
    powers: NDArray[np.float64]

    def total(self, chosen: NDArray[np.bool_]) -> _Normal:
        """Add up the chosen patches."""
        gram, cross, power = (part[chosen].sum(axis=0) for part in (self.grams, self.crosses, self.powers))
        return _Normal(int(self.counts[chosen].sum()), gram, cross, power)


def _sums(
    scene: Scene,
    sampling: Sampling,
    guide: CoarseGuide,
    live: NDArray[np.bool_],
    expansion: Expansion,
    watch: Watch,
) -> _Sums:
    """Read the patches and add up their normal equations."""
    (bands, *low), (guides, *sharp) = scene.hsi.shape, scene.guide.shape
    matrices = [expansion.seen_matrices(sampling, low[axis], sharp[axis], axis) for axis in (0, 1)]
    places = [expansion.coordinate(sampling.centres(low[axis], axis), axis) for axis in (0, 1)]
    usable = guide.measured & guide.inside
    if not guide.measured.all():
        # differences reach beyond the PSF
        usable &= ndimage.binary_erosion(guide.measured, np.ones((3, 3), np.bool_), border_value=1)
    cells = [(i, j) for i in range(PATCHES) for j in range(PATCHES)]
    counts = np.zeros(len(cells), np.int64)
    grams = np.zeros((len(cells), TERMS * guides, TERMS * guides))
    crosses = np.zeros((len(cells), bands, TERMS * guides))
    powers = np.zeros((len(cells), bands))
    for number, cell in enumerate(cells):
        watch.tell(number, len(cells), "Comparing the bands")
        rows, columns = (_patch(size, at) for size, at in zip(low, cell, strict=True))
        ok = usable[rows, columns]
        if not ok.any():
            continue
        cube = scene.hsi.read(rows, columns).astype(np.float64)
        cube[~live] = 0.0
        ok = ok & np.isfinite(cube).all(axis=0)
        (down_y, span_y), (down_x, span_x) = (_cut(matrices[axis], part) for axis, part in enumerate((rows, columns)))
        image = np.nan_to_num(scene.guide.read(span_y, span_x).astype(np.float32))
        y, x = places[0][rows, None], places[1][columns]
        terms = np.concatenate(expansion.terms(seen_differences(down_y, down_x, image).astype(np.float64), y, x))
        terms, cube = (_detail(values, ok) for values in (terms, cube))
        counts[number] = np.count_nonzero(ok)
        grams[number], crosses[number] = terms @ terms.T, cube @ terms.T
        powers[number] = np.sum(cube**2, axis=1)
    return _Sums(np.array(cells), counts, grams, crosses, powers)


def _patch(size: int, at: int) -> slice:
    """Return the LR pixels of patch number `at` along an axis of `size`: the middle of its share."""
    start, stop = size * at // PATCHES, size * (at + 1) // PATCHES
    start += max(0, stop - start - PATCH) // 2
    return slice(start, min(stop, start + PATCH))


def _cut(matrices: list[Matrix], rows: slice) -> tuple[list[Matrix], slice]:
    """Return the rows of the matrices without the columns that none of them uses, and which columns are left."""
    parts = [matrix[rows] for matrix in matrices]
    used = [part.indices for part in parts if part.nnz]
    span = slice(min(int(i.min()) for i in used), max(int(i.max()) for i in used) + 1) if used else slice(0, 1)
    return [part[:, span] for part in parts], span


def _detail(values: NDArray[np.float64], ok: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return `values` ``(N, h, w)`` minus their local mean, at the pixels `ok`: ``(N, pixels)``."""
    smooth_y, smooth_x = (np.exp(-0.5 * (np.subtract.outer(i, i) / DETAIL) ** 2) for i in map(np.arange, ok.shape))
    known = np.where(ok, values, 0.0)
    # at least the pixel itself counts
    share = smooth_y @ ok.astype(np.float64) @ smooth_x
    mean = (smooth_y @ known @ smooth_x)[:, ok] / share[ok]
    return np.asarray(known[:, ok] - mean)


def _plain(normal: _Normal, guides: int) -> NDArray[np.float64]:
    """Return the weights ``(B, G)`` of a regression without any geometry."""
    gram = normal.gram[:guides, :guides]
    scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(np.float64).tiny))
    standard = gram / np.outer(scale, scale) + 1e-6 * np.eye(guides)
    return np.asarray(np.linalg.solve(standard, (normal.cross[:, :guides] / scale).T).T / scale)


def _fit(
    normal: _Normal, guides: int, limits: NDArray[np.float64], free: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights ``(B, G)`` and parameters ``(B, 4)`` of all bands; only the first `free` ones are not 0."""
    weights = _plain(normal, guides)
    bands, unknowns = len(weights), guides + free
    found = np.zeros((bands, PARAMETERS))
    for _ in range(ITERATIONS):
        factor = factors(found)
        change = np.empty((bands, TERMS, guides, unknowns))
        change[..., :guides] = factor[:, :, None, None] * np.eye(guides)
        change[..., guides:] = slopes(found)[:, :, None, :free] * weights[:, None, :, None]
        flat = change.reshape(bands, TERMS * guides, unknowns)
        error = normal.cross - _mixed(weights, found) @ normal.gram
        right = np.einsum("btu,bt->bu", flat, error)
        left = flat.transpose(0, 2, 1) @ (normal.gram @ flat)
        scale = np.sqrt(np.maximum(np.einsum("buu->bu", left), 1e-300))
        left = left / (scale[:, :, None] * scale[:, None]) + 1e-6 * np.eye(unknowns)
        step = np.linalg.solve(left, (right / scale)[..., None])[..., 0] / scale
        weights = weights + step[:, :guides]
        found[:, :free] = np.clip(found[:, :free] + step[:, guides:], *limits[:, :free])
    return weights, found


def _mixed(weights: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights ``(B, T G)`` of the terms of all guide bands."""
    return (factors(parameters)[:, :, None] * weights[:, None]).reshape(len(weights), -1)


def _left_out(
    sums: _Sums, guides: int, limits: NDArray[np.float64], watch: Watch
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit without each ninth of the patches in turn.

    Returns the standard errors ``(B, 4)`` of the parameters (jackknife), and on the patches left out the share ``(B,)``
    of the unexplained detail that the displacement explains, and the share of all detail that the guide explains alone.
    """
    group = sums.places[:, 0] % LEFT_OUT * LEFT_OUT + sums.places[:, 1] % LEFT_OUT
    found = []
    plain, full = (np.zeros(sums.powers.shape[1]) for _ in range(2))
    for number in range(LEFT_OUT**2):
        watch.check()
        seen, unseen = sums.total(group != number), sums.total(group == number)
        weights, parameters = _fit(seen, guides, limits, DISPLACEMENT)
        blur = _fit(seen, guides, limits, PARAMETERS)[1][:, 3:]
        found.append(np.hstack([parameters[:, :DISPLACEMENT], blur]))
        full += unseen.left(_mixed(weights, parameters))
        only = _plain(seen, guides)
        plain += unseen.left(_mixed(only, np.zeros((len(only), PARAMETERS))))
    fits = np.array(found)
    errors = np.sqrt((len(fits) - 1) * fits.var(axis=0))
    power = np.maximum(sums.powers.sum(axis=0), np.finfo(np.float64).tiny)
    return errors, 1 - full / np.maximum(plain, 1e-8 * power), 1 - plain / power
