"""What the panel to align by hand says about a matrix."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment import Alignment
from napari_specfusion.alignment.transform import Transform, homogeneous
from napari_specfusion.widgets._preflight import Mood, describe_moves, verdict_of

__all__ = ["LEAST_PAIRS", "facts", "headline_of"]

LEAST_PAIRS = 3

Matrix = NDArray[np.float64]


def facts(
    shown: Alignment | Matrix,
    shapes: tuple[tuple[int, int], tuple[int, int]],
    residuals: tuple[float | None, float | None],
    pairs: Matrix,
) -> list[tuple[str, str]]:
    """Return facts as label and value.

    Parameters
    ----------
    shown
        How the cube lies: an alignment, or a matrix from cube to guide pixels.
    shapes
        Rows and columns of cube and guide.
    residuals
        At the start and now; None where it is not known yet.
    pairs
        Point pairs ``(n, 2, 2)``.
    """
    alignment = shown if isinstance(shown, Alignment) else _described(shown, *shapes)
    found = [("Guide", describe_moves(alignment))]
    before, after = residuals
    if after is not None:
        started = "" if before is None else f"{before:.0%} \u2192 "
        found.append(("Residual", f"{started}{after:.0%}"))
    if len(pairs):
        found.append(("Point pairs", _pairs_text(pairs, alignment.matrix)))
    return found


def headline_of(alignment: Alignment | None, residual: float | None) -> tuple[Mood, str]:
    """Return a mood and a sentence for an alignment, or for the residual where nothing was judged yet."""
    if alignment is not None:
        return verdict_of(alignment.verdict)
    if residual is None:
        return "wait", "Comparing the two images ..."
    return "info", f"The cube explains {1 - residual**2:.0%} of the guide's variance here."


def _described(matrix: Matrix, low: tuple[int, int], guide: tuple[int, int]) -> Alignment:
    """Return what tells turn, scale and shift of a matrix."""
    transform = Transform(matrix)
    return Alignment(
        transform, Fraction(max(1, round(transform.scale_of(low)))), low, guide, (0, low[0], 0, low[1]), "resampled"
    )


def _pairs_text(pairs: Matrix, matrix: Matrix) -> str:
    if len(pairs) < LEAST_PAIRS:
        return f"{len(pairs)} of at least {LEAST_PAIRS}"
    there = np.stack(homogeneous(matrix, pairs[:, 0, 0], pairs[:, 0, 1]), axis=1)
    miss = float(np.sqrt(np.mean(np.sum((there - pairs[:, 1]) ** 2, axis=1))))
    return f"{len(pairs)}, which lie {miss:.1f} px off"
