"""Many functions of a guide's pixels: what the detail regression predicts a cube from.

All but the differences to the four neighbours are pointwise, and all constants belong to the whole scene, so that
a tile gives the same values as the image. Relations of colours that are not linear, and that change over the image,
are expanded in random Fourier features (A. Rahimi, B. Recht: Random Features for Large-Scale Kernel Machines, NIPS
2007). Differences stand for bands that are magnified, displaced or blurred a little against the guide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.calibration.moments import ROUNDING
from napari_specfusion.device import uploaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from napari_specfusion.calibration.moments import PairMoments

__all__ = ["Draws", "Features", "Group"]

# colours that the random features are drawn in, at most: the leading directions of the guide's bands
MOST_COLOURS = 4
# standard deviation of the random frequencies, per unit of colour and of twice the position, and of those that only
# vary over the image
FREQUENCY, PLACE_FREQUENCY = 1.5, 3.0


@dataclass(frozen=True)
class Draws:
    """How many random frequencies are drawn; each gives a cosine and a sine.

    Attributes
    ----------
    colour
        Of the colour alone.
    colour_and_place
        Of the colour and the position.
    place
        Of the position, times each colour.
    """

    colour: int = 200
    colour_and_place: int = 250
    place: int = 20


@dataclass(frozen=True)
class Group:
    """Features of one kind: their place among all, and whether they are on one scale."""

    name: str
    part: slice
    one_scale: bool


@dataclass(frozen=True, eq=False)
class Features:
    """K functions of the G bands of a guide.

    Attributes
    ----------
    mean, spread
        Mean and standard deviation ``(G,)`` of the guide's bands as the cube sees them; infinite for a constant band.
    colours
        ``(C, G)``: from the guide minus its mean to C colours of about unit spread.
    frequencies
        ``(F, C + 2)``: of the colours and of twice the position; those of the position alone come last.
    draws
        How many frequencies of each kind there are.
    shape
        Height and width of the whole guide.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    colours: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    draws: Draws
    shape: tuple[int, int]

    @classmethod
    def of(cls, moments: PairMoments, shape: tuple[int, int], draws: Draws, seed: int = 0) -> Features:
        """Draw the frequencies for a guide of `shape` with the moments of its bands."""
        variance = np.diag(moments.guide_covariance)
        live = variance > (ROUNDING * moments.guide_mean) ** 2
        # a constant band is no feature
        spread = np.where(live, np.sqrt(np.maximum(variance, np.finfo(float).tiny)), np.inf)
        colours = _colours(moments.guide_covariance / np.outer(spread, spread)) / spread
        count = len(colours)
        rng = np.random.default_rng(seed)
        frequencies = np.zeros((draws.colour + draws.colour_and_place + draws.place, count + 2))
        mixed = draws.colour + draws.colour_and_place
        frequencies[: draws.colour, :count] = rng.normal(0, FREQUENCY, (draws.colour, count))
        frequencies[draws.colour : mixed] = rng.normal(0, FREQUENCY, (draws.colour_and_place, count + 2))
        frequencies[mixed:, count:] = rng.normal(0, PLACE_FREQUENCY, (draws.place, 2))
        return cls(
            moments.guide_mean,
            spread,
            colours,
            frequencies,
            draws,
            shape,
        )

    @property
    def count(self) -> int:
        """Number K of features."""
        return int(self.groups[-1].part.stop)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The kinds of features, in their order."""
        guides, colours = len(self.mean), len(self.colours)
        sizes = (
            ("level", guides, False),
            ("magnified", guides, False),
            ("blurred", guides, False),
            ("displaced", 2 * guides, False),
            ("colour", 2 * self.draws.colour, True),
            ("colour and place", 2 * self.draws.colour_and_place, True),
            ("colour times place", 2 * self.draws.place * colours, True),
        )
        groups, start = [], 0
        for name, size, one_scale in sizes:
            groups.append(Group(name, slice(start, start + size), one_scale))
            start += size
        return tuple(groups)

    def coordinates(self, rows: slice, columns: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the position of rows and columns of pixels, from the middle, in units of the height and the width."""
        y, x = (
            (np.arange(part.start, part.stop) - (size - 1) / 2) / size
            for part, size in zip((rows, columns), self.shape, strict=True)
        )
        return y, x

    def inputs(self, padded: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return what the features are functions of: the plain features ``5 G``, the colours C and the position.

        Parameters
        ----------
        padded
            The guide ``(G, H + 2, W + 2)``, one pixel more on each side.
        y, x
            The position ``(H,)`` and ``(W,)`` of the pixels inside.

        Returns
        -------
        torch.Tensor
            ``(5 G + C + 2, H, W)``.
        """
        import torch

        away = padded - uploaded(self.mean, padded)[:, None, None]
        seen = away / uploaded(self.spread, padded)[:, None, None]
        here, up, down = seen[:, 1:-1, 1:-1], seen[:, :-2, 1:-1], seen[:, 2:, 1:-1]
        left, right = seen[:, 1:-1, :-2], seen[:, 1:-1, 2:]
        slope_y, slope_x = (down - up) / 2, (right - left) / 2
        height, width = here.shape[1:]
        colours = torch.einsum("cg,gyx->cyx", uploaded(self.colours, padded), away[:, 1:-1, 1:-1])
        return torch.cat(
            [
                here,
                y[:, None] * slope_y + x * slope_x,
                up + down + left + right - 4 * here,
                slope_y,
                slope_x,
                colours,
                (2 * y)[:, None].expand(1, height, width),
                (2 * x).expand(1, height, width),
            ]
        )

    def blocks(self, inputs: torch.Tensor, size: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield the features of pixels, block by block.

        Parameters
        ----------
        inputs
            ``(5 G + C + 2, N)``: the inputs of N pixels.
        size
            Frequencies whose features are computed at a time.

        Yields
        ------
        slice, torch.Tensor
            Which of the features these are, and their values ``(k, N)``.
        """
        plain = 5 * len(self.mean)
        yield slice(0, plain), inputs[:plain]
        variables, colours = inputs[plain:], inputs[plain:-2]
        frequencies = uploaded(self.frequencies, inputs)
        mixed = len(frequencies) - self.draws.place
        start = plain
        for first in range(0, mixed, size):
            block = _waves(frequencies[first : min(first + size, mixed)] @ variables)
            yield slice(start, start + len(block)), block
            start += len(block)
        for first in range(mixed, len(frequencies), size):
            block = (_waves(frequencies[first : first + size] @ variables)[:, None] * colours).flatten(0, 1)
            yield slice(start, start + len(block)), block
            start += len(block)


def _colours(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mixtures ``(C, G)`` of standardised bands that count as colours: few bands as they are."""
    guides = len(correlation)
    if guides <= MOST_COLOURS:
        return np.eye(guides) * math.sqrt(min(guides, 3) / guides)
    power, axes = np.linalg.eigh(correlation)
    leading = axes[:, : -MOST_COLOURS - 1 : -1]
    leading = leading * np.sign(leading[np.argmax(np.abs(leading), axis=0), np.arange(MOST_COLOURS)])
    # as far apart as three bands: farther, all pixels would be strangers to each other
    return np.asarray(leading.T * math.sqrt(3 / max(float(power.sum()), 1e-12)))


def _waves(angle: torch.Tensor) -> torch.Tensor:
    """Return cosine and sine ``(2 F, N)`` of angles ``(F, N)``, those of one frequency beside each other."""
    import torch

    waves = torch.empty((len(angle), 2, angle.shape[1]), dtype=angle.dtype, device=angle.device)
    torch.cos(angle, out=waves[:, 0])
    torch.sin(angle, out=waves[:, 1])
    return waves.flatten(0, 1)
