"""From nothing to a matrix: likely starts first, then turns, mirrors and scales, coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from napari_specfusion.alignment.fit import Fit, Level, detail_share, fit_matrix, match
from napari_specfusion.alignment.search import Candidate, ShiftSearch, distinct, poses
from napari_specfusion.alignment.transform import Transform
from napari_specfusion.alignment.views import GuideView

if TYPE_CHECKING:
    from napari_specfusion.alignment.views import Views
    from napari_specfusion.progress import Watch

__all__ = ["DOUBTFUL", "FOUND", "Finder", "Found"]

# Shares of the guide's detail that are left over: pairs of one place leave 0.3 at most, even across seasons and with
# noise; the best transform of unrelated pairs leaves more than 0.8.
FOUND, DOUBTFUL = 0.5, 0.7
# a match that ends the search leaves less than this of the detail, and of the variance
CLEAR = 0.3
# pixels along the longer side of the coarsest view
COARSEST = 40
# candidates of the coarsest level, and how many of them are followed to the finest
FIRST, FOLLOWED = 24, 6
# pixels that take part in a search, and in the last fit
SEARCHED, PIXELS = 6_000, 40_000
# range of the PSF's standard deviation in cube pixels
WIDTHS = (0.15, 1.5)
# Share of the detail below which a tilt may be what is missing, and levels at which it is fitted. Tilts move detail by
# several pixels at the corners; unrelated images leave more of it.
TILTED, TILTS = 0.95, 3
# steps of a fit while there are many candidates
FEW = 8


@dataclass(frozen=True, eq=False)
class Found:
    """A matrix that was found.

    Attributes
    ----------
    fit
        The fit at the finest level.
    detail
        Share of the guide's detail that is left over.
    """

    fit: Fit
    detail: float

    @property
    def clear(self) -> bool:
        """Whether no better match needs to be looked for."""
        return self.detail < CLEAR and self.fit.share < CLEAR

    @property
    def loss(self) -> float:
        """What tells the better of two matches: the smaller, the better."""
        return self.detail * self.fit.share


class Finder:
    """Looks for the matrix of a pair.

    Parameters
    ----------
    views
        Views of the two images.
    shape
        Rows and columns of the cube.
    watch
        Told about the search; may stop it.
    """

    def __init__(self, views: Views, shape: tuple[int, int], watch: Watch) -> None:
        self.views, self.shape, self.watch = views, shape, watch
        self._corners = np.array(
            [(y, x, 1.0) for y in (0.0, shape[0] - 1.0) for x in (0.0, shape[1] - 1.0)], np.float64
        ).T
        # views of windows have no coarse levels
        steps = 2 if views.sampled else max(0, math.ceil(math.log2(max(shape) / (views.finest * COARSEST))))
        self.levels = [2**power for power in range(steps, -1, -1)]

    def level(self, number: int, matrix: NDArray[np.float64], pixels: int = PIXELS) -> Level:
        """Return the pair at a level, blurred for the scale of a matrix; about `pixels` of the cube's pixels."""
        scale = Transform(matrix).scale_of(self.shape)
        cube = self.views.cube(number)
        return Level(cube, self.views.guide(number, scale), cube.inner & _sample(cube.measured.shape, pixels))

    def left_over(self, transform: Transform, pixels: int = PIXELS) -> float:
        """Return the share of the guide's variance that is left over at a transform; 1 without common ground."""
        level = self.level(1, transform.matrix, pixels)
        found = match(level, *transform.to_guide(*level.positions))
        return 1.0 if found is None else found.share

    def detail_left(self, transform: Transform) -> float:
        """Return the share of the guide's fine detail that is left over at a transform."""
        return detail_share(self.level(1, transform.matrix), transform)

    def near(self, starts: Iterable[NDArray[np.float64]]) -> Found | None:
        """Return the best matrix near one of several, or None where none has common ground."""
        return self._best([Candidate(0.0, matrix) for matrix in starts])

    def sharpen(
        self, matrix: NDArray[np.float64], model: str = "affine", moved: Transform | None = None
    ) -> NDArray[np.float64]:
        """Find the width of the PSF that fits the pair, and return the matrix fitted anew with it.

        A guide that is blurred too much or too little pulls the matrix away from the truth, and so does a model that is
        too simple for the pair with the width.

        Parameters
        ----------
        matrix
            ``(3, 3)`` from cube to guide pixels.
        model
            A key of `MODELS`: in which ways the matrix may change.
        moved
            A transform whose displacements are added to the matrix.
        """
        for _ in range(2):
            self.focus(Transform(matrix) if moved is None else Transform(matrix, moved.field, moved.lines))
            level = self.level(1, matrix, PIXELS)
            fit = fit_matrix(level, matrix, model, moved=moved, robust=True, check=self.watch.check)
            matrix = matrix if fit is None else fit.matrix
        return matrix

    def focus(self, transform: Transform) -> None:
        """Blur the guide as wide as fits the pair best where a transform puts it."""

        def left(width: Any) -> float:
            return self._left(transform, float(width))

        self.views.width = float(minimize_scalar(left, bounds=WIDTHS, method="bounded", options={"xatol": 0.01}).x)

    def _left(self, transform: Transform, width: float) -> float:
        self.watch.check()
        self.views.width = width
        return self.left_over(transform, SEARCHED)

    def anywhere(self, nominals: Sequence[NDArray[np.float64]]) -> Found | None:
        """Return the best matrix of all poses; `nominals` are linear parts ``(2, 2)`` to expect.

        The likely poses come first; the search ends with the first match that is clear.
        """
        coarsest = self.levels[0]
        search = ShiftSearch(self.views.cube(coarsest))
        best: Found | None = None
        groups = list(poses(search.cube.measured.shape))
        for number, group in enumerate(groups):
            peaks = []
            for place, pose in enumerate(group):
                if place % 8 == 0:
                    done = number * 100 + 100 * place // len(group)
                    self.watch.tell(done, 100 * len(groups), "Looking for the cube's place in the guide")
                for nominal in nominals:
                    linear = pose.matrix(nominal)
                    scale = math.sqrt(abs(float(np.linalg.det(linear))))
                    guide = self.views.guide(coarsest, scale)
                    assert isinstance(guide, GuideView), "windows show no whole guide"
                    peaks += search.peaks(guide, linear)
            found = self._best(distinct(peaks, self._corners, self._pixel(coarsest), FIRST))
            if found is not None and (best is None or found.loss < best.loss):
                best = found
            if best is not None and best.clear:
                break
        return best

    def _pixel(self, level: int) -> float:
        return 1.5 * level * self.views.finest * self.views.scale

    def _best(self, candidates: list[Candidate]) -> Found | None:
        """Follow the best candidates to the finest level, until one is clear."""
        coarsest, best = self.levels[0], None
        fits = [self._fit(coarsest, candidate.matrix, "similarity") for candidate in candidates]
        fitted = [Candidate(fit.gain, fit.matrix) for fit in fits if fit is not None]
        for candidate in distinct(fitted, self._corners, self._pixel(coarsest) / 3, FOLLOWED):
            found = self._followed(candidate.matrix)
            if found is not None and (best is None or found.loss < best.loss):
                best = found
            if best is not None and best.clear:
                break
        return best

    def _followed(self, matrix: NDArray[np.float64]) -> Found | None:
        fit: Fit | None = None
        for number in self.levels:
            fit = self._fit(number, matrix, "similarity" if number > 1 else "affine")
            if fit is None:
                return None
            matrix = fit.matrix
        assert fit is not None
        found = self._judged(fit)
        if CLEAR < found.detail < TILTED:
            # seen from another side, the images tilt against each other
            for number in self.levels[-TILTS:]:
                tilted = self._fit(number, fit.matrix, "projective")
                if tilted is None:
                    return found
                fit = tilted
            judged = self._judged(fit)
            found = judged if judged.loss < found.loss else found
        return found

    def _judged(self, fit: Fit) -> Found:
        level = self.level(1, fit.matrix)
        return Found(fit, detail_share(Level(level.cube, level.guide, level.cube.inner), Transform(fit.matrix)))

    def _fit(self, number: int, matrix: NDArray[np.float64], model: str) -> Fit | None:
        level = self.level(number, matrix, SEARCHED)
        return fit_matrix(level, matrix, model, steps=FEW, check=self.watch.check)


def _sample(shape: tuple[int, int], pixels: int) -> NDArray[np.bool_]:
    """Return the pixels that take part in a fit: all of a small image, else blocks spread evenly."""
    share = math.sqrt(pixels / (shape[0] * shape[1]))
    if share >= 1:
        return np.ones(shape, np.bool_)
    # blocks of 8 pixels, one for each stretch of rows and columns
    y, x = (np.arange(n) % (8 / share) < 8 for n in shape)
    return np.asarray(y[:, None] & x)
