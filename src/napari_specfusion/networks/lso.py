"""LSO, latent spectral operators (ICML 2026): a fusion network that is local except for its pixel coordinates.

The modules are named as in the authors' checkpoints, so that their state dicts load unchanged. Without autograd the
network runs in strips of rows, each with the rows around it that its convolutions reach. The result is the same, the
widest feature maps are never held as a whole, and the buffers stay small enough for the allocator to reuse.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_specfusion import memory
from napari_specfusion.errors import ModelError
from napari_specfusion.networks.inputs import Grid, check_pair, check_ratio, check_sizes, extended, padded_pair
from napari_specfusion.networks.kernels import horner
from napari_specfusion.networks.layers import Encoder, added, by_strips, conv3, double, leaky, like_weights
from napari_specfusion.tiling.tiles import Footprint

__all__ = ["LSO"]


class LSO(nn.Module):
    """Latent spectral operators, the network of the ICML 2026 paper of that name.

    An EDSR encoder reads the guide and the upsampled cube; a three-level U-Net refines its features, on each level
    with a latent spectral block: every small patch attends to a few learned tokens, a sine series moves the tokens, and
    the pixels attend to them. The network predicts the detail that the upsampled cube lacks. The defaults are the
    released sizes.

    Parameters
    ----------
    bands, guide_bands
        Number of bands of the cube and of the guide.
    ratio
        HR pixels per LR pixel that the weights are meant for, 2 to 32. It is only descriptive: a call derives the ratio
        from the sizes of its images.
    width
        Channels of the U-Net; a multiple of `heads`.
    heads, tokens
        Attention heads, and learned tokens of each head.
    basis
        Frequencies of the sine series.
    patch
        Side of an attention patch in pixels of its level.
    features, blocks
        Channels and residual blocks of the encoder.

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
        width: int = 64,
        heads: int = 8,
        tokens: int = 8,
        basis: int = 24,
        patch: int = 4,
        features: int = 128,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.bands, self.guide_bands, self.ratio = bands, guide_bands, ratio
        self.sizes = {
            "width": width,
            "heads": heads,
            "tokens": tokens,
            "basis": basis,
            "patch": patch,
            "features": features,
            "blocks": blocks,
        }
        check_sizes("LSO", {"bands": bands, "guide_bands": guide_bands, **self.sizes})
        check_ratio("LSO", ratio)
        if width % heads:
            raise ModelError(f"The width is {width}; it must be a multiple of the {heads} heads.")
        joined = 2 * width + guide_bands
        self.spatial_encoder = Encoder(guide_bands + bands, features, blocks)
        self.inc = _DoubleConv(features + 2, width, width)
        self.down1 = _Down(width)
        self.down2 = _Down(width)
        self.process1 = _LatentBlock(width, heads, tokens, basis, patch)
        self.process2 = _LatentBlock(width, heads, tokens, basis, patch)
        self.process3 = _LatentBlock(width, heads, tokens, basis, patch)
        self.up1 = _Up(joined, width)
        self.up2 = _Up(joined, width)
        self.outc = _Out(width, bands)

    def footprint(self, ratio: int | None = None) -> Footprint:
        """Return the network's requirements on tiles at `ratio` (its own by default), in HR pixels."""
        ratio = self.ratio if ratio is None else ratio
        patch, blocks = self.sizes["patch"], self.sizes["blocks"]
        # Bicubic interpolation reads two LR pixels to each side, which reach this far beyond an LR pixel's own cell.
        bicubic = math.ceil(1.5 * ratio)
        return Footprint(_reach(patch, blocks) + bicubic, stride=4 * patch, multiple=4, uses_grid=True)

    def forward(self, guide: Tensor, hsi: Tensor, grid: Grid | None = None, base: Tensor | None = None) -> Tensor:
        """Fuse a batch of image pairs.

        Parameters
        ----------
        guide
            ``(N, G, H, W)``, reflectance-like values of about 0 to 1; any size.
        hsi
            ``(N, B, h, w)`` with H = ratio h and W = ratio w, likewise.
        grid
            Coordinates of the rows ``(H,)`` and columns ``(W,)``: the part of ``linspace(0, 1, size)`` over the whole
            image, padded to a multiple of lcm(4, ratio). None treats the given image as the whole one.
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
        ratio = check_pair("LSO", (self.bands, self.guide_bands), guide, hsi, base)
        height, width = guide.shape[-2:]
        guide, base = padded_pair(guide, hsi, base, ratio, 4)
        rows, columns = guide.shape[-2:]
        y, x = (
            _coordinates(given, size, inside, guide)
            for given, size, inside in zip(grid or (None, None), (rows, columns), (height, width), strict=True)
        )
        return self._refine(guide, base, y, x)[..., :height, :width]

    def _encode(self, images: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Return the first level's features."""
        images = images.contiguous(memory_format=torch.channels_last)

        def encode(rows: slice) -> Tensor:
            features = self.spatial_encoder(images[:, :, rows])
            place = torch.stack(torch.meshgrid(y[rows], x, indexing="ij")).expand(len(images), -1, -1, -1)
            return self.inc(torch.cat([features, self._ordered(place)], 1))  # type: ignore[no-any-return]

        return by_strips(encode, images.shape, self.spatial_encoder.reach + 2, images.device)

    def _ordered(self, images: Tensor) -> Tensor:
        """Return images in the order of axes that the convolutions work in."""
        first: Any = self.outc.conv[0]
        return like_weights(images, first.weight)

    def _refine(self, guide: Tensor, base: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Run the network on images of the padded size."""
        level1 = self._encode(torch.cat([guide, base], 1), y, x)
        guide = self._ordered(guide)
        level2 = self.down1(level1)
        level3 = self.down2(level2)
        half = functional.interpolate(guide, scale_factor=0.5, mode="bicubic", align_corners=False)
        coarse = torch.cat([double(self.process3(level3)), self.process2(level2), self._ordered(half)], 1)
        twice = double(added(self.up1(coarse), level2))
        del level2, level3, coarse
        processed = self.process1(level1)

        def decode(rows: slice) -> Tensor:
            joined = torch.cat([twice[:, :, rows], processed[:, :, rows], guide[:, :, rows]], 1)
            return self.outc(added(self.up2(joined), level1[:, :, rows]))  # type: ignore[no-any-return]

        return by_strips(decode, guide.shape, 3, guide.device, base)


class _DoubleConv(nn.Module):
    """conv3 and Leaky ReLU, twice."""

    def __init__(self, channels: int, middle: int, out: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(conv3(channels, middle), leaky(), conv3(middle, out), leaky())

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)  # type: ignore[no-any-return]


class _Halve(nn.Module):
    """Bilinear reduction to half the size, without antialiasing."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)


class _Down(nn.Module):
    """From one level to the next coarser one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Sequential(_Halve(), _DoubleConv(width, width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(x)  # type: ignore[no-any-return]


class _Up(nn.Module):
    """From one level to the next finer one, where features and the guide have been joined."""

    def __init__(self, joined: int, width: int) -> None:
        super().__init__()
        self.conv = _DoubleConv(joined, joined // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class _Out(nn.Module):
    """From features to bands."""

    def __init__(self, width: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv3(width, width), leaky(), nn.Conv2d(width, bands, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class _LatentBlock(nn.Module):
    """The latent spectral operator on the patches of one level."""

    modes_list: Tensor

    def __init__(self, width: int, heads: int, tokens: int, basis: int, patch: int) -> None:
        super().__init__()
        self.heads, self.patch, self.basis = heads, patch, basis
        self.weights = nn.Parameter(torch.randn(width, 2 * basis) * (0.1 / width))
        self.latent = nn.Parameter(torch.randn(heads, tokens, width // heads) * 0.02)
        self.register_buffer("modes_list", torch.arange(1, basis + 1, dtype=torch.float32))
        self.encoder_attn = nn.Conv2d(width, 2 * width, 1)
        self.decoder_attn = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        count, width, height, columns = x.shape
        p = self.patch
        rows, across = math.ceil(height / p) * p, math.ceil(columns / p)
        padded = functional.pad(x, (0, across * p - columns, 0, rows - height)).permute(0, 2, 3, 1)

        def transform(part: slice) -> Tensor:
            pixels = padded[:, part].reshape(count, -1, p, across, p, width).transpose(2, 3)
            moved = self._transform(pixels.reshape(-1, p * p, width), weight, bias, series)
            moved = moved.view(count, -1, across, p, p, width).transpose(2, 3).reshape(count, -1, across * p, width)
            return moved.permute(0, 3, 1, 2)[..., :columns]

        weight, bias = self._projections()
        series = self._series(x.dtype)
        shape = torch.Size((count, width, rows, across * p))
        moved = by_strips(transform, shape, 0, x.device, step=p, pixels=memory.LATENT_PIXELS)[:, :, :height]
        return added(moved, x)

    def _projections(self) -> tuple[Tensor, Tensor]:
        """Return one linear map (its weight, its bias) to a pixel's scores per token, its values and its queries.

        The tokens' queries are learned and the same everywhere, so the keys need not be computed: their product with a
        query is a linear function of the pixel.
        """
        heads, _, size = self.latent.shape
        width = heads * size
        pairs = self.encoder_attn.weight.view(heads, size, 2, width)
        assert self.encoder_attn.bias is not None and self.decoder_attn.bias is not None
        pair_bias = self.encoder_attn.bias.view(heads, size, 2)
        query = self.latent / math.sqrt(size)
        scores = torch.einsum("htd,hdc->htc", query, pairs[:, :, 0]).flatten(0, 1)
        score_bias = torch.einsum("htd,hd->ht", query, pair_bias[..., 0]).flatten()
        values, value_bias = pairs[:, :, 1].reshape(width, width), pair_bias[..., 1].flatten()
        scale = 1 / math.sqrt(size)
        queries, query_bias = self.decoder_attn.weight.flatten(1) * scale, self.decoder_attn.bias * scale
        return torch.cat([scores, values, queries]), torch.cat([score_bias, value_bias, query_bias])

    def _series(self, dtype: torch.dtype) -> Tensor:
        """Return complex c_q ``(Q, heads, 1, size)``; the series is the real part of the sum of c_q exp(i pi q z)."""
        real = torch.promote_types(dtype, torch.float32)
        sine, cosine = self.weights.to(real).view(self.heads, -1, 2, self.basis).permute(2, 3, 0, 1).unsqueeze(-2)
        return torch.complex(cosine, -sine)

    def _transform(self, pixels: Tensor, weight: Tensor, bias: Tensor, series: Tensor) -> Tensor:
        """Return the block's update of the pixels ``(patches, pixels, width)`` of some patches."""
        patches, count, width = pixels.shape
        heads, tokens, size = self.latent.shape
        projected = functional.linear(pixels, weight, bias)
        scores, values, queries = projected.split([heads * tokens, width, width], -1)
        attention = scores.softmax(1).view(patches, count, heads, tokens)
        latent = torch.einsum("pnht,pnhd->phtd", attention, values.view(patches, count, heads, size))
        latent = self._solve(latent + self.latent, series).to(projected.dtype)
        match = torch.einsum("pnhd,phtd->pnth", queries.view(patches, count, heads, size), latent)
        return torch.einsum("pnth,phtd->pnhd", match.softmax(2), latent).reshape(patches, count, width)

    def _solve(self, tokens: Tensor, series: Tensor) -> Tensor:
        """Move the tokens ``(patches, heads, tokens, size)`` by their channels' sine and cosine series."""
        z = math.pi * torch.sigmoid(tokens.to(series.real.dtype))
        angle = math.pi * z
        step = torch.complex(angle.cos(), angle.sin())
        fast = horner(series, step)
        if fast is not None:
            return z + fast.real
        # Horner's rule in exp(i pi z) needs one sine and one cosine; the plain sum needs one of each per frequency.
        value = series[-1] * step
        for coefficient in reversed(series[:-1].unbind()):
            value = (value + coefficient) * step if torch.is_grad_enabled() else value.add_(coefficient).mul_(step)
        return z + value.real


def _coordinates(given: Tensor | None, size: int, inside: int, like: Tensor) -> Tensor:
    """Return the coordinates of `size` rows or columns, of which `inside` belong to the image and can be given."""
    if given is None:
        return torch.linspace(0, 1, size, dtype=like.dtype, device=like.device)
    return extended(given.to(like), size, inside)


def _reach(patch: int, blocks: int) -> int:
    """Return how many pixels to each side a result depends on, at any position within the patches.

    The stages are traced backwards, each giving the first pixel that it reads. The bilinear steps between levels and
    the patches have grids of their own, so every position within a period is tried.
    """

    def first(pixel: int) -> int:
        pixel -= 3  # outc and up2 at full size
        pixel = (2 * pixel - 1) // 4 - 2  # enlargement from level 2, up1
        pixel = (2 * pixel - 1) // 4  # enlargement from level 3
        pixel = pixel // patch * patch - 2  # the block's patches, down2
        pixel = 2 * pixel - 2  # reduction from level 2, down1
        return 2 * pixel - 2 - (2 * blocks + 2)  # reduction from level 1, inc, encoder

    return max(pixel - first(pixel) for pixel in range(4 * patch))
