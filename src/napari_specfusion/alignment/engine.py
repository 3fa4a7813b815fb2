"""Two images of one place become one scene."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.alignment import Alignment, Verdict
from napari_specfusion.alignment.choose import choose_local, choose_model
from napari_specfusion.alignment.find import DOUBTFUL, FOUND, Finder, Found
from napari_specfusion.alignment.fit import Fit, detail_share, match
from napari_specfusion.alignment.georeference import Placed, pixel_scale, placed_by_tags
from napari_specfusion.alignment.model import MODELS
from napari_specfusion.alignment.place import place
from napari_specfusion.alignment.points import matrix_of_points
from napari_specfusion.alignment.transform import Transform, frame_matrix, homogeneous
from napari_specfusion.alignment.views import Views
from napari_specfusion.data.scene import Finding, Scene, as_ratio
from napari_specfusion.errors import AlignmentError, SceneError
from napari_specfusion.io import as_cube
from napari_specfusion.progress import Progress, ShouldStop, Watch

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike

    Start = Literal["tags", "images"] | Alignment | Transform | NDArray[Any] | list[Any] | None

__all__ = ["align"]

# residuals (roots of shares of the variance) above which the whole match is doubtful, or none
GOOD, UNRELATED = 0.5, 0.8
# cube pixels around what the tags say that are searched
MARGIN = 0.15
# a search that ends this far from the tags, in cube pixels, contradicts them
CONTRADICTS = 8.0


@dataclass(frozen=True, eq=False)
class _Start:
    """Where to begin: likely matrices, linear parts to expect, and what is behind them."""

    matrices: tuple[NDArray[np.float64], ...]
    nominals: tuple[NDArray[np.float64], ...]
    kind: Literal["given", "tags", "sizes", "none"]
    displaced: Transform | None = None
    notes: tuple[str, ...] = ()


def align(
    hsi: CubeLike,
    guide: CubeLike,
    *,
    model: str = "auto",
    start: Start = None,
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
    if model != "auto" and model not in MODELS:
        raise AlignmentError(f"There is no model {model!r}; choose auto, {', '.join(MODELS)}.")
    watch = Watch(progress, should_stop)
    low, sharp = as_cube(hsi), as_cube(guide)
    watch.tell(0, 1, "Aligning the two images")
    wanted = None if ratio is None else as_ratio(ratio)
    as_is = _fitting(low, sharp, wanted)
    begin = _start_of(low, sharp, start, wanted, as_is)
    top, left, part_low, part_sharp = _parts(low, sharp, begin)
    move_low, move_sharp = _moves(top, left)
    local = [np.linalg.inv(move_sharp) @ matrix @ move_low for matrix in begin.matrices]

    scale = math.sqrt(abs(float(np.linalg.det(begin.nominals[0]))))
    finder = Finder(Views(part_low, part_sharp, scale, watch), part_low.shape[1:], watch)
    found = _search(finder, local, begin)
    far = begin.kind in ("tags", "sizes") and _distance(found, local, part_low) > CONTRADICTS * scale
    trusted_search = found is not None and found.detail < FOUND and found.fit.share < GOOD**2
    if (found is None or (far and not trusted_search)) and local:
        # nothing better than the start was found
        found = _stay(finder, local[0])
    if found is None:
        raise AlignmentError(
            "The two images have no common ground that could be compared. Check that both show the same place, or give "
            "three or more point pairs (start=)."
        )
    matrix = finder.sharpen(found.fit.matrix) if found.detail < FOUND else found.fit.matrix
    simplest = _simplest(matrix, local if begin.kind != "given" and not far else [], begin.nominals)
    chosen = choose_model(finder, matrix, simplest, model)
    transform, kinds = Transform(chosen.fit.matrix), tuple[str, ...]()
    if model == "auto" and found.detail < FOUND:
        transform, kinds = choose_local(finder, transform)
    level = finder.level(1, transform.matrix)
    matched = match(level, *transform.to_guide(*level.positions))
    after = 1.0 if matched is None else math.sqrt(matched.share)
    detail = math.sqrt(detail_share(level, transform))
    before = _residual(finder, local[0]) if local and begin.kind != "given" else None
    verdict = _verdict(after, detail, moved=far or begin.kind == "none")
    notes = [Finding("warning", "georeference", note) for note in begin.notes]
    if far and begin.kind == "tags":
        verdict = "doubtful" if verdict == "good" else verdict
        notes.append(_contradiction(_distance(found, local, part_low) / scale))

    whole = _moved_back(transform, move_low, move_sharp, (top, left))
    shapes = _plane(low), _plane(sharp)
    fits = as_is is not None
    where = place(whole, *shapes, as_is if fits else wanted, fits=fits)
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
    return alignment.scene(low, sharp)


# --- where to begin -----------------------------------------------------------


def _fitting(low: Cube, sharp: Cube, ratio: Fraction | None) -> Fraction | None:
    """Return the ratio at which the two images make a scene as they are, or None."""
    try:
        return Scene(low, sharp, ratio).factor
    except SceneError:
        return None


def _start_of(low: Cube, sharp: Cube, start: Any, ratio: Fraction | None, as_is: Fraction | None) -> _Start:
    nominals = _nominals(low, sharp, ratio, as_is)
    if isinstance(start, Alignment):
        start = start.transform
    if isinstance(start, Transform):
        return _given(start.matrix, low, start if start.field is not None or start.lines is not None else None)
    if start is not None and not isinstance(start, str):
        matrix = _numbers(start)
        return _given(matrix if matrix.shape == (3, 3) else matrix_of_points(start), low)
    if start not in (None, "tags", "images"):
        raise AlignmentError(f"The start is {start!r}; give 'tags', 'images', point pairs, a matrix or an Alignment.")
    placed: Placed | None = None if start == "images" else placed_by_tags(low, sharp)
    if placed is not None:
        middle = (low.shape[1] - 1) / 2, (low.shape[2] - 1) / 2
        linear = placed.transform.jacobian(*middle)
        displaced = placed.transform if placed.transform.field is not None else None
        return _Start((placed.transform.matrix,), (linear,), "tags", displaced, placed.notes)
    if start == "tags":
        raise AlignmentError(
            "The tags of the two files do not say where they lie: both need an affine. Give start='images' or point "
            "pairs instead."
        )
    if as_is is not None:
        return _Start((frame_matrix(float(as_is)),), nominals, "sizes")
    return _Start((), nominals, "none")


def _given(matrix: NDArray[np.float64], low: Cube, displaced: Transform | None = None) -> _Start:
    middle = (low.shape[1] - 1) / 2, (low.shape[2] - 1) / 2
    transform = Transform(matrix)
    return _Start((transform.matrix,), (transform.jacobian(*middle),), "given", displaced)


def _numbers(start: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)


def _nominals(
    low: Cube, sharp: Cube, ratio: Fraction | None, as_is: Fraction | None
) -> tuple[NDArray[np.float64], ...]:
    """Return the linear parts ``(2, 2)`` that the ratio, the pixel sizes or the sizes of the images suggest."""
    if ratio is not None:
        return (np.eye(2) * float(ratio),)
    sizes = pixel_scale(low, sharp)
    if sizes is not None and (sizes > 1).all():
        return (np.diag(sizes),)
    if as_is is not None:
        return (np.eye(2) * float(as_is),)
    sides = np.array(sharp.shape[1:]) / np.array(low.shape[1:])
    even = float(np.sqrt(sides.prod()))
    if even <= 1:
        raise AlignmentError(
            f"The guide is {sharp.shape[1]} x {sharp.shape[2]} pixels, the cube {low.shape[1]} x {low.shape[2]}: a "
            "guide must be sharper than the cube. Are the two swapped? If it shows a small part of the cube only, give "
            "the ratio."
        )
    if sides.max() < 1.1 * sides.min():
        return (np.eye(2) * even,)
    # another part of the ground, or pixels that are not square
    return np.eye(2) * even, np.diag(sides)


# --- the part that counts -------------------------------------------------------


def _parts(low: Cube, sharp: Cube, begin: _Start) -> tuple[tuple[int, int], tuple[int, int], Cube, Cube]:
    """Return the parts of the two images near the common ground that the start gives, and where they begin."""
    if begin.kind not in ("tags", "given"):
        return (0, 0), (0, 0), low, sharp
    matrix = begin.matrices[0]
    rows, columns = _box(matrix, _plane(low), _plane(sharp))
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)
    back = _box(inverse, (rows.stop, columns.stop), _plane(low), (rows.start, columns.start))
    if 0 in (rows.stop - rows.start, columns.stop - columns.start, back[0].stop - back[0].start):
        source = "tags" if begin.kind == "tags" else "start"
        raise AlignmentError(
            f"The {source} of the two images place them apart: they have no common ground. "
            "Check the files, or search by their content alone (start='images')."
        )
    return (back[0].start, back[1].start), (rows.start, columns.start), low.crop(*back), sharp.crop(rows, columns)


def _box(
    matrix: NDArray[np.float64], size: tuple[int, int], other: tuple[int, int], first: tuple[int, int] = (0, 0)
) -> tuple[slice, slice]:
    """Return the rows and columns of the other image on which a window of one image falls, with a margin."""
    y, x = np.meshgrid([first[0] - 0.5, size[0] - 0.5], [first[1] - 0.5, size[1] - 0.5], indexing="ij")
    down, right = homogeneous(matrix, y, x)
    parts = []
    for places, length in ((down, other[0]), (right, other[1])):
        margin = MARGIN * float(np.ptp(places))
        begin = min(max(0, math.floor(places.min() - margin)), length)
        parts.append(slice(begin, max(begin, min(length, math.ceil(places.max() + margin)))))
    return parts[0], parts[1]


def _moves(low: tuple[int, int], sharp: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    moves = []
    for first in (low, sharp):
        move = np.eye(3)
        move[:2, 2] = first
        moves.append(move)
    return moves[0], moves[1]


def _moved_back(
    transform: Transform,
    move_low: NDArray[np.float64],
    move_sharp: NDArray[np.float64],
    parts: tuple[tuple[int, int], tuple[int, int]],
) -> Transform:
    """Return a transform of two parts as one of the whole images."""
    del parts
    plain = Transform(move_sharp @ transform.matrix, transform.field, transform.lines)
    top, left = int(move_low[0, 2]), int(move_low[1, 2])
    return plain.cropped(-top, -left) if (top, left) != (0, 0) else plain


# --- the search -----------------------------------------------------------------


def _search(finder: Finder, starts: list[NDArray[np.float64]], begin: _Start) -> Found | None:
    near = finder.near(starts) if starts else None
    settled = near is not None and near.detail < FOUND and near.fit.share < GOOD**2
    if settled or begin.kind == "given":
        return near
    anywhere = finder.anywhere(begin.nominals)
    if near is None or (anywhere is not None and anywhere.loss < near.loss):
        return anywhere
    return near


def _stay(finder: Finder, matrix: NDArray[np.float64]) -> Found | None:
    """Return the start itself as what was found."""
    level = finder.level(1, matrix)
    matched = match(level, *homogeneous(matrix, *level.positions))
    if matched is None:
        return None
    return Found(Fit(matrix, matched.share, matched.count), detail_share(level, Transform(matrix)))


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
    if np.abs(sizes - 1).max() < 0.15:
        rigid = found.copy()
        rigid[:2, :2] = left @ right @ nominal
        simplest["rigid"] = rigid
    return simplest


def _residual(finder: Finder, matrix: NDArray[np.float64]) -> float | None:
    level = finder.level(1, matrix)
    matched = match(level, *homogeneous(matrix, *level.positions))
    return None if matched is None else math.sqrt(matched.share)


def _verdict(after: float, detail: float, *, moved: bool) -> Verdict:
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
