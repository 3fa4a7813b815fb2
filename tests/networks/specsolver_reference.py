"""SpecSolver written down plainly: every step over the whole image, as the method's description reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["specsolver"]

State = Mapping[str, Tensor]


def specsolver(state: State, guide: Tensor, hsi: Tensor, straight: bool = False) -> Tensor:
    """Fuse ``(N, G, H, W)`` and ``(N, B, h, w)``, H and W multiples of 4, with the weights `state`."""
    size = guide.shape[-2:]
    up = functional.interpolate(hsi, size=size, mode="bicubic", align_corners=False)
    features = _encoder(state, torch.cat([up, guide], 1))
    joined = _spatial(state, features) + _frequency(state, features, straight)
    y, x = ((torch.arange(n, dtype=guide.dtype) + 0.5) / n * 2 - 1 for n in size)
    place = torch.stack([y[:, None].expand(size), x.expand(size)], -1).expand(len(guide), *size, 2)
    z = _mlp(state, "preprocess", torch.cat([place, joined.permute(0, 2, 3, 1)], -1))
    z = z + _attention(state, "blocks.0.Attn", _norm(state, "blocks.0.ln_1", z))
    z = z + _mlp(state, "blocks.0.mlp", _norm(state, "blocks.0.ln_2", z))
    return _linear(state, "blocks.0.mlp2", _norm(state, "blocks.0.ln_3", z)).permute(0, 3, 1, 2) + up


def _conv(state: State, name: str, x: Tensor, groups: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return functional.conv2d(x, weight, state.get(f"{name}.bias"), padding=weight.shape[-1] // 2, groups=groups)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def _mlp(state: State, name: str, x: Tensor) -> Tensor:
    return _linear(state, f"{name}.linear_post", functional.gelu(_linear(state, f"{name}.linear_pre.0", x)))


def _encoder(state: State, x: Tensor) -> Tensor:
    head = x = _conv(state, "spatial_encoder.head.0", x)
    block = 0
    while f"spatial_encoder.body.{block}.body.0.weight" in state:
        name = f"spatial_encoder.body.{block}.body"
        x = x + _conv(state, f"{name}.2", functional.relu(_conv(state, f"{name}.0", x)))
        block += 1
    return head + _conv(state, f"spatial_encoder.body.{block}", x)


def _spatial(state: State, x: Tensor) -> Tensor:
    branches = [_conv(state, "spa1.scale1.0", x)]
    for factor in (2, 4):
        small = functional.interpolate(x, scale_factor=1 / factor, mode="bilinear", align_corners=False)
        small = _conv(state, f"spa1.scale1_{factor}.1", small)
        branches.append(functional.interpolate(small, scale_factor=factor, mode="bilinear", align_corners=True))
    y = torch.cat(branches, 1)
    gate = [
        _conv(state, "spa1.channel.fc2", functional.relu(_conv(state, "spa1.channel.fc1", pooled)))
        for pooled in (y.mean((2, 3), keepdim=True), y.amax((2, 3), keepdim=True))
    ]
    return functional.leaky_relu(_conv(state, "spa1.out.0", y * torch.sigmoid(gate[0] + gate[1])), 0.2) + x


def _frequency(state: State, x: Tensor, straight: bool) -> Tensor:
    count, features, height, width = x.shape
    wave = torch.fft.fft2(x.to(torch.complex128))
    own = torch.zeros(height, width, dtype=torch.bool)
    own[:: height // 2, :: width // 2] = True
    wave = torch.complex(wave.real, wave.imag.masked_fill(own, 0))
    size = wave.abs().permute(0, 2, 3, 1).reshape(-1, features)
    layer = 0
    while f"imnet1.layers.{layer}.weight" in state:
        size = _linear(state, f"imnet1.layers.{layer}", functional.relu(size) if layer else size)
        layer += 2
    if straight:
        size = size.view(count, height, width, features).permute(0, 3, 1, 2)
    phase, layer = wave.angle(), 0
    while f"imnet2.layers.{layer}.0.weight" in state:
        phase = _conv(state, f"imnet2.layers.{layer}.0", functional.relu(phase) if layer else phase)
        phase = _conv(state, f"imnet2.layers.{layer}.1", phase, features)
        layer += 2
    return torch.fft.ifft2(torch.polar(size.reshape(x.shape), phase)).abs()


def _attention(state: State, name: str, x: Tensor) -> Tensor:
    temperature = state[f"{name}.temperature"].clamp(0.1, 5)
    heads = temperature.shape[1]
    keys, values = (
        _conv(state, f"{name}.in_project_{part}", x.permute(0, 3, 1, 2)).unflatten(1, (heads, -1)).flatten(3).mT
        for part in ("x", "fx")
    )
    weights = (_linear(state, f"{name}.in_project_slice", keys) / temperature).softmax(-1)
    tokens = (weights.mT @ values) / (weights.sum(2)[..., None] + 1e-5)
    q, k, v = (_linear(state, f"{name}.to_{part}", tokens) for part in "qkv")
    tokens = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
    back = (weights @ tokens).permute(0, 2, 1, 3).reshape(x.shape)
    return _linear(state, f"{name}.to_out.0", back)
