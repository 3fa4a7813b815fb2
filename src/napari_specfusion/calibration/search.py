"""The search for the shift and the PSF under which a pair's images explain each other best."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from napari_specfusion.sensor.sampling import Psf, Sampling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_specfusion.data.scene import Scene

__all__ = ["REACH", "Residual", "search"]

Residual = Callable[[Sampling], float]
"""The share of the guide's contrast that a sampling leaves unexplained."""

# candidates of the coarse scan reach this many LR pixels each way
REACH = 1.5
# places of its first round whose neighbours it tries as well
SCANNED = 3


@dataclass(frozen=True)
class _Shape:
    """A shape of PSF to try.

    `psf` makes a PSF from a size and a ratio, both in HR pixels; the size to start from and its range are in LR pixels.
    """

    psf: Callable[[float, float], Psf]
    size: float
    smallest: float
    largest: float


SHAPES = (
    _Shape(lambda sigma, _: Psf(sigma), 0.5, 0.15, 1.5),
    _Shape(lambda width, _: Psf.box(width), 1.0, 0.3, 3.0),
    # a Gaussian truncated to the LR pixel's own cell
    _Shape(lambda sigma, ratio: Psf(sigma, ratio), 0.4, 0.1, 1.5),
)


def search(scene: Scene, residual_of: Residual) -> tuple[Sampling, float, bool]:
    """Return the sampling with the smallest residual, that residual, and whether its shift lies at the search border.

    A coarse scan of shifts comes first, then a simplex search for each PSF shape; the second and third shape start from
    the place of the one before.
    """
    ratio = float(scene.factor)
    step = max(ratio / 4, 1.0)
    count = math.ceil(REACH * ratio / step)
    limit = (count + 1) * step
    start = scene.shift if scene.shift is not None else _scan(scene, residual_of, step, count)
    found: list[tuple[float, Sampling]] = []
    for shape in SHAPES if scene.psf is None else SHAPES[:1]:
        near = min(found, key=itemgetter(0))[1].shift if found else start
        found.append(_refine(scene, residual_of, near, limit, shape, 0.05 if found else 0.15))
    residual, sampling = min(found, key=itemgetter(0))
    at_border = scene.shift is None and max(map(abs, sampling.shift)) > limit - 1.01 * step
    return sampling, residual, at_border


def _scan(scene: Scene, residual_of: Residual, step: float, count: int) -> tuple[float, float]:
    """Return the shift with the smallest residual on a grid of `count` steps to each side.

    Every second one is tried, then the neighbours of the best few: the residual varies over the width of the PSF.
    """
    probe = scene.psf or Psf(float(scene.factor) / 2)
    known: dict[tuple[int, int], float] = {}

    def try_all(places: Iterable[tuple[int, int]]) -> None:
        for y, x in places:
            if (y, x) not in known and max(abs(y), abs(x)) <= count:
                known[y, x] = residual_of(Sampling(scene.factor, probe, (y * step, x * step)))

    every_second = sorted({*range(-count, count + 1, 2), count})
    try_all((y, x) for y in every_second for x in every_second)
    for y, x in sorted(known, key=lambda place: known[place])[:SCANNED]:
        try_all((y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
    y, x = min(known, key=lambda place: known[place])
    return y * step, x * step


def _refine(
    scene: Scene, residual_of: Residual, start: tuple[float, float], limit: float, shape: _Shape, reach: float
) -> tuple[float, Sampling]:
    """Refine the shift and the size of a PSF of one shape where `scene` does not state them.

    The first steps are `reach` LR pixels long.
    """
    # everything in LR pixels, so that one tolerance fits all
    ratio = float(scene.factor)
    free = np.array([scene.shift is None, scene.shift is None, scene.psf is None])
    origin = np.array([start[0] / ratio, start[1] / ratio, shape.size])
    spread = np.diag([reach, reach, 0.4 * shape.size])[free][:, free]
    bounds = np.array([(-limit / ratio, limit / ratio)] * 2 + [(shape.smallest, shape.largest)])[free]

    def sampling_at(part: NDArray[np.float64]) -> Sampling:
        point = origin.copy()
        point[free] = part
        y, x, size = (point * ratio).tolist()
        return Sampling(
            scene.factor, scene.psf or shape.psf(size, ratio), (y, x) if scene.shift is None else scene.shift
        )

    def cost(part: NDArray[np.float64]) -> float:
        return math.log(max(residual_of(sampling_at(part)), 1e-12))

    if not free.any():
        return math.exp(cost(origin[free])), sampling_at(origin[free])
    found = minimize(
        cost,
        origin[free],
        method="Nelder-Mead",
        bounds=bounds.tolist(),
        options={
            "initial_simplex": origin[free] + np.vstack([np.zeros(len(spread)), spread]),
            "xatol": 2e-3,
            "fatol": 1e-3,
            "maxfev": 250,
        },
    )
    return math.exp(float(found.fun)), sampling_at(np.asarray(found.x, dtype=np.float64))
