"""SpecSolver's Fourier branch: half spectra of real images, and the layers for magnitudes and phases."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_specfusion.networks.layers import by_strips

__all__ = ["MagnitudeNet", "PhaseNet", "channel_groups", "mirrored", "polar"]

# Below this magnitude a frequency's phase is meaningless, and its derivative overflows.
FAINT = 1e-15

# Channels transformed at a time: few compared with the feature maps, and one cache line per pixel.
SPECTRUM_CHANNELS = 16


class MagnitudeNet(nn.Module):
    """Linear layers over the channels of each frequency ``(..., F)``."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(features, features), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(..., F)``."""
        return self.layers(x)  # type: ignore[no-any-return]


class PhaseNet(nn.Module):
    """Separable convolutions over the phases ``(N, F, H, W)``."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            across = nn.Conv2d(features, features, 1, bias=False)
            along = nn.Conv2d(features, features, 3, padding=1, groups=features, bias=False)
            layers += [nn.Sequential(across, along), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])
        self.reach = depth

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(N, F, H, W)``."""
        return by_strips(lambda rows: self.layers(x[:, :, rows]), x.shape, self.reach, x.device)


def channel_groups(x: Tensor) -> list[slice]:
    """Return the groups of channels to transform at a time."""
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return [slice(None)]
    return [slice(start, start + SPECTRUM_CHANNELS) for start in range(0, x.shape[1], SPECTRUM_CHANNELS)]


def polar(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return magnitudes and phases ``(N, H, W // 2 + 1, F)`` of real images ``(N, F, H, W)``; the rest mirrors it."""
    count, channels, height, width = features.shape
    magnitude, phase = (features.new_empty(count, height, width // 2 + 1, channels) for _ in range(2))
    for part in channel_groups(features):
        wave = torch.fft.rfft2(features[:, part].contiguous())
        # These are real; rounding errors in their imaginary parts would decide between a phase of pi and -pi.
        torch.view_as_real(wave)[..., :: height // 2, :: width // 2, 1] = 0
        size = wave.abs()
        angle = wave.masked_fill(size < FAINT, 1).angle()
        if torch.is_grad_enabled():
            return size.permute(0, 2, 3, 1), angle.permute(0, 2, 3, 1)
        magnitude[..., part], phase[..., part] = size.permute(0, 2, 3, 1), angle.permute(0, 2, 3, 1)
    return magnitude, phase


def mirrored(half: Tensor, columns: int, sign: int) -> Tensor:
    """Return the full spectrum ``(N, H, columns, F)``: the value at -k is `sign` times the value at k."""
    rest = half[:, :, 1 : columns - half.shape[2] + 1].flip(1, 2).roll(1, 1)
    return torch.cat([half, rest * sign if sign != 1 else rest], 2)
