"""The simplest model that the pair supports: each is fitted to a part of the pixels and judged on the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.fit import BLOCK, Fit, Level, fit_matrix, held_out, match
from napari_specfusion.alignment.local import Lines, Smooth, fit_local
from napari_specfusion.alignment.model import MODELS
from napari_specfusion.alignment.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.alignment.find import Finder

__all__ = ["Chosen", "choose_local", "choose_model"]

# A richer model must leave less on the held-out blocks: by this share of the residual and so many standard errors, or
# by a share that no chance gives.
SURE, WORTH, PLAIN = 3.0, 0.005, 0.05
# models whose matrices the search finds: the width of the PSF is right for them
SHARP = ("shift", "rigid", "similarity", "affine")
# local displacements have many parameters, and bend to what is no displacement: they must leave far less
LOCAL_WORTH = 0.25
# and explain as much as a shift by this many cube pixels: less is not worth to bend what may be straight
LEAST_BEND = 0.05
# weights of the roughness that are tried for local displacements, and for a finer field that goes on from a coarser one
STIFFNESS, SOFT = (0.3, 0.01), (0.01, 0.001)
# distance of two coefficients of a smooth field in cube pixels, and into how many at most it cuts the image
SPACINGS, FINER = ((48.0, 8), (20.0, 16)), (10.0, 32)
# pixels that take part in a fit of local displacements
PIXELS = 16_400
# a cube with fewer lines or columns has no local displacements worth a try
SMALLEST = 24


@dataclass(frozen=True, eq=False)
class Chosen:
    """A model and its fit to all pixels."""

    model: str
    fit: Fit


def choose_model(
    finder: Finder,
    found: NDArray[np.float64],
    simplest: dict[str, NDArray[np.float64]],
    model: str,
    moved: Transform | None = None,
) -> Chosen:
    """Return the simplest model that the held-out pixels support, or the one that is asked for.

    Parameters
    ----------
    finder
        Holds the views of the pair.
    found
        Matrix ``(3, 3)`` that the search found.
    simplest
        Where to start models that keep a part of the matrix as it is expected: ``"shift"`` its linear part, ``"rigid"``
        its scale.
    model
        A key of `MODELS`, or ``"auto"``.
    moved
        A transform whose displacements are added to the matrix.
    """
    names = list(MODELS) if model == "auto" else [model]
    names = [name for name in names if name in simplest or name not in ("shift", "rigid")] or ["similarity"]
    started = simplest.get("shift", np.eye(3))
    if model == "auto" and np.abs(found[2, :2]).max() > 1e-12 and not np.abs(started[2, :2]).max() > 1e-12:
        # the search found a tilt that was not in the start
        names = ["projective"]
    level = finder.level(1, found)
    check = finder.watch.check
    if len(names) > 1:
        apart = held_out(level.used.shape)
        best: tuple[str, Transform] | None = None
        for name in names:
            fit = fit_matrix(level.only(~apart), simplest.get(name, found), name, moved=moved, robust=True, check=check)
            if fit is None:
                continue
            trial = Transform(
                fit.matrix, None if moved is None else moved.field, None if moved is None else moved.lines
            )
            if best is None or better(level.only(apart), trial, best[1]):
                best = name, trial
        names = [best[0]] if best is not None else names[-1:]
    start = simplest.get(names[0], found)
    if names[0] not in SHARP:
        # what the search found was blurred for a simpler model
        fit = fit_matrix(level, start, names[0], moved=moved, robust=True, check=check)
        start = finder.sharpen(start if fit is None else fit.matrix, names[0], moved)
        level = finder.level(1, start)
    fit = fit_matrix(level, start, names[0], moved=moved, robust=True, check=check)
    return Chosen(names[0], fit if fit is not None else Fit(start, 1.0, 0))


def choose_local(finder: Finder, transform: Transform) -> tuple[Transform, tuple[str, ...]]:
    """Add the local displacements that the held-out pixels support; return their names, too."""
    shape = finder.shape
    if min(shape) < SMALLEST:
        return transform, ()
    finest = finder.level(1, transform.matrix, PIXELS)
    apart = held_out(finest.used.shape)
    numbers = [number for number in (4, 2, 1) if number <= finder.levels[0]] or [1]
    kept: list[str] = []
    check = finder.watch.check
    if bend(finest, transform) < LEAST_BEND:
        # so little is left that no displacement is behind it
        return transform, ()

    def levels(numbers: list[int]) -> list[Level]:
        return [finder.level(number, transform.matrix, PIXELS) for number in numbers]

    def tried(
        kind: Smooth | Lines,
        numbers: list[int],
        base: Transform,
        weights: Sequence[float] = STIFFNESS,
        worth: float = LOCAL_WORTH,
    ) -> Transform:
        """Return the best of the stiffnesses on the held-out pixels, or `base`."""
        best, wanted, parts = base, None, levels(numbers)
        for stiffness in weights:
            training = [part.only(~_coarse(apart, part)) for part in parts]
            trial = fit_local(training, base, kind, shape, stiffness, check)
            if better(parts[-1].only(apart), trial, best, PLAIN if wanted else worth):
                best, wanted = trial, stiffness
        if wanted is None or (worth > PLAIN and bend(parts[-1], base, best) < LEAST_BEND):
            return base
        return fit_local(parts, base, kind, shape, wanted, check)

    for least, count in SPACINGS:
        spacing = max(least, max(shape) / count)
        if spacing > max(shape):
            continue
        finder.watch.tell(len(kept), 3, "Looking for local displacements")
        fitted = tried(Smooth(spacing), numbers, Transform(transform.matrix, None, transform.lines))
        if fitted.field is not None and (not kept or better(levels([1])[0].only(apart), fitted, transform)):
            transform = fitted
            kept = ["smooth"]
            # what was not bent yet looked blurred
            finder.focus(transform)
    if kept:
        finder.watch.tell(1, 3, "Looking for local displacements")
        finer = tried(Smooth(max(FINER[0], max(shape) / FINER[1])), [1], transform, SOFT, PLAIN)
        if finer is not transform:
            transform = finer
            finder.focus(transform)
    finder.watch.tell(2, 3, "Looking for displaced lines")
    # lines of the cube itself, not averages of several
    if finder.views.finest == 1 and not finder.views.sampled:
        fitted = tried(Lines(), [1], transform)
        if fitted.lines is not None:
            transform = fitted
            kept.append("lines")
    return transform, tuple(kept)


def bend(level: Level, transform: Transform, bent: Transform | None = None) -> float:
    """Return the shift in cube pixels that would explain what is left, or what a bent transform leaves less.

    Residuals grow with the square of a shift: by how much, the slopes of the guide say.
    """
    first = match(level, *transform.to_guide(*level.positions))
    second = None if bent is None else match(level, *bent.to_guide(*level.positions))
    if first is None:
        return 0.0
    gain = first.share - (0.0 if second is None else second.share)
    slopes = level.guide.slopes(first.y, first.x) / first.contrast[:, None]
    pixel = transform.scale_at(*(float(np.mean(c)) for c in level.positions))
    # of the two axes, and of what the components do not explain by themselves
    per_pixel = sum(float(np.sum((lines - (lines @ first.basis) @ first.basis.T) ** 2)) for lines in slopes) / (
        2 * len(first.left)
    )
    return math.sqrt(max(gain, 0.0) / max(per_pixel, 1e-12)) / pixel


def better(level: Level, one: Transform, other: Transform, plain: float = PLAIN) -> bool:
    """Whether a transform leaves less of some pixels than another one: by a share `plain`, or by more than chance."""
    first, second = (match(level, *t.to_guide(*level.positions)) for t in (one, other))
    if first is None or second is None:
        return first is not None
    both = first.inside & second.inside
    losses = []
    for found in (first, second):
        loss = np.zeros(len(found.inside))
        # in the same unit for both
        loss[found.inside] = np.mean((found.left * (found.contrast / second.contrast)[:, None]) ** 2, axis=0)
        losses.append(loss[both])
    rows, columns = np.nonzero(level.used)
    side = max(1, min(BLOCK, min(level.used.shape) // 4))
    blocks = (rows // side * 100_003 + columns // side)[both]
    _, index = np.unique(blocks, return_inverse=True)
    gains = np.bincount(index, losses[1] - losses[0])
    if len(gains) < 3:
        return False
    error = float(gains.std(ddof=1)) * math.sqrt(len(gains))
    gain = float(gains.sum())
    total = float(losses[1].sum())
    return gain > plain * total or (plain == PLAIN and gain > SURE * error and gain > WORTH * total)


def _coarse(apart: NDArray[np.bool_], level: Level) -> NDArray[np.bool_]:
    """Return held-out pixels of the finest view on a coarser one: all pixels that hold some."""
    factor = round(apart.shape[0] / level.used.shape[0])
    if factor == 1:
        return apart
    rows, columns = level.used.shape
    whole = apart[: rows * factor, : columns * factor]
    return np.asarray(whole.reshape(rows, factor, columns, factor).any(axis=(1, 3)))
