"""Two images of one place become one scene."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.alignment.alignment import Alignment, Verdict
from napari_specfusion.alignment.begin import Start, begin_at, fitting_ratio, near_parts
from napari_specfusion.alignment.choose import Chosen, choose_local, choose_model
from napari_specfusion.alignment.find import DOUBTFUL, FOUND, Finder, Found
from napari_specfusion.alignment.fit import Fit, detail_share, fit_matrix
from napari_specfusion.alignment.model import MODELS
from napari_specfusion.alignment.place import CALIBRATED, place
from napari_specfusion.alignment.transform import Transform, homogeneous
from napari_specfusion.alignment.views import Views
from napari_specfusion.arguments import short
from napari_specfusion.data.clean import Cleaning
from napari_specfusion.data.scene import Finding, Scene, as_ratio
from napari_specfusion.data.surveying import survey_values
from napari_specfusion.errors import AlignmentError
from napari_specfusion.io import as_cube
from napari_specfusion.progress import Progress, ShouldStop, Watch

if TYPE_CHECKING:
    from napari_specfusion.alignment.reading import Window
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike

    StartLike = Literal["tags", "images"] | Alignment | Transform | NDArray[Any] | list[Any] | None

__all__ = ["align", "verdict_of"]

# residuals (roots of shares of the variance) above which the whole match is doubtful, or none
GOOD, UNRELATED = 0.5, 0.8
# longer side of a cube from which on a pair is looked at in windows
LARGE = 256
# these windows: their side in cube pixels, how many along an axis, how far around them, and guide pixels at least
SIDE, PER_AXIS, REACH, SMALLEST = 48, 5, 8, 16
# share of the detail that a match may leave that no plane transform gives
PLAIN_DETAIL = 0.1
# share of the variance up to which images are tried to be bent onto each other
BENT = 0.5
# a scale that differs by more from the ratio of the sizes is another one
OTHER_SCALE = 0.15
# a search that ends this far from the tags, in cube pixels, contradicts them
CONTRADICTS = 8.0


def align(
    hsi: CubeLike,
    guide: CubeLike,
    *,
    model: str = "auto",
    start: StartLike = None,
    ratio: Fraction | int | float | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Scene:
    """Bring two images of one place onto one grid.

    The guide is blurred to the cube's scale, sampled where a transform puts the cube's pixels, and regressed on the
    cube's principal components: the share of its contrast that is left over is smallest where the two lie on each
    other, whatever their bands are. The search starts from the files' georeference or from equal corners; where that
    does not match, it goes through shifts, turns, mirrors and scales, coarse to fine. A quarter of the pixels is held
    out and decides how rich a model the pair supports. Nothing is resampled where nothing is to be gained.

    Parameters
    ----------
    hsi
        The cube ``(bands, y, x)``, as anything that `as_cube` takes.
    guide
        The sharp image ``(guide bands, y, x)``, likewise; it may show more or less than the cube.
    model
        ``"shift"``, ``"rigid"``, ``"similarity"``, ``"affine"``, ``"projective"``: how the two may lie to each other.
        ``"auto"`` takes the simplest that the held-out pixels support, and adds local displacements (a smooth field,
        shifts of single lines) where they do.
    start
        Where to begin. None: the georeference of the files if both have one, else equal corners, else anywhere.
        ``"tags"``: the georeference, and nothing far from it. ``"images"``: the content alone. Three or more pairs of
        points ``(n, 2, 2)``, each (y, x) in the cube, then in the guide. A matrix ``(3, 3)`` from cube to guide pixels
        (y, x, 1). Or an earlier `Alignment`.
    ratio
        Guide pixels per cube pixel, roughly; None takes it from the georeference, the pixel sizes or the images' sizes.
    progress
        Called with a `Progress` during each step.
    should_stop
        Called at least once a second; true stops with `Cancelled`.

    Returns
    -------
    Scene
        The cube (its part on the common ground) and the guide on its grid, lazy, at a whole ratio unless the images
        fitted as they were. ``scene.alignment`` holds the transform, the residual before and after, and whether it can
        be trusted.

    Raises
    ------
    AlignmentError
        If an image is constant or empty, the two have no common ground, or the start is not valid.
    Cancelled
        If `should_stop` returned true.
    """
    if not isinstance(model, str) or (model != "auto" and model not in MODELS):
        raise AlignmentError(f"There is no model {short(model)}; choose auto, {', '.join(MODELS)}.")
    watch = Watch(progress, should_stop)
    given = as_cube(hsi), as_cube(guide)
    watch.tell(0, 1, "Aligning the two images")
    whole_pair = sum(cube.data.nbytes for cube in given) <= memory.SURVEYED_PAIR
    surveys = [survey_values(cube, whole=whole_pair, watch=watch) for cube in given]
    low, sharp = (Cleaning.of(survey).apply(cube) for survey, cube in zip(surveys, given, strict=True))
    wanted = None if ratio is None else as_ratio(ratio)
    as_is = fitting_ratio(low, sharp, wanted)
    begin = begin_at(low, sharp, start, wanted, as_is)
    first_low, first_sharp, part_low, part_sharp = near_parts(low, sharp, begin)
    move_low, move_sharp = _moves(first_low, first_sharp)
    local = [np.linalg.inv(move_sharp) @ matrix @ move_low for matrix in begin.matrices]

    bent = None
    if begin.displaced is not None:
        onto = np.linalg.inv(move_sharp) @ begin.displaced.matrix
        bent = Transform(onto, begin.displaced.field, begin.displaced.lines).cropped(*first_low)

    scale = math.sqrt(abs(float(np.linalg.det(begin.nominals[0]))))
    finder, found, bowed = _found(part_low, part_sharp, scale, local, begin, watch, bend=model == "auto")
    settled = bowed is not None or _settled(found)
    if begin.strict and _distance(found, local, part_low) > CONTRADICTS * scale:
        settled = False
    if local and not settled and begin.kind != "given":
        # nothing better than the start was found that could be trusted
        found = _stay(finder, local[0])
    if found is None:
        raise AlignmentError(
            "The two images have no common ground that could be compared. Check that both show the same place, or give "
            "three or more point pairs (start=)."
        )
    away = _distance(found, local, part_low) / scale
    far = begin.kind in ("tags", "sizes") and away > CONTRADICTS
    if settled and bowed is not None:
        matrix = finder.sharpen(found.fit.matrix, "affine", bowed)
        chosen = Chosen("affine", replace(found.fit, matrix=matrix))
    elif settled:
        matrix = finder.sharpen(found.fit.matrix)
        simplest = _simplest(matrix, [] if far or begin.kind == "given" else local, begin.nominals)
        chosen = choose_model(finder, matrix, simplest, model, None if far else bent)
    else:
        chosen = Chosen("shift", found.fit)
    transform, kinds = Transform(chosen.fit.matrix), tuple[str, ...]()
    if bent is not None and not far:
        transform = Transform(chosen.fit.matrix, bent.field, bent.lines)
    elif model == "auto" and settled:
        transform, kinds = choose_local(finder, transform)
    after, detail = math.sqrt(finder.left_over(transform)), math.sqrt(finder.detail_left(transform))
    before = math.sqrt(finder.left_over(Transform(local[0]))) if local and begin.kind != "given" else None
    verdict = verdict_of(after, detail, moved=far or begin.kind in ("none", "given"))
    notes = [Finding("warning", "georeference", note) for note in begin.notes]
    if verdict == "good" and (not settled or (bowed is not None and detail**2 > PLAIN_DETAIL)):
        # smooth images resemble each other anywhere, and bent ones anyhow: only detail tells
        verdict = "doubtful"
    if far and begin.kind == "tags":
        verdict = "doubtful" if verdict == "good" else verdict
        notes.append(_contradiction(away))

    if begin.kind == "tags" and chosen.model == "shift" and away <= CALIBRATED:
        # what is left is for calibration: the grids of the tags may coincide
        transform = replace(transform, matrix=local[0])
    whole = _moved_back(transform, move_low, move_sharp)
    shapes = _plane(low), _plane(sharp)
    fits = as_is is not None
    if wanted is None and as_is is not None and abs(whole.scale_of(shapes[0]) / float(as_is) - 1) > OTHER_SCALE:
        # the sizes divide by chance
        as_is, fits = None, False
    where = place(whole, *shapes, as_is if fits else wanted, fits=fits)
    if where.placement != "as is":
        # the cube is only cropped, but the guide is interpolated: odd values would spread
        given = given[0], Cleaning.masking(surveys[1]).apply(given[1])
        notes += [Finding(*remark) for remark in surveys[1].acted_on("guide") if remark[1] in ("no-data", "values")]
    alignment = Alignment(
        where.transform,
        where.ratio,
        *shapes,
        where.window,
        where.placement,
        model=chosen.model,
        local=kinds,
        before=before,
        after=after,
        detail=detail,
        certainty=_certainty(chosen.fit),
        verdict=verdict,
        notes=tuple(notes),
    )
    return alignment.scene(*given)


def _moves(low: tuple[int, int], sharp: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    moves = []
    for first in (low, sharp):
        move = np.eye(3)
        move[:2, 2] = first
        moves.append(move)
    return moves[0], moves[1]


def _moved_back(transform: Transform, move_low: NDArray[np.float64], move_sharp: NDArray[np.float64]) -> Transform:
    """Return a transform of two parts as one of the whole images."""
    plain = Transform(move_sharp @ transform.matrix, transform.field, transform.lines)
    top, left = int(move_low[0, 2]), int(move_low[1, 2])
    return plain.cropped(-top, -left) if (top, left) != (0, 0) else plain


# --- the search -----------------------------------------------------------------


def _found(
    low: Cube,
    sharp: Cube,
    scale: float,
    starts: list[NDArray[np.float64]],
    begin: Start,
    watch: Watch,
    *,
    bend: bool,
) -> tuple[Finder, Found | None, Transform | None]:
    """Return what found the best match, that match, and a bent transform where no plane one matches.

    A large pair is looked at in windows of full detail; whole, and averaged, only if those near the start do not match.
    """

    def sampled(matrix: NDArray[np.float64]) -> Finder:
        return Finder(Views(low, sharp, scale, watch, _windows(low, sharp, matrix)), _plane(low), watch)

    large = max(_plane(low)) > LARGE
    if starts and large:
        finder = sampled(starts[0])
        near = finder.near(starts)
        if _settled(near):
            return finder, near, None
    finder = Finder(Views(low, sharp, scale, watch), _plane(low), watch)
    near = finder.near(starts) if starts else None
    found, bent = near, None
    if not _settled(near) and begin.kind != "given" and not begin.strict:
        anywhere = finder.anywhere(begin.nominals)
        if near is None or (anywhere is not None and anywhere.loss < near.loss):
            found = anywhere
    if bend and not _settled(found):
        # last, because it takes long: what lies near the start may be bent, or what was found elsewhere
        bent = _bent(finder, near)
        if bent is not None:
            found = near
        elif found is not near:
            bent = _bent(finder, found)
    if large and found is not None and (_settled(found) or bent is not None):
        closer = sampled(found.fit.matrix)
        near = closer.near([found.fit.matrix])
        again = _bent(closer, near) if bend else None
        if _settled(near) or again is not None:
            return closer, near, again
    return finder, found, bent


def _bent(finder: Finder, found: Found | None) -> Transform | None:
    """Return a transform with local displacements that matches where a plane one only comes close, or None."""
    if found is None or _settled(found) or found.fit.share > BENT:
        return None
    bent, kinds = choose_local(finder, Transform(found.fit.matrix))
    matches = bool(kinds) and finder.left_over(bent) < GOOD**2 and finder.detail_left(bent) < FOUND
    return bent if matches else None


def _windows(low: Cube, sharp: Cube, matrix: NDArray[np.float64]) -> list[tuple[Window, Window]]:
    """Return windows of the cube, spread evenly, and the part of the guide that each needs."""
    _, height, width = low.shape
    sides = min(SIDE, height), min(SIDE, width)
    corners = [
        sorted({int(at) for at in np.linspace(0, n - side, min(PER_AXIS, -(-n // side)))})
        for n, side in zip((height, width), sides, strict=True)
    ]
    windows = []
    for top, left in product(*corners):
        part = slice(top, top + sides[0]), slice(left, left + sides[1])
        y, x = (np.array([p.start - REACH, p.stop + REACH], float) for p in part)
        down, right = homogeneous(matrix, *np.meshgrid(y, x, indexing="ij"))
        rows, columns = (
            slice(max(0, math.floor(c.min())), min(n, math.ceil(c.max())))
            for c, n in ((down, sharp.shape[1]), (right, sharp.shape[2]))
        )
        # a window at the guide's edge is of little use
        if min(rows.stop - rows.start, columns.stop - columns.start) > SMALLEST:
            windows.append((part, (rows, columns)))
    return windows


def _settled(near: Found | None) -> bool:
    return near is not None and near.detail < FOUND and near.fit.share < GOOD**2


def _stay(finder: Finder, matrix: NDArray[np.float64]) -> Found | None:
    """Return the start itself as what was found, or a shift of it that is left to calibration."""
    level = finder.level(1, matrix)
    fit = fit_matrix(level, matrix, "shift", check=finder.watch.check)
    if fit is None:
        return None
    if np.abs(fit.matrix[:2, 2] - matrix[:2, 2]).max() > CALIBRATED * finder.views.scale:
        fit = Fit(matrix, finder.left_over(Transform(matrix)), fit.count)
    return Found(fit, detail_share(level, Transform(fit.matrix)))


def _distance(found: Found | None, starts: list[NDArray[np.float64]], low: Cube) -> float:
    """Return how far a match lies from the first start in guide pixels, at the corners at most."""
    if found is None or not starts:
        return 0.0
    y, x = np.meshgrid([0.0, low.shape[1] - 1.0], [0.0, low.shape[2] - 1.0], indexing="ij")
    here, there = (np.stack(homogeneous(matrix, y, x)) for matrix in (found.fit.matrix, starts[0]))
    return float(np.hypot(*(here - there)).max())


def _simplest(
    found: NDArray[np.float64], starts: list[NDArray[np.float64]], nominals: tuple[NDArray[np.float64], ...]
) -> dict[str, NDArray[np.float64]]:
    """Return where to start models that keep a part of the matrix as the start has it."""
    simplest = {}
    if starts:
        simplest["shift"] = starts[0]
    linear = found[:2, :2]
    nominal = nominals[0]
    left, sizes, right = np.linalg.svd(linear @ np.linalg.inv(nominal))
    if not starts and np.abs(linear - nominal).max() < 0.02 * np.abs(nominal).max():
        straight = found.copy()
        straight[:2, :2], straight[2, :2] = nominal, 0.0
        simplest["shift"] = straight
    if np.abs(sizes - 1).max() < 0.15:
        rigid = found.copy()
        rigid[:2, :2] = left @ right @ nominal
        simplest["rigid"] = rigid
    return simplest


def verdict_of(after: float, detail: float, *, moved: bool) -> Verdict:
    """Return whether to trust a match; one that was searched for far away must agree in its detail, too."""
    if after > UNRELATED or (moved and detail**2 > DOUBTFUL):
        return "unrelated"
    if moved and detail**2 > FOUND:
        return "unrelated" if after > GOOD else "doubtful"
    return "good" if after <= GOOD else "doubtful"


def _contradiction(distance: float) -> Finding:
    return Finding(
        "warning",
        "georeference",
        f"The tags place the guide {distance:.0f} cube pixels away from where the images agree; the images were "
        "followed. Give start='tags' to follow the tags instead.",
    )


def _certainty(fit: Fit) -> dict[str, float]:
    names = ("shift_y", "shift_x", "rotation", "scale", "stretch", "shear", "tilt_y", "tilt_x")
    per_size = {"rotation": math.degrees(1 / fit.frame.size), **dict.fromkeys(names[3:6], 1 / fit.frame.size)}
    return {name: float(error) * per_size.get(name, 1.0) for name, error in zip(names, fit.errors, strict=False)}


def _plane(cube: Cube) -> tuple[int, int]:
    return cube.shape[1], cube.shape[2]
