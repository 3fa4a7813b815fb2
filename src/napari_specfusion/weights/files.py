"""Reading and writing weight files: one writer, and one reader for every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import CheckpointError, ModelError, OutputError, ReadError
from napari_specfusion.files import as_path, check_file
from napari_specfusion.io.atomic import replacing
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.networks.residual import NUMBERS
from napari_specfusion.weights.card import ModelCard, card_from_metadata, card_to_metadata
from napari_specfusion.weights.checkpoint import read_checkpoint

if TYPE_CHECKING:
    import torch

__all__ = ["SUFFIX", "WeightFile", "complete_card", "read_card", "read_weights", "write_weights"]

SUFFIX = ".safetensors"
DEFAULT_RATIO = 4
# kinds of files whose network gets spectral directions of its training scenes
WITH_NUMBERS = ("trained", "fitted")
_MODULE = "module."
# A file states sizes up to here. A network may lack some of its weights, which is told by their names.
_LARGEST_SIZE, _SPARE_WEIGHTS = 1 << 20, 1_000_000

Numbers = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class WeightFile:
    """The content of a weight file.

    Attributes
    ----------
    card
        Its description.
    module
        The network, in evaluation mode, on the CPU.
    numbers
        Arrays that bring images into the network's range, by name, see `Residual`; empty for a bare network.
    """

    card: ModelCard
    module: torch.nn.Module
    numbers: Numbers


def write_weights(path: str | Path, module: torch.nn.Module, card: ModelCard, numbers: Numbers | None = None) -> None:
    """Write a network, its numbers and its card to a ``.safetensors`` file, whole or not at all.

    Parameters
    ----------
    path
        File to write, ending in ``.safetensors``. An existing file is replaced.
    module
        A network of `create_model`.
    card
        Its description. Bands, ratio, sizes and window are filled in.
    numbers
        Arrays that bring images into the network's range, see `Residual`; None for a bare network.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    import torch
    from safetensors.torch import save

    target = as_path(path, OutputError)
    if target.suffix != SUFFIX:
        raise OutputError(f"{target.name} must end in {SUFFIX}; choose another name.")
    numbers = numbers or {}
    tensors = {_MODULE + name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    tensors |= {name: torch.as_tensor(np.ascontiguousarray(values)) for name, values in numbers.items()}
    try:
        content = save(tensors, metadata=card_to_metadata(complete_card(card, module, numbers)))
    except Exception as error:  # safetensors has an error of its own
        raise OutputError(f"{target.name} cannot hold these weights ({error}); give plain data as the card.") from error
    with replacing(target) as part:
        part.write_bytes(content)


def complete_card(card: ModelCard, module: torch.nn.Module, numbers: Numbers) -> ModelCard:
    """Return a card with the values of the network and its numbers filled in."""
    network: Any = module
    if card.kind == "any sensor":
        # its bands and its ratio are those of planes
        return replace(card, sizes=dict(network.sizes))
    pair = card.units == "pair"
    return replace(
        card,
        bands=len(numbers["basis"]) if numbers else network.bands,
        guide_bands=numbers["guide_centre"].size if pair else network.guide_bands,
        directions=network.bands if numbers else 0,
        ratio=None if pair else network.ratio,
        sizes=dict(network.sizes),
        window=network.footprint().window,
    )


def read_weights(path: str | Path, ratio: int | Fraction | None = None) -> WeightFile:
    """Read a weight file of any kind.

    Parameters
    ----------
    path
        A ``.safetensors`` file of this package or of others, or a PyTorch checkpoint of a network's authors. The
        network and its sizes are derived from the tensors.
    ratio
        HR pixels per LR pixel to use a bare network at. None takes the file's, or 4 if the file does not state it: it
        cannot be derived from the tensors.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, contradicts itself, holds code, belongs to an unknown network, or to another
        ratio.
    """
    file = _weight_file(path)
    state, card = _read_safetensors(file) if file.suffix == SUFFIX else read_checkpoint(file)
    _check_types(file.name, state)
    numbers: dict[str, NDArray[np.float64]] = {}
    if card.kind in WITH_NUMBERS:
        missing = [name for name in NUMBERS if name not in state]
        if missing:
            raise CheckpointError(f"{file.name} does not hold {', '.join(missing)}; get the file again.")
        numbers = {name: state.pop(name).detach().double().numpy() for name in NUMBERS}
    state = {name.removeprefix(_MODULE): value for name, value in state.items()}
    if not all(bool(v.isfinite().all()) for v in state.values() if v.is_floating_point()) or not all(
        np.isfinite(values).all() for values in numbers.values()
    ):
        raise CheckpointError(
            f"{file.name} holds weights that are not finite, so its training has failed; take other weights."
        )
    name, module = _network(file.name, state, card, ratio)
    try:
        complete = complete_card(replace(card, network=name), module, numbers)
        _check(complete, card, module, numbers)
    except ValueError as error:
        raise CheckpointError(f"{file.name} contradicts itself ({error}); get the file again.") from error
    return WeightFile(complete, module, numbers)


def read_card(path: str | Path) -> ModelCard:
    """Return the card of a ``.safetensors`` file, without its tensors and without torch.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged.
    """
    file = _weight_file(path)
    try:
        from safetensors import safe_open

        with safe_open(file, "np") as stored:
            card = _card(file, stored.metadata())
            if card.kind in WITH_NUMBERS and not card.bands:
                card = replace(card, bands=stored.get_slice("basis").get_shape()[0])
    except CheckpointError:
        raise
    except Exception as error:  # safetensors has an error of its own
        raise CheckpointError(f"{file.name} is not a whole safetensors file ({error}); get it again.") from error
    return card


def _check_types(file: str, state: Mapping[str, torch.Tensor]) -> None:
    """Check that all tensors hold plain real numbers, which every step after this one can compute with."""
    import torch

    plain = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64}
    for name, value in state.items():
        if value.dtype not in plain:
            raise CheckpointError(
                f"{file} holds {name[:80]!r} as {value.dtype}; weights are floating-point numbers: get the file again."
            )


def _weight_file(path: object) -> Path:
    file = as_path(path, CheckpointError)
    if not file.exists():
        raise CheckpointError(f"There is no weight file {file}; check the path.")
    try:
        check_file(file)
    except ReadError as error:
        raise CheckpointError(str(error)) from error
    return file


def _read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], ModelCard]:
    from safetensors import safe_open

    try:
        with safe_open(file, "pt") as stored:
            metadata = stored.metadata()
            state = {name: stored.get_tensor(name) for name in stored.keys()}
    except Exception as error:  # safetensors has an error of its own
        raise CheckpointError(f"{file.name} is not a whole safetensors file ({error}); get it again.") from error
    return state, _card(file, metadata)


def _card(file: Path, metadata: Mapping[str, str] | None) -> ModelCard:
    try:
        return card_from_metadata(metadata or {})
    except ValueError as error:
        raise CheckpointError(f"The model card of {file.name} is damaged ({error}); get the file again.") from error


def _network(
    file: str, state: Mapping[str, torch.Tensor], card: ModelCard, ratio: int | Fraction | None
) -> tuple[str, torch.nn.Module]:
    """Return the name of the network that the tensors belong to, and the network filled with them."""
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    known = [name for name, spec in NETWORKS.items() if spec.landmark in shapes]
    if not known:
        raise CheckpointError(
            f"{file} holds weights of another network (keys such as {', '.join(sorted(shapes)[:3])}); "
            f"known here: {', '.join(NETWORKS)}."
        )
    if card.network and card.network not in known:
        raise CheckpointError(f"{file} says {card.network!r}, its tensors say {known[0]}; get the file again.")
    name = card.network or _closest(known, shapes)
    chosen = Fraction(card.ratio or DEFAULT_RATIO if ratio is None or card.kind != "network" else ratio)
    if chosen.denominator != 1:
        raise CheckpointError(f"The ratio is {float(chosen):g}; {name} works at whole ratios, choose one.")
    if card.ratio not in (None, chosen):
        raise CheckpointError(
            f"{file} holds weights for ratio {card.ratio}, not {chosen}; choose weights for this ratio, "
            "or fit the network to the scene."
        )
    try:
        sizes = _all_sizes(NETWORKS[name].read_sizes(shapes), card)
        module = _created(name, sizes, int(chosen), state)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RuntimeError, ModelError) as error:
        raise CheckpointError(
            f"{file} looks like {name}, but its tensors do not fit together ({error}); get the file again."
        ) from error
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{file} does not fill {name}: {reason}; get the file again.") from error
    return name, module.eval()


def _created(name: str, sizes: dict[str, int], ratio: int, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Return a network of the sizes that a file states, if it is not far larger than the file."""
    from napari_specfusion.networks.limited import AtMost

    for key, value in sizes.items():
        if not 0 <= value <= _LARGEST_SIZE:
            raise ValueError(f"{key} is {value}")
    bands, guide_bands = sizes.pop("bands"), sizes.pop("guide_bands")
    with AtMost(_SPARE_WEIGHTS + 4 * sum(value.numel() for value in state.values())):
        return create_model(name, bands, guide_bands, ratio, **sizes)


def _closest(names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the network of one architecture whose sizes match the tensors best."""
    try:
        read = NETWORKS[names[0]].read_sizes(shapes)
    except (KeyError, IndexError, TypeError, ValueError):
        return names[0]
    return max(names, key=lambda name: sum(read.get(key) == value for key, value in NETWORKS[name].sizes.items()))


def _all_sizes(read: Mapping[str, int], card: ModelCard) -> dict[str, int]:
    """Return the sizes from the tensors and, where they do not show them, from the card."""
    inputs = {"bands": card.bands if card.kind == "network" else card.directions, "guide_bands": card.guide_bands}
    if card.units == "pair":
        # the tensors show the images that it gets for a guide of so many bands, see `_check`
        del inputs["guide_bands"]
    stated = {**card.sizes, **{key: value for key, value in inputs.items() if value}}
    for key, value in stated.items():
        if read.get(key, value) != value:
            raise ValueError(f"{key} is {read[key]} in the tensors, {value} on the card")
    return {**stated, **read}


def _check(complete: ModelCard, stated: ModelCard, module: Any, numbers: Numbers) -> None:
    """Check that the numbers match the network, and the card matches both."""
    if stated.kind == "any sensor":
        from napari_specfusion.networks.planes import CHANNELS

        taken = module.bands + module.guide_bands
        if (module.bands, taken) != (1, CHANNELS):
            raise ValueError(f"the network takes {taken} images and returns {module.bands}, not {CHANNELS} and 1")
    if not numbers:
        return
    if stated.units == "pair":
        from napari_specfusion.networks.pair_units import images_beside

        wants = images_beside(complete.directions, complete.guide_bands)
        if module.guide_bands != wants or stated.guide_bands not in (0, complete.guide_bands):
            raise ValueError(
                f"the network takes {module.guide_bands} images beside the planes, {complete.directions} directions "
                f"and {complete.guide_bands} guide bands make {wants}"
            )
    basis, others = numbers["basis"], [name for name in NUMBERS if name != "basis"]
    wanted = {name: (complete.guide_bands if name.startswith("guide") else complete.directions,) for name in others}
    if basis.ndim != 2 or basis.shape[1] != complete.directions:
        raise ValueError(f"basis has the shape {basis.shape}, the network {complete.directions} directions")
    for name in others:
        if numbers[name].shape != wanted[name]:
            raise ValueError(f"{name} has the shape {numbers[name].shape}, not {wanted[name]}")
    bands, guide_bands = complete.bands, complete.guide_bands
    if {stated.bands or bands, len(stated.wavelengths) or bands, *map(len, stated.response)} != {bands}:
        raise ValueError(f"the numbers are for {bands} bands, the card is for others")
    if len(stated.response) not in (0, guide_bands):
        raise ValueError(f"the network takes {guide_bands} guide bands, the card describes {len(stated.response)}")
