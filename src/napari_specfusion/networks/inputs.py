"""Checks of the image pair for every network, and padding to two images of one size."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from napari_specfusion.errors import ModelError
from napari_specfusion.networks.layers import pad_to
from napari_specfusion.tiling.tiles import padded_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RATIOS", "Grid", "check_pair", "check_ratio", "check_sizes", "extended", "padded_pair"]

RATIOS = range(2, 33)

Grid = tuple[Tensor, Tensor]


def check_sizes(network: str, sizes: Mapping[str, int]) -> None:
    """Raise a ModelError if one of the `sizes` of `network` is below 1."""
    for key, value in sizes.items():
        if value < 1:
            raise ModelError(f"{key} is {value}; {network} needs at least 1.")


def check_ratio(network: str, ratio: int) -> None:
    """Raise a ModelError if `network` cannot work at `ratio`."""
    if ratio not in RATIOS:
        raise ModelError(f"The ratio is {ratio}; {network} takes {RATIOS[0]} to {RATIOS[-1]} HR pixels per LR pixel.")


def check_pair(network: str, bands: tuple[int, int], guide: Tensor, hsi: Tensor, base: Tensor | None) -> int:
    """Return the ratio of a pair.

    Parameters
    ----------
    network
        Name of the network, for messages.
    bands
        The network's bands and guide bands.
    guide, hsi, base
        ``(N, G, H, W)``, ``(N, B, h, w)``, and ``(N, B, H, W)`` or None.

    Raises
    ------
    ModelError
        If the images do not match each other, or the network.
    """
    if guide.ndim != 4 or hsi.ndim != 4 or len(guide) != len(hsi):
        raise ModelError(
            f"The guide has shape {tuple(guide.shape)} and the cube {tuple(hsi.shape)}; "
            f"{network} takes (N, guide bands, H, W) and (N, bands, h, w)."
        )
    if (hsi.shape[1], guide.shape[1]) != bands:
        raise ModelError(
            f"The images have {hsi.shape[1]} bands and {guide.shape[1]} guide bands, the network {bands[0]} and "
            f"{bands[1]}; take weights made for these bands, or fit new ones."
        )
    if 0 in hsi.shape:
        raise ModelError(f"The cube is empty, shape {tuple(hsi.shape)}; give at least one pixel.")
    ratios = {Fraction(big, small) for big, small in zip(guide.shape[2:], hsi.shape[2:], strict=True)}
    ratio = ratios.pop()
    if ratios or ratio.denominator != 1:
        raise ModelError(
            f"The guide has {tuple(guide.shape[2:])} pixels and the cube {tuple(hsi.shape[2:])}; "
            f"{network} needs the same whole number of guide pixels per cube pixel on both axes."
        )
    check_ratio(network, int(ratio))
    expected = (len(hsi), bands[0], *guide.shape[2:])
    if base is not None and base.shape != expected:
        raise ModelError(f"The base has shape {tuple(base.shape)}; on this pair it must have {expected}.")
    return int(ratio)


def padded_pair(guide: Tensor, hsi: Tensor, base: Tensor | None, ratio: int, multiple: int) -> tuple[Tensor, Tensor]:
    """Return the guide and `base` (or the cube's bicubic enlargement), padded to multiples of lcm(multiple, ratio).

    The last row and column are repeated; the cube is padded before it is enlarged.
    """
    height, width = guide.shape[-2:]
    rows, columns = padded_shape((height, width), Fraction(ratio), multiple)
    if base is None:
        low = pad_to(hsi, rows // ratio, columns // ratio)
        base = functional.interpolate(low, size=(rows, columns), mode="bicubic", align_corners=False)
    else:
        base = pad_to(base, rows, columns)
    return pad_to(guide, rows, columns), base


def extended(given: Tensor, size: int, inside: int) -> Tensor:
    """Return the coordinates of `inside` pixels and, at the last two's spacing, of the padding up to `size`.

    Raises
    ------
    ModelError
        If the number of coordinates is wrong.
    """
    if given.shape != (inside,):
        raise ModelError(f"The grid holds {tuple(given.shape)} coordinates for {inside} pixels; give one per pixel.")
    if size == inside:
        return given
    spacing = given[-1] - given[-2] if inside > 1 else given.new_zeros(())
    beyond = given[-1] + spacing * torch.arange(1, size - inside + 1, dtype=given.dtype, device=given.device)
    return torch.cat([given, beyond])
