"""LSO written down plainly: every step over the whole image, as the method's description reads.

The tests compare the package's network with this one, and the benchmark times both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["lso"]

State = Mapping[str, Tensor]


def lso(state: State, guide: Tensor, hsi: Tensor, patch: int = 4) -> Tensor:
    """Fuse ``(N, G, H, W)`` and ``(N, B, h, w)``, H and W multiples of 4, with the weights `state`."""
    height, width = guide.shape[-2:]
    up = functional.interpolate(hsi, size=(height, width), mode="bicubic", align_corners=False)
    features = _encoder(state, torch.cat([guide, up], 1))
    rows = torch.linspace(0, 1, height, dtype=guide.dtype).view(1, 1, -1, 1).expand(len(guide), 1, height, width)
    columns = torch.linspace(0, 1, width, dtype=guide.dtype).view(1, 1, 1, -1).expand(len(guide), 1, height, width)
    x1 = _double_conv(state, "inc", torch.cat([features, rows, columns], 1))
    x2 = _double_conv(state, "down1.down.1", _resize(x1, 0.5))
    x3 = _double_conv(state, "down2.down.1", _resize(x2, 0.5))
    half = functional.interpolate(guide, scale_factor=0.5, mode="bicubic", align_corners=False)
    z1, z2, z3 = (_latent_block(state, f"process{i}", x, patch) for i, x in enumerate((x1, x2, x3), 1))
    y = _double_conv(state, "up1.conv", torch.cat([_resize(z3, 2), z2, half], 1)) + x2
    y = _double_conv(state, "up2.conv", torch.cat([_resize(y, 2), z1, guide], 1)) + x1
    return _conv(state, "outc.conv.2", functional.leaky_relu(_conv(state, "outc.conv.0", y), 0.2)) + up


def _conv(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    return functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def _double_conv(state: State, name: str, x: Tensor) -> Tensor:
    for i in (0, 2):
        x = functional.leaky_relu(_conv(state, f"{name}.double_conv.{i}", x), 0.2)
    return x


def _resize(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _encoder(state: State, x: Tensor) -> Tensor:
    head = x = _conv(state, "spatial_encoder.head.0", x)
    block = 0
    while f"spatial_encoder.body.{block}.body.0.weight" in state:
        name = f"spatial_encoder.body.{block}.body"
        x = x + _conv(state, f"{name}.2", functional.relu(_conv(state, f"{name}.0", x)))
        block += 1
    return head + _conv(state, f"spatial_encoder.body.{block}", x)


def _latent_block(state: State, name: str, x: Tensor, patch: int) -> Tensor:
    count, width, height, columns = x.shape
    padded = functional.pad(x, (0, -columns % patch, 0, -height % patch))
    down, across = (n // patch for n in padded.shape[-2:])
    split = padded.view(count, width, down, patch, across, patch).permute(0, 2, 4, 1, 3, 5)
    patches = split.reshape(-1, width, patch, patch)

    latent = state[f"{name}.latent"]
    heads, _, size = latent.shape
    pairs = _conv(state, f"{name}.encoder_attn", patches).view(len(patches), heads, size, 2, -1)
    keys, values = pairs[:, :, :, 0], pairs[:, :, :, 1]
    attention = (torch.einsum("htd,phdn->phtn", latent, keys) / math.sqrt(size)).softmax(-1)
    tokens = torch.einsum("phtn,phdn->phtd", attention, values) + latent

    z = math.pi * torch.sigmoid(tokens)
    modes = state[f"{name}.modes_list"].to(x.dtype)
    angle = math.pi * z[..., None] * modes
    series = torch.cat([angle.sin(), angle.cos()], -1)
    z = z + torch.einsum("phtdq,hdq->phtd", series, state[f"{name}.weights"].view(heads, size, -1))

    queries = _conv(state, f"{name}.decoder_attn", patches).view(len(patches), heads, size, -1)
    attention = (torch.einsum("phdn,phtd->phnt", queries, z) / math.sqrt(size)).softmax(-1)
    moved = torch.einsum("phnt,phtd->phdn", attention, z).reshape(len(patches), width, patch, patch)
    moved = moved.view(count, down, across, width, patch, patch).permute(0, 3, 1, 4, 2, 5)
    return moved.reshape(padded.shape)[..., :height, :columns] + x
