"""The networks by name: their titles and sizes, and how to recognise their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_specfusion.arguments import short, whole
from napari_specfusion.errors import ModelError
from napari_specfusion.listing import Listing

if TYPE_CHECKING:
    import torch

__all__ = ["DEFAULT_NETWORK", "NETWORKS", "NetworkInfo", "NetworkSpec", "create_model", "list_networks"]

DEFAULT_NETWORK = "lso-s"
"""The default network of `train` and `fit`."""

# of any size of a network
LARGEST = 1 << 20

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class NetworkInfo:
    """One line of `list_networks`.

    Attributes
    ----------
    name
        The name that `train`, `fit` and `create_model` accept.
    title
        Title in a few words.
    reference
        The paper that describes it.
    """

    name: str
    title: str
    reference: str


@dataclass(frozen=True)
class NetworkSpec:
    """A network that can be created or recognised.

    Attributes
    ----------
    title
        Title in a few words.
    factory
        ``"module:class"``; called with (bands, guide_bands, ratio) and the sizes as keywords.
    sizes
        Its sizes.
    reference
        The paper that describes it.
    landmark
        A key that only the state dicts of this architecture hold.
    read_sizes
        Reads bands, guide bands and sizes from the shapes of a state dict.
    """

    title: str
    factory: str
    sizes: Mapping[str, int]
    reference: str
    landmark: str
    read_sizes: Callable[[Shapes], dict[str, int]]


def _lso_sizes(shapes: Shapes) -> dict[str, int]:
    heads, tokens, _ = shapes["process1.latent"]
    width = shapes["process1.decoder_attn.weight"][0]
    features, images = shapes["spatial_encoder.head.0.weight"][:2]
    bands = shapes["outc.conv.2.weight"][0]
    return {
        "bands": bands,
        "guide_bands": images - bands,
        "width": width,
        "heads": heads,
        "tokens": tokens,
        "basis": shapes["process1.weights"][1] // 2,
        "features": features,
        "blocks": sum(key.endswith(".body.0.weight") for key in shapes if key.startswith("spatial_encoder.body.")),
    }


def _specsolver_sizes(shapes: Shapes) -> dict[str, int]:
    features, images = shapes["spatial_encoder.head.0.weight"][:2]
    bands, width = shapes["blocks.0.mlp2.weight"]
    return {
        "bands": bands,
        "guide_bands": images - bands,
        "features": features,
        "blocks": sum(key.endswith(".body.0.weight") for key in shapes if key.startswith("spatial_encoder.body.")),
        "width": width,
        "heads": shapes["blocks.0.Attn.temperature"][1],
        "slices": shapes["blocks.0.Attn.in_project_slice.weight"][0],
        "magnitude": sum(key.startswith("imnet1.") and key.endswith(".weight") for key in shapes),
        "phase": sum(key.startswith("imnet2.") and key.endswith(".0.weight") for key in shapes),
    }


def _lso(title: str, **sizes: int) -> NetworkSpec:
    return NetworkSpec(
        title,
        "napari_specfusion.networks.lso:LSO",
        MappingProxyType({"patch": 4, **sizes}),
        "Latent Spectral Operators, ICML 2026",
        "process1.latent",
        _lso_sizes,
    )


def _specsolver(title: str, **sizes: int) -> NetworkSpec:
    return NetworkSpec(
        title,
        "napari_specfusion.networks.specsolver:SpecSolver",
        MappingProxyType({"heads": 8, "slices": 64, "straight": 0, **sizes}),
        "SpecSolver, ACM MM 2025",
        "spa1.scale1.0.weight",
        _specsolver_sizes,
    )


NETWORKS: Mapping[str, NetworkSpec] = MappingProxyType(
    {
        "lso": _lso("LSO as released", width=64, heads=8, tokens=8, basis=24, features=128, blocks=4),
        "lso-s": _lso("LSO, compact, for CPUs", width=32, heads=4, tokens=4, basis=8, features=32, blocks=2),
        "specsolver": _specsolver(
            "SpecSolver as released for CAVE", features=128, blocks=6, width=64, magnitude=2, phase=2, window=512
        ),
        "specsolver-harvard": _specsolver(
            "SpecSolver as released for Harvard", features=96, blocks=5, width=128, magnitude=1, phase=1, window=1024
        ),
        "specsolver-s": _specsolver(
            "SpecSolver, compact, for CPUs",
            features=32,
            blocks=2,
            width=32,
            heads=4,
            slices=16,
            magnitude=1,
            phase=1,
            window=512,
        ),
    }
)
"""The networks that can be trained, by name."""


def list_networks() -> Listing[NetworkInfo]:
    """Return the networks that can be trained, fitted or created; prints as a table."""
    return Listing(NetworkInfo(name, spec.title, spec.reference) for name, spec in NETWORKS.items())


def create_model(name: str, bands: int, guide_bands: int, ratio: int, **size: int) -> torch.nn.Module:
    """Create a network with random weights.

    Parameters
    ----------
    name
        One of `list_networks`.
    bands, guide_bands
        Number of bands of the cube and of the guide.
    ratio
        HR pixels per LR pixel, a whole number from 2 to 32.
    **size
        Sizes that differ from the named network's, such as ``width=48``.

    Returns
    -------
    torch.nn.Module
        Takes a guide ``(N, G, H, W)`` and a cube ``(N, B, h, w)`` of values of about 0 to 1, returns ``(N, B, H, W)``,
        unclipped; any image size.

    Raises
    ------
    ModelError
        If the network is unknown, or not possible in this size.
    """
    if not isinstance(name, str) or name not in NETWORKS:
        raise ModelError(f"There is no network {short(name)}; choose one of {', '.join(NETWORKS)}.")
    spec = NETWORKS[name]
    bands = whole("The number of bands", bands, 1, LARGEST, ModelError)
    guide_bands = whole("The number of guide bands", guide_bands, 1, LARGEST, ModelError)
    ratio = whole("The ratio", ratio, error=ModelError)
    unknown = sorted(set(size) - set(spec.sizes))
    if unknown:
        raise ModelError(f"{name} has no size {', '.join(unknown)}; it has {', '.join(spec.sizes)}.")
    module, attribute = spec.factory.split(":")
    factory: Callable[..., Any] = getattr(import_module(module), attribute)
    sizes = {key: whole(key, value, 0, LARGEST, ModelError) for key, value in {**spec.sizes, **size}.items()}
    try:
        network: torch.nn.Module = factory(bands, guide_bands, ratio, **sizes)
    except (RuntimeError, MemoryError) as error:  # torch raises the former where memory is short
        reason = (str(error).strip() or "no memory").splitlines()[0]
        raise ModelError(f"{name} cannot be made in this size ({reason[:200]}); choose smaller sizes.") from error
    return network
