"""Detail regression: images that are learned from the pair as functions of its guide.

The cube, without what GLP says of it, is regressed on many features of the guide (`methods.features`) as the cube sees
them. Level is left to GLP: both sides lose their mean over the neighbouring pixels first, because relations of levels
that hold for smooth areas do not hold at edges. A ridge that does not grow with the number of pixels lets little
evidence change little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.calibration.moments import sample_rows, strips
from napari_specfusion.device import uploaded
from napari_specfusion.methods.ridge import Halves, Ridge
from napari_specfusion.progress import look
from napari_specfusion.sensor.sampling import apply_separable

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.methods.features import Features
    from napari_specfusion.methods.linear import LinearPredictor
    from napari_specfusion.sensor.sampling import Matrix
    from napari_specfusion.tiling.tiles import Tile

__all__ = ["LearnedTerms", "learned_terms", "regress"]

# standard deviation in LR pixels of the mean that is subtracted to leave detail: four neighbours count a little
MEAN_WIDTH = 0.35
# HR pixels of a block along each axis, at least MIN_SIDE LR pixels, and frequencies at a time, at most
BLOCK_HEIGHT, BLOCK_WIDTH, MIN_SIDE, FREQUENCIES = 256, 1024, 8, 50
# side in LR pixels of the blocks that are dealt out to two halves, at most; at least four along each side of the cube
HALF = 8
# LR rows or columns whose part of the blur matrix is multiplied as one dense block
TOGETHER = 16


@dataclass(frozen=True, eq=False)
class LearnedTerms:
    """The guide as GLP takes it, or its terms, followed by p images that were learned from it.

    Attributes
    ----------
    base
        The GLP predictor, whose T terms come first.
    features, weights
        The learned images are `weights` ``(K, p)`` times the features.
    low
        The learned images as the cube sees them ``(p, h, w)``.
    sharp
        The learned images ``(p, H, W)`` of a small scene; None computes them tile by tile.
    """

    base: LinearPredictor
    features: Features
    weights: NDArray[np.float64]
    low: NDArray[np.float32]
    sharp: NDArray[np.float32] | None

    @property
    def reach(self) -> int:
        """HR pixels around a pixel that its terms depend on."""
        return 1 if self.base.terms is None else max(1, self.base.terms.reach)

    def coarse(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the terms ``(T + p, rows, columns)`` as the cube sees them."""
        return np.concatenate([self.base.seen_at(rows, columns), self.low[:, rows[:, None], columns]])

    def coarse_sum(self, mixing: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the terms weighted by `mixing` ``(k, T + p)``, as the cube sees them: ``(k, h, w)``."""
        found = self.base.seen(mixing[:, : -len(self.low)])
        for plane, weights in zip(self.low, mixing[:, -len(self.low) :].T.astype(np.float32), strict=True):
            found += weights[:, None, None] * plane
        return found

    def add_sharp(self, fused: torch.Tensor, guide: torch.Tensor, mixing: torch.Tensor, tile: Tile) -> None:
        """Add the terms of `guide` ``(G, H, W)``, weighted by `mixing` ``(k, T + p)``, to `fused` ``(k, H, W)``."""
        import torch

        own, learned = mixing[:, : -len(self.low)].contiguous(), mixing[:, -len(self.low) :]
        self.base.add_sharp(fused, guide, own, tile)
        if self.sharp is None:
            padded = torch.nn.functional.pad(guide[None], (1, 1, 1, 1), mode="replicate")[0]
            weights = uploaded(self.weights, guide)
            # the learned images first: there are at most as many as bands, and far fewer than features
            images = torch.zeros((len(self.low), *guide.shape[1:]), dtype=guide.dtype, device=guide.device)
            add_features(images, self.features, padded, weights, *tile.read.slices)
        else:
            rows, columns = (
                np.arange(part.start, part.stop).clip(0, size - 1)
                for part, size in zip(tile.read.slices, self.sharp.shape[1:], strict=True)
            )
            images = uploaded(self.sharp[:, rows[:, None], columns], guide)
        fused += torch.einsum("bp,pyx->byx", learned, images)


def learned_terms(
    calibrated: CalibratedScene,
    features: Features,
    weights: NDArray[np.float64],
    base: LinearPredictor,
    device: str = "cpu",
) -> LearnedTerms:
    """Return the terms of a GLP predictor with the images that `weights` ``(K, p)`` make of its features.

    Parameters
    ----------
    calibrated
        The pair.
    features, weights
        Functions of its guide, and the outcome of `regress`.
    base
        The predictor.
    device
        Where to compute.

    Raises
    ------
    Cancelled
        If the watch of the pair stops it.
    """
    low, sharp = _apply(calibrated, features, weights, device)
    return LearnedTerms(base, features, weights, low, sharp)


def regress(
    calibrated: CalibratedScene,
    features: Features,
    wanted: Callable[[slice, slice], NDArray[np.float32]],
    device: str = "cpu",
) -> Ridge:
    """Regress the detail of images on that of the features.

    Parameters
    ----------
    calibrated
        The pair.
    features
        Functions of its guide.
    wanted
        Gives the images ``(p, rows, columns)`` in some rows and columns of the cube.
    device
        Where to compute.

    Raises
    ------
    Cancelled
        If the watch of the pair stops it.
    """
    import torch

    valid = calibrated.valid
    height, width = valid.shape
    side = max(1, min(HALF, height // 4, width // 4))
    ratio = calibrated.stated.factor
    step_y, step_x = (max(MIN_SIDE, int(size / ratio)) for size in (BLOCK_HEIGHT, BLOCK_WIDTH))
    halves: Halves | None = None
    parts = [
        (slice(top, min(top + step_y, sample.stop)), slice(left, min(left + step_x, width)))
        for sample in sample_rows(height, width, calibrated.stated.hsi.bands)
        for top in range(sample.start, sample.stop, step_y)
        for left in range(0, width, step_x)
    ]
    for number, (rows, columns) in enumerate(parts):
        calibrated.watch.tell(number, len(parts), "Learning from the pair")
        tall, wide = _wider(rows, height), _wider(columns, width)
        inner_y, inner_x = _within(rows, tall), _within(columns, wide)
        usable = torch.as_tensor(valid[tall, wide], device=device)
        chosen = usable[inner_y, inner_x]
        if not chosen.any():
            continue
        seen = _seen(calibrated, features, tall, wide, device)
        images = torch.as_tensor(wanted(tall, wide), device=device)
        given, asked = (_detail(image, usable)[:, inner_y, inner_x][:, chosen] for image in (seen, images))
        halves = halves or Halves.empty(len(given), len(asked))
        calibrated.watch.check()
        # blocks of a checkerboard: neighbouring pixels say nearly the same
        board = np.add.outer(np.arange(rows.start, rows.stop) // side, np.arange(columns.start, columns.stop) // side)
        half = torch.as_tensor(board % 2, device=device)[chosen]
        for which in (0, 1):
            halves.add(which, given[:, half == which], asked[:, half == which])
    # a calibrated pair has valid pixels
    assert halves is not None
    return Ridge.of(features, halves)


def _seen(calibrated: CalibratedScene, features: Features, rows: slice, columns: slice, device: str) -> torch.Tensor:
    """Return the features ``(K, rows, columns)`` of a block as the cube sees them."""
    import torch

    scene, sampling = calibrated.scene, calibrated.sampling
    (_, *low), (_, *sharp) = scene.hsi.shape, scene.guide.shape
    down = [sampling.blur_matrix(low[axis], sharp[axis], axis)[part] for axis, part in enumerate((rows, columns))]
    tall, wide = (_span(matrix) for matrix in down)
    y, x = (torch.as_tensor(c, dtype=torch.float32, device=device) for c in features.coordinates(tall, wide))
    inputs = features.inputs(_padded(calibrated, tall, wide, device), y, x)
    pieces_y, pieces_x = (_pieces(matrix, span, device) for matrix, span in zip(down, (tall, wide), strict=True))
    found = torch.empty((features.count, rows.stop - rows.start, columns.stop - columns.start), device=device)
    pixels = inputs.shape[1] * inputs.shape[2]
    size = max(1, min(FREQUENCIES, memory.FEATURES // (8 * pixels)))
    for part, block in features.blocks(inputs.flatten(1), size):
        calibrated.watch.check()
        images = block.view(len(block), *inputs.shape[1:])
        shorter = torch.cat([torch.matmul(factor, images[:, inner]) for _, inner, factor in pieces_y], 1)
        for kept, inner, factor in pieces_x:
            found[part, :, kept] = shorter[:, :, inner] @ factor.T
    return found


def _pieces(down: Matrix, span: slice, device: str) -> list[tuple[slice, slice, torch.Tensor]]:
    """Cut a blur matrix into a few rows each, with the part of `span` that they read and their dense factor."""
    import torch

    pieces = []
    for start in range(0, down.shape[0], TOGETHER):
        piece = down[start : start + TOGETHER]
        near = _span(piece)
        dense = np.ascontiguousarray(piece[:, near].toarray(), dtype=np.float32)
        pieces.append((slice(start, start + TOGETHER), _within(near, span), torch.as_tensor(dense, device=device)))
    return pieces


def _apply(
    calibrated: CalibratedScene, features: Features, weights: NDArray[np.float64], device: str
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the learned images as the cube sees them ``(p, h, w)``, and themselves ``(p, H, W)`` if they are small."""
    import torch

    scene, sampling = calibrated.scene, calibrated.sampling
    (_, low_y, low_x), (_, sharp_y, sharp_x) = scene.hsi.shape, scene.guide.shape
    planes = weights.shape[1]
    down_y = sampling.blur_matrix(low_y, sharp_y, 0).astype(np.float32)
    down_x = sampling.blur_matrix(low_x, sharp_x, 1).astype(np.float32)
    factors = torch.as_tensor(weights, dtype=torch.float32, device=device)
    low = np.empty((planes, low_y, low_x), np.float32)
    keep = 4 * planes * sharp_y * sharp_x <= memory.LEARNED
    parts = [slice(0, low_y)] if keep else strips(low_y, planes * sharp_x * math.ceil(sampling.ratio))
    for number, rows in enumerate(parts):
        calibrated.watch.tell(number, len(parts), "Applying what was learned")
        part = down_y[rows]
        span = slice(0, sharp_y) if keep else _span(part)
        images = torch.zeros((planes, span.stop - span.start, sharp_x), device=device)
        padded = _padded(calibrated, span, slice(0, sharp_x), device)
        add_features(images, features, padded, factors, span, slice(0, sharp_x))
        found = images.cpu().numpy()
        low[:, rows] = apply_separable(part[:, span], down_x, found)
    # in one part, which is the whole
    return low, found if keep else None


def add_features(
    images: torch.Tensor,
    features: Features,
    padded: torch.Tensor,
    weights: torch.Tensor,
    rows: slice,
    columns: slice,
) -> None:
    """Add weighted features of a guide to images.

    Parameters
    ----------
    images
        ``(k, H, W)``, contiguous; changed in place.
    features
        The features.
    padded
        The guide ``(G, H + 2, W + 2)``.
    weights
        ``(K, k)``.
    rows, columns
        Where `images` lie in the whole image.

    Raises
    ------
    Cancelled
        If the run that this is part of should stop.
    """
    y, x = (uploaded(c, images) for c in features.coordinates(rows, columns))
    _, height, width = images.shape
    most = memory.EXPANDED if images.device.type == "cpu" else memory.DEVICE_EXPANDED
    step = max(1, most // (8 * FREQUENCIES * width * images.element_size()))
    pixels, factors = images.view(len(images), -1), weights.T.contiguous()
    for start in range(0, height, step):
        look()
        part = slice(start, min(start + step, height))
        inputs = features.inputs(padded[:, part.start : part.stop + 2], y[part], x)
        for chosen, block in features.blocks(inputs.flatten(1), FREQUENCIES):
            pixels[:, part.start * width : part.stop * width].addmm_(factors[:, chosen], block)


def _padded(calibrated: CalibratedScene, rows: slice, columns: slice, device: str) -> torch.Tensor:
    """Return a part of the guide ``(G, H + 2, W + 2)`` with a pixel more on each side, missing values filled."""
    import torch

    guide = calibrated.scene.guide
    index = [
        np.arange(part.start - 1, part.stop + 1).clip(0, size - 1)
        for part, size in zip((rows, columns), guide.shape[1:], strict=True)
    ]
    image = guide.read(*(slice(int(i[0]), int(i[-1]) + 1) for i in index)).astype(np.float32, copy=False)
    image = image[:, (index[0] - index[0][0])[:, None], index[1] - index[1][0]]
    if guide.may_miss:
        image = np.where(np.isfinite(image), image, calibrated.guide.means.astype(np.float32)[:, None, None])
    return torch.as_tensor(image, device=device)


def _detail(images: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
    """Return `images` ``(k, h, w)`` minus their mean over `usable` pixels nearby."""
    near = math.exp(-0.5 / MEAN_WIDTH**2)

    def summed(planes: torch.Tensor) -> torch.Tensor:
        across = planes.clone()
        across[..., 1:].add_(planes[..., :-1], alpha=near)
        across[..., :-1].add_(planes[..., 1:], alpha=near)
        both = across.clone()
        both[..., 1:, :].add_(across[..., :-1, :], alpha=near)
        both[..., :-1, :].add_(across[..., 1:, :], alpha=near)
        return both

    weight = usable.to(images.dtype)
    seen = images if bool(usable.all()) else images * weight
    return images - summed(seen).div_(summed(weight).clamp_min(1e-6))


def _wider(part: slice, size: int) -> slice:
    """Return `part` of `size` pixels with one more on each side."""
    return slice(max(0, part.start - 1), min(part.stop + 1, size))


def _within(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _span(matrix: Matrix) -> slice:
    """Return the columns of a sparse matrix from the first to the last that is used."""
    return slice(int(matrix.indices.min()), int(matrix.indices.max()) + 1)
