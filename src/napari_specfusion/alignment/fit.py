"""Gauss-Newton fit of a transform, by the residual that calibration uses.

The blurred guide is sampled at the transformed cube pixels and regressed on the cube's principal components and a
constant. The share of its variance that is left over falls with the misalignment, whatever the two cameras' bands are.
Its derivative by a transform's parameters is that of the samples, less what the components explain of it (variable
projection, Golub and Pereyra 1973, in Kaufman's approximation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_specfusion.alignment.model import MODELS, Frame
from napari_specfusion.alignment.transform import Transform, homogeneous

if TYPE_CHECKING:
    from napari_specfusion.alignment.views import CubeView, GuideView, Patches

__all__ = ["Fit", "Level", "Match", "detail_share", "fit_matrix", "frame_of", "held_out", "match"]

# least share of the pixels that must stay on common ground
COMMON = 0.3
# and least number of pixels for each component that the guide is regressed on
LEAST = 5
# held-out pixels lie in blocks of this side, along diagonals
BLOCK = 8
STEPS, TRIES = 25, 5
# standard deviation of the surroundings that detail stands out from, in pixels of the view
SURROUNDINGS = 1.5
# a fit has converged when no parameter moves by this many pixels of its view
CONVERGED = 3e-3


@dataclass(frozen=True, eq=False)
class Level:
    """The two images at one scale.

    Attributes
    ----------
    cube, guide
        Their views.
    used
        Boolean ``(h, w)``: pixels of the cube's view that take part.
    """

    cube: CubeView
    guide: GuideView | Patches
    used: NDArray[np.bool_]

    @property
    def positions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cube coordinates (y, x) of the pixels that take part."""
        return self.cube.y[self.used], self.cube.x[self.used]

    def only(self, pixels: NDArray[np.bool_]) -> Level:
        """Return the level with fewer pixels."""
        return Level(self.cube, self.guide, self.used & pixels)


@dataclass(frozen=True, eq=False)
class Match:
    """The guide at the transformed pixels, and what the cube explains of it.

    Attributes
    ----------
    inside
        Which of the level's pixels ``(m,)`` lie on common ground: n of them.
    y, x
        Their guide coordinates ``(n,)``.
    basis
        Orthonormal basis ``(n, k + 1)`` of the components and the constant.
    left
        What they do not explain ``(g, n)``, in units of `contrast`.
    contrast
        Root of each band's sum of squares about its mean ``(g,)``.
    weight
        Root of the trust in each pixel ``(n,)``.
    """

    inside: NDArray[np.bool_]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    basis: NDArray[np.float64]
    left: NDArray[np.float64]
    contrast: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Number of pixels on common ground."""
        return len(self.y)

    @property
    def share(self) -> float:
        """Share (0 to 1) of the guide's variance that is left over, corrected for the components' number."""
        freedom = self.count / max(self.count - self.basis.shape[1], 1)
        return min(1.0, float(freedom * np.sum(self.left**2)) / len(self.left))

    def trust(self) -> NDArray[np.float64]:
        """Return a weight ``(m,)`` for each of the level's pixels: small where far more is left over than usual."""
        misfit = np.sqrt(np.sum(self.left**2, axis=0)) / self.weight
        usual = 3 * max(float(np.median(misfit)), 1e-12)
        trust = np.zeros(len(self.inside))
        trust[self.inside] = 1 / (1 + (misfit / usual) ** 2)
        # pixels that come in later are as good as most
        trust[~self.inside] = 0.5
        return trust


def match(
    level: Level, y: NDArray[np.float64], x: NDArray[np.float64], trust: NDArray[np.float64] | None = None
) -> Match | None:
    """Compare the images with the cube's pixels at guide positions (y, x); None if too few lie on common ground.

    `trust` ``(m,)`` weights the pixels; None trusts all alike.
    """
    inside = level.guide.inside(y, x)
    count, needed = int(np.count_nonzero(inside)), LEAST * (len(level.cube.values) + 1)
    if count < max(needed, COMMON * min(len(y), _seen(level, y, x))):
        return None
    weight = np.ones(count) if trust is None else np.sqrt(trust[inside])
    components = level.cube.values[:, level.used][:, inside].T.astype(np.float64)
    basis = np.linalg.qr(np.column_stack([np.ones(count), components]) * weight[:, None])[0]
    y, x = y[inside], x[inside]
    values = level.guide.sample(y, x).astype(np.float64)
    weighted = (values - values.mean(axis=1, keepdims=True)) * weight
    level_of = weight / np.linalg.norm(weight)
    centred = weighted - (weighted @ level_of)[:, None] * level_of
    # a band that is flat on the common ground says nothing
    contrast = np.maximum(np.linalg.norm(centred, axis=1), 0.02 * np.linalg.norm(weight))
    left = (centred - (centred @ basis) @ basis.T) / contrast[:, None]
    flat = np.linalg.norm(centred, axis=1) < 0.999 * contrast
    left[flat] = level_of
    return Match(inside, y, x, basis, left, contrast, weight)


def _seen(level: Level, y: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    """Return roughly how many of the cube's pixels the whole guide would cover."""
    if len(y) < 3:
        return float(len(y))
    ground = level.guide.ground
    # area of a pixel of the view in guide pixels, from the extent of all
    rows, columns = level.positions
    spread = np.cov(np.stack([rows, columns])), np.cov(np.stack([y, x]))
    growth = np.sqrt(np.linalg.det(spread[1]) / max(float(np.linalg.det(spread[0])), 1e-12))
    return float(ground / max(float(growth) * level.cube.step**2, 1e-12))


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted matrix.

    Attributes
    ----------
    matrix
        ``(3, 3)`` from cube to guide pixels.
    share
        Share (0 to 1) of the guide's variance that is left over.
    count
        Number of pixels on common ground.
    errors
        Standard error ``(k,)`` of each parameter of the model, in guide pixels at the edge of the frame.
    frame
        The coordinates in which they count.
    """

    matrix: NDArray[np.float64]
    share: float
    count: int
    errors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    frame: Frame = field(default_factory=lambda: Frame(0.0, 0.0, 1.0))

    @property
    def gain(self) -> float:
        """Log-likelihood that the match gains over none: large overlaps that are well explained come first."""
        return float(-self.count * np.log(max(self.share, 1e-12)))


def frame_of(level: Level, matrix: NDArray[np.float64]) -> Frame:
    """Return the frame about the common ground of the two images."""
    y, x = homogeneous(matrix, *level.positions)
    inside = level.guide.inside(y, x)
    if inside.any():
        y, x = y[inside], x[inside]
    centre = float(np.mean(y)), float(np.mean(x))
    return Frame(*centre, max(1.0, float(np.quantile(np.hypot(y - centre[0], x - centre[1]), 0.98))))


def fit_matrix(
    level: Level,
    matrix: NDArray[np.float64],
    model: str,
    *,
    moved: Transform | None = None,
    robust: bool = False,
    steps: int = STEPS,
    check: Callable[[], None] | None = None,
) -> Fit | None:
    """Improve a matrix until the residual falls no further; None if the images have too little common ground.

    Parameters
    ----------
    level
        The views to compare.
    matrix
        Where to start.
    model
        A key of `MODELS`: in which ways the matrix may change.
    moved
        A transform whose displacements are added to the matrix.
    robust
        Whether pixels that fit much worse than most count less, such as things that moved.
    steps
        Number of steps at most.
    check
        Called before each step; may raise to stop.
    """
    frame = frame_of(level, matrix)

    def at(trial: NDArray[np.float64], trust: NDArray[np.float64] | None = None) -> Match | None:
        whole = Transform(trial) if moved is None else Transform(trial, moved.field, moved.lines)
        return match(level, *whole.to_guide(*level.positions), trust)

    now, trust = at(matrix), None
    if now is None:
        return None
    damping, pixel = 1e-3, level.cube.step * _scale(level, matrix)
    normal = np.eye(MODELS[model])
    for number in range(steps):
        if check is not None:
            check()
        if robust and number:
            trust = now.trust()
            now = at(matrix, trust) or now
        normal, slope = _normal_equations(level, now, frame, model)
        for _ in range(TRIES):
            step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)) + 1e-12 * np.eye(len(slope)), slope)
            # no step leaves the range in which the slopes hold
            step *= min(1.0, 2 * pixel / max(float(np.abs(step).max()), 1e-12))
            trial = frame.moved(matrix, model, np.asarray(step, np.float64))
            then = at(trial, trust)
            if then is not None and then.share < now.share:
                break
            damping = max(damping, 1e-4) * 8
        else:
            break
        matrix, now, damping = trial, then, damping / 6
        if float(np.abs(step).max()) < CONVERGED * pixel and (number or not robust):
            break
    spread = len(now.left) * now.share / max(now.left.size - len(normal) - now.basis.shape[1], 1)
    errors = np.sqrt(np.clip(np.diag(np.linalg.pinv(normal)), 0, None) * spread)
    plain = now if trust is None else at(matrix) or now
    return Fit(matrix, plain.share, plain.count, errors, frame)


def _scale(level: Level, matrix: NDArray[np.float64]) -> float:
    y, x = level.positions
    return Transform(matrix).scale_at(float(np.mean(y)), float(np.mean(x)))


def _normal_equations(
    level: Level, now: Match, frame: Frame, model: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Gauss-Newton matrix ``(k, k)`` and the gradient ``(k,)`` of half the squared residual."""
    down, right = level.guide.slopes(now.y, now.x).astype(np.float64)
    ways = frame.directions(now.y, now.x, model)
    normal, slope = np.zeros((ways.shape[1],) * 2), np.zeros(ways.shape[1])
    for band in range(len(now.left)):
        lines = (ways[0] * down[band] + ways[1] * right[band]) * (now.weight / now.contrast[band])
        lines -= (lines @ now.basis) @ now.basis.T
        normal += lines @ lines.T
        slope += lines @ now.left[band]
    return normal, slope


def held_out(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a quarter of an image's pixels, in diagonal rows of blocks, so that every line keeps three quarters."""
    side = max(1, min(BLOCK, min(shape) // 4))
    y, x = (np.arange(n) // side for n in shape)
    return np.asarray((y[:, None] + x) % 4 == 0)


def detail_share(level: Level, transform: Transform) -> float:
    """Return the share (0 to 1) of the guide's fine detail that the cube does not explain; 1 where nothing overlaps.

    Detail is what differs from the surroundings of about three pixels. Smooth images of different places resemble each
    other once shifted, turned and scaled; their detail does not.
    """
    shape = level.used.shape
    y, x = (c.ravel() for c in transform.to_guide(level.cube.y, level.cube.x))
    ok = level.used & level.guide.inside(y, x).reshape(shape)
    components = level.cube.values
    count = int(np.count_nonzero(ok))
    if count < 3 * (len(components) + 1):
        return 1.0
    around = np.maximum(gaussian_filter(ok.astype(np.float32), SURROUNDINGS), 1e-6)
    guide = level.guide.sample(y, x).reshape(-1, *shape)
    sharp, coarse = (
        np.stack([plane - gaussian_filter(plane * ok, SURROUNDINGS) / around for plane in planes])[:, ok]
        for planes in (guide, components)
    )
    basis = np.linalg.qr(coarse.T.astype(np.float64))[0]
    left = sharp - (sharp @ basis) @ basis.T
    contrast = np.maximum(np.sum(sharp.astype(np.float64) ** 2, axis=1), 1e-12)
    share = float(np.mean(np.sum(left**2, axis=1) / contrast))
    return min(1.0, share * count / max(count - len(components), 1))
