"""Shared parts of the networks: the EDSR encoder, small layers, and running a local network strip by strip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_specfusion import memory

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Encoder", "added", "by_strips", "conv3", "double", "leaky", "like_weights", "pad_to", "strips"]


class Encoder(nn.Module):
    """EDSR's body without its upsampling: a head, residual blocks, a last convolution, and the head's output added.

    Attributes
    ----------
    reach
        Number of pixels to each side that its features depend on.
    """

    def __init__(self, channels: int, features: int, blocks: int) -> None:
        super().__init__()
        self.reach = 2 * blocks + 2
        self.head = nn.Sequential(conv3(channels, features))
        body = [_Residual(features) for _ in range(blocks)]
        self.body = nn.Sequential(*body, conv3(features, features))
        self.register_load_state_dict_pre_hook(_drop_unused)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(N, features, H, W)`` of images ``(N, channels, H, W)``."""
        x = self.head(x)
        result: Tensor = self.body(x)
        return added(result, x)


class _Residual(nn.Module):
    """conv3, ReLU, conv3, plus the input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv3(features, features), nn.ReLU(inplace=True), conv3(features, features))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x)
        return added(result, x)


def conv3(channels: int, out: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(channels, out, 3, padding=1)


def leaky() -> nn.LeakyReLU:
    """Return the networks' Leaky ReLU."""
    return nn.LeakyReLU(0.2, inplace=True)


def added(x: Tensor, y: Tensor) -> Tensor:
    """Add `y` to `x`, in place where autograd does not need the old `x`."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


def double(x: Tensor) -> Tensor:
    """Enlarge to twice the size, bilinearly."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def by_strips(
    compute: Callable[[slice], Tensor],
    shape: torch.Size,
    halo: int,
    on: torch.device,
    plus: Tensor | None = None,
    *,
    step: int = 1,
    pixels: int | None = None,
) -> Tensor:
    """Return ``compute(all rows)``, plus `plus`, computed strip by strip where that saves memory.

    With autograd everything is kept anyway, and a GPU is faster on large pieces: both take the image at once.

    Parameters
    ----------
    compute
        Gets some rows of an image of `shape` and returns ``(N, any, rows, W)``; wrong results in the first and last
        `halo` rows of a strip are not used, except at the image's own edges.
    shape
        ``(N, any, H, W)``.
    on
                The device.
    halo
        Rows around a strip that its results depend on.
    plus
        ``(N, any, H, W)``, added to the result; it also makes the result contiguous band by band.
    step
        Strips begin at multiples of this row.
    pixels
        About how many pixels a strip has.
    """
    count, _, height, _ = shape
    parts = strips(shape, halo, on, step=step, pixels=pixels)
    if len(parts) == 1:
        whole = compute(parts[0])
        return whole if plus is None else whole + plus
    result: Tensor | None = None
    for part in parts:
        start, stop = part.start, part.stop
        above, below = max(start - halo, 0), min(stop + halo, height)
        strip = compute(slice(above, below))[:, :, start - above : stop - above]
        if result is None:
            result = torch.empty(
                (count, strip.shape[1], height, strip.shape[3]),
                dtype=strip.dtype if plus is None else torch.promote_types(strip.dtype, plus.dtype),
                device=strip.device,
                memory_format=torch.channels_last if plus is None else torch.contiguous_format,
            )
        target = result[:, :, start:stop]
        if plus is None:
            target.copy_(strip)
        else:
            torch.add(strip, plus[:, :, start:stop], out=target)
    assert result is not None
    return result


def strips(shape: torch.Size, halo: int, on: torch.device, *, step: int = 1, pixels: int | None = None) -> list[slice]:
    """Return the rows of each strip that `by_strips` cuts an image into; one slice where it takes the image at once."""
    count, _, height, width = shape
    rows = max(math.ceil(max((pixels or memory.STRIP_PIXELS) // (count * width), 2 * halo) / step), 1) * step
    if torch.is_grad_enabled() or on.type != "cpu" or rows >= height:
        return [slice(0, height)]
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]


def like_weights(x: Tensor, weight: Tensor) -> Tensor:
    """Return images ``(N, C, H, W)`` with the channels of a pixel beside each other if a convolution's weights are so.

    Joined with one image in another order, all of them would be put into that order.
    """
    last = torch.channels_last
    if weight.is_contiguous() or not weight.is_contiguous(memory_format=last):
        return x
    return x.contiguous(memory_format=last)


def pad_to(x: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last row and column until the image has the given size."""
    down, right = height - x.shape[-2], width - x.shape[-1]
    return functional.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def _drop_unused(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Remove the mean shifts from a state dict: EDSR has them, but neither network uses them."""
    for key in [k for k in state if k.startswith((f"{prefix}sub_mean.", f"{prefix}add_mean."))]:
        del state[key]
