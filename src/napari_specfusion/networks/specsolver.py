"""SpecSolver (ACM MM 2025): a fusion network that joins a spatial, a Fourier and an attention branch.

The modules are named as in the authors' checkpoints, so that their state dicts load unchanged. Channel pooling, the
Fourier transform and the attention's slice tokens use the whole image, so a result depends on the window it is computed
on; the footprint states the window size that the weights are meant for.

Without autograd the local parts run in strips of rows, and the transforms in groups of channels: only a part of the
widest maps (three branches, complex spectra, slice weights) exists at a time, and the result is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_specfusion import memory
from napari_specfusion.errors import ModelError
from napari_specfusion.networks.fourier import MagnitudeNet, PhaseNet, channel_groups, mirrored, polar
from napari_specfusion.networks.inputs import Grid, check_pair, check_ratio, check_sizes, extended, padded_pair
from napari_specfusion.networks.layers import Encoder, added, by_strips, conv3, leaky, strips
from napari_specfusion.tiling.tiles import Footprint

__all__ = ["SpecSolver"]

MULTIPLE = 4

# Up to this many pixels the order of axes makes little difference in time. Unchanged, it sums as the released code
# does, and phases close to pi come out on the same side of their jump.
SMALL = 1 << 13


class SpecSolver(nn.Module):
    """SpecSolver, the network of the ACM MM 2025 paper of that name.

    An EDSR encoder reads the upsampled cube and the guide. A spatial branch refines its features at three scales, a
    Fourier branch their magnitudes and phases; on the sum of the two, pixels exchange information through a few slice
    tokens. The network predicts the detail that the upsampled cube lacks. The defaults are the sizes released for CAVE.

    Parameters
    ----------
    bands, guide_bands
        Number of bands of the cube and of the guide.
    ratio
        HR pixels per LR pixel that the weights are meant for, 2 to 32. It is only descriptive: a call derives the ratio
        from the sizes of its images.
    features, blocks
        Channels and residual blocks of the encoder.
    width
        Channels of the attention; a multiple of `heads`.
    heads, slices
        Attention heads, and tokens of each head.
    magnitude, phase
        Number of linear layers for the magnitudes, and of convolution stages for the phases.
    straight
        1 keeps each magnitude at its channel and frequency. The released weights need 0: they re-read the magnitudes in
        another order of axes.
    window
        Side in HR pixels of the images that the weights are meant for; larger images are better fused in windows.

    Raises
    ------
    ModelError
        If a number is out of its range.
    """

    def __init__(
        self,
        bands: int,
        guide_bands: int = 3,
        ratio: int = 4,
        *,
        features: int = 128,
        blocks: int = 6,
        width: int = 64,
        heads: int = 8,
        slices: int = 64,
        magnitude: int = 2,
        phase: int = 2,
        straight: int = 0,
        window: int = 512,
    ) -> None:
        super().__init__()
        self.bands, self.guide_bands, self.ratio, self.window = bands, guide_bands, ratio, window
        self.straight = bool(straight)
        counts = {
            "features": features,
            "blocks": blocks,
            "width": width,
            "heads": heads,
            "slices": slices,
            "magnitude": magnitude,
            "phase": phase,
            "window": window,
        }
        self.sizes = {**counts, "straight": int(straight)}
        check_sizes("SpecSolver", {"bands": bands, "guide_bands": guide_bands, **counts})
        check_ratio("SpecSolver", ratio)
        if straight not in (0, 1):
            raise ModelError(f"straight is {straight}; give 1, or 0 for the released weights' order of axes.")
        if width % heads:
            raise ModelError(f"The width is {width}; it must be a multiple of the {heads} heads.")
        self.spatial_encoder = Encoder(bands + guide_bands, features, blocks)
        self.spa1 = _SpatialNet(features)
        self.imnet1 = MagnitudeNet(features, magnitude)
        self.imnet2 = PhaseNet(features, phase)
        self.preprocess = _Mlp(features + 2, 2 * width, width)
        self.blocks = nn.ModuleList([_Block(width, heads, slices, bands)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def footprint(self, ratio: int | None = None) -> Footprint:
        """Return the network's requirements: windows with corners on multiples of 4 HR pixels, at any `ratio`.

        Its halo is 0: the network uses the whole image, and no halo can replace that.
        """
        del ratio
        return Footprint(0, stride=MULTIPLE, multiple=MULTIPLE, window=self.window)

    def forward(self, guide: Tensor, hsi: Tensor, grid: Grid | None = None, base: Tensor | None = None) -> Tensor:
        """Fuse a batch of image pairs.

        Parameters
        ----------
        guide
            ``(N, G, H, W)``, reflectance-like values of about 0 to 1; any size.
        hsi
            ``(N, B, h, w)`` with H = ratio h and W = ratio w, likewise.
        grid
            Coordinates of the rows ``(H,)`` and columns ``(W,)``, 0 at the image's first edge and 1 at its last. None
            takes the pixel centres of the given image.
        base
            ``(N, B, H, W)``, replaces the bicubic enlargement of `hsi` as an input and as the image that the network's
            output is added to. None takes the bicubic enlargement.

        Returns
        -------
        Tensor
            ``(N, B, H, W)``, unclipped.

        Raises
        ------
        ModelError
            If the images do not match each other, or this network.
        """
        ratio = check_pair("SpecSolver", (self.bands, self.guide_bands), guide, hsi, base)
        height, width = guide.shape[-2:]
        guide, base = padded_pair(guide, hsi, base, ratio, MULTIPLE)
        y, x = (
            _coordinates(given, size, inside, guide)
            for given, size, inside in zip(grid or (None, None), guide.shape[-2:], (height, width), strict=True)
        )
        pixels = self._pixels(torch.cat([base, guide], 1), y, x)
        return self.blocks[0](pixels, base)[..., :height, :width]  # type: ignore[no-any-return]

    def _pixels(self, images: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Return the input of the attention, ``(N, width, H, W)``."""
        if images.numel() > SMALL * images.shape[1]:
            images = images.contiguous(memory_format=torch.channels_last)

        def encode(rows: slice) -> Tensor:
            return self.spatial_encoder(images[:, :, rows])  # type: ignore[no-any-return]

        reach = self.spatial_encoder.reach
        features = by_strips(encode, images.shape, reach, images.device, pixels=memory.ENCODED_PIXELS)
        joined = self._frequencies(features, self.spa1(features))
        del features

        def project(rows: slice) -> Tensor:
            place = torch.stack(torch.meshgrid(y[rows], x, indexing="ij"), -1).expand(len(joined), -1, -1, -1)
            part = joined[:, :, rows].permute(0, 2, 3, 1)
            return self.preprocess(torch.cat([place.to(part.dtype), part], -1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]

        return by_strips(project, joined.shape, 0, joined.device)

    def _frequencies(self, features: Tensor, plus: Tensor) -> Tensor:
        """Return `plus` with the Fourier branch of the features ``(N, F, H, W)`` added."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            columns = features.shape[-1]
            magnitude, phase = polar(features)
            magnitude = mirrored(self.imnet1(magnitude), columns, 1)
            # the released model re-reads (H, W, F) as (F, H, W)
            magnitude = magnitude.permute(0, 3, 1, 2) if self.straight else magnitude.reshape(features.shape)
            phase = self.imnet2(mirrored(phase, columns, -1).permute(0, 3, 1, 2))
            for part in channel_groups(features):
                wave = torch.polar(magnitude[:, part].contiguous(), phase[:, part].contiguous())
                real: Tensor = torch.fft.ifft2(wave).abs()
                if torch.is_grad_enabled():
                    return plus + real
                plus[:, part] += real
        return plus


class _SpatialNet(nn.Module):
    """Features at three scales, weighted channel by channel and joined."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale1 = nn.Sequential(conv3(features, features))
        self.scale1_2 = nn.Sequential(_Shrink(2), conv3(features, features))
        self.scale1_4 = nn.Sequential(_Shrink(4), conv3(features, features))
        self.channel = _ChannelGate(3 * features)
        self.out = nn.Sequential(conv3(3 * features, features), leaky())

    def forward(self, x: Tensor) -> Tensor:
        fine = by_strips(lambda rows: self.scale1(x[:, :, rows]), x.shape, 1, x.device)
        coarse = [self.scale1_2(x), self.scale1_4(x)]

        def joined(rows: slice) -> Tensor:
            return torch.cat([fine[:, :, rows], *(_enlarged(c, rows, x.shape[-2:]) for c in coarse)], 1)

        means, peaks = [], []
        for rows in strips(x.shape, 0, x.device):
            part = joined(rows)
            means.append(part.mean((2, 3)) * (part.shape[2] / x.shape[2]))
            peaks.append(part.amax((2, 3)))
        gate = self.channel(torch.stack(means).sum(0), torch.stack(peaks).amax(0))

        def out(rows: slice) -> Tensor:
            return self.out(joined(rows) * gate)  # type: ignore[no-any-return]

        return added(by_strips(out, x.shape, 1, x.device), x)


class _Shrink(nn.Module):
    """Bilinear reduction without antialiasing."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=1 / self.factor, mode="bilinear", align_corners=False)


class _ChannelGate(nn.Module):
    """Weights of the channels, from their means and maxima over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, max(channels // 4, 1), 1, bias=False)
        self.fc2 = nn.Conv2d(max(channels // 4, 1), channels, 1, bias=False)

    def forward(self, mean: Tensor, peak: Tensor) -> Tensor:
        both = torch.stack([mean, peak], -1)[..., None]
        return self.fc2(functional.relu(self.fc1(both))).sum(2, keepdim=True).sigmoid()  # type: ignore[no-any-return]


class _Mlp(nn.Module):
    """Linear, GELU, linear over the channels ``(..., C)``."""

    def __init__(self, channels: int, middle: int, out: int) -> None:
        super().__init__()
        self.linear_pre = nn.Sequential(nn.Linear(channels, middle), nn.GELU())
        self.linear_post = nn.Linear(middle, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_post(self.linear_pre(x))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Attention, then linear layers pixel by pixel, the last of them to bands."""

    def __init__(self, width: int, heads: int, slices: int, bands: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.Attn = _SliceAttention(width, heads, slices)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width, width, width)
        self.ln_3 = nn.LayerNorm(width)
        self.mlp2 = nn.Linear(width, bands)

    def forward(self, x: Tensor, plus: Tensor) -> Tensor:
        """Return `plus` ``(N, bands, H, W)`` with the block's output for the pixels ``(N, width, H, W)`` added."""

        def project(rows: slice) -> Tensor:
            part = self.ln_1(x[:, :, rows].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return self.Attn.project(part)

        projected = by_strips(project, x.shape, 1, x.device).permute(0, 2, 3, 1)
        keys, values = projected.chunk(2, -1)
        tokens = self.Attn.tokens(keys, values)

        def finish(rows: slice) -> Tensor:
            y = added(self.Attn.spread(keys[:, rows], tokens), x[:, :, rows].permute(0, 2, 3, 1))
            y = added(self.mlp(self.ln_2(y)), y)
            return self.mlp2(self.ln_3(y)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]

        return by_strips(finish, x.shape, 0, x.device, plus, pixels=memory.SLICE_PIXELS)


class _SliceAttention(nn.Module):
    """Attention among a few tokens, each a weighted mean of all pixels; the same weights map them back to pixels."""

    def __init__(self, width: int, heads: int, slices: int) -> None:
        super().__init__()
        size = width // heads
        self.heads = heads
        self.temperature = nn.Parameter(torch.full((1, heads, 1, 1), 0.5))
        self.in_project_x = conv3(width, width)
        self.in_project_fx = conv3(width, width)
        self.in_project_slice = nn.Linear(size, slices)
        self.to_q = nn.Linear(size, size, bias=False)
        self.to_k = nn.Linear(size, size, bias=False)
        self.to_v = nn.Linear(size, size, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def project(self, x: Tensor) -> Tensor:
        """Return the keys for the slice weights, followed by the values: ``(N, 2 width, H, W)``."""
        pair = self.in_project_x, self.in_project_fx
        assert pair[0].bias is not None and pair[1].bias is not None
        bias = torch.cat([pair[0].bias, pair[1].bias])
        return functional.conv2d(x, torch.cat([c.weight for c in pair]), bias, padding=1)

    def tokens(self, keys: Tensor, values: Tensor) -> Tensor:
        """Return ``(N, heads, slices, size)`` after their exchange; keys and values are ``(N, H, W, width)``."""
        count, height, width, channels = keys.shape
        sums: list[Tensor] = []
        for rows in strips(torch.Size((count, channels, height, width)), 0, keys.device, pixels=memory.SLICE_PIXELS):
            value = self._split(values[:, rows])
            # one column more counts the pixels
            value = torch.cat([value, torch.ones_like(value[..., :1])], -1)
            sums.append(torch.einsum("nphs,nphd->nhsd", self._weights(keys[:, rows]), value))
        total = torch.stack(sums).sum(0)
        tokens = total[..., :-1] / (total[..., -1:] + 1e-5)
        q, k, v = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v  # type: ignore[no-any-return]

    def spread(self, keys: Tensor, tokens: Tensor) -> Tensor:
        """Return the tokens mapped back to pixels ``(N, H, W, width)``."""
        back = torch.einsum("nphs,nhsd->nphd", self._weights(keys), tokens)
        return self.to_out(back.reshape(keys.shape))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        """Return ``(N, pixels, heads, size)``."""
        return x.reshape(len(x), -1, self.heads, x.shape[-1] // self.heads)

    def _weights(self, keys: Tensor) -> Tensor:
        """Return how much of each pixel belongs to each slice: ``(N, pixels, heads, slices)``."""
        scores = self.in_project_slice(self._split(keys))
        return (scores / self.temperature.view(self.heads, 1).clamp(0.1, 5)).softmax(-1)  # type: ignore[no-any-return]


def _enlarged(coarse: Tensor, rows: slice, size: tuple[int, int] | torch.Size) -> Tensor:
    """Return some rows of the bilinear enlargement to `size` whose corners fall on the small image's corners."""
    height, width = size
    if rows.stop - rows.start < height:
        place = torch.arange(rows.start, rows.stop, dtype=torch.float64) * ((coarse.shape[2] - 1) / (height - 1))
        above = place.long()
        share = (place - above).to(coarse)[:, None]
        below = (above + 1).clamp(max=coarse.shape[2] - 1)
        coarse = torch.lerp(coarse[:, :, above], coarse[:, :, below], share)
    return functional.interpolate(coarse, size=(rows.stop - rows.start, width), mode="bilinear", align_corners=True)


def _coordinates(given: Tensor | None, size: int, inside: int, like: Tensor) -> Tensor:
    """Return the coordinates, -1 to 1, of `size` rows or columns, of which `inside` can be given, 0 to 1."""
    if given is not None:
        return 2 * extended(given.to(like), size, inside) - 1
    return (2 * torch.arange(size, dtype=like.dtype, device=like.device) + 1) / size - 1
