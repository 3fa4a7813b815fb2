"""The candidates of a benchmark: methods, and networks with their weights, each at its ratios."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import ModelError
from napari_specfusion.fusion.resolve import AUTO
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.registry import DEFAULT_NETWORK
from napari_specfusion.training import fitting
from napari_specfusion.training.fitting import FIT_MINUTES
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.fitted import Fitted
from napari_specfusion.weights.load import load_weights
from napari_specfusion.weights.shipped import list_weights, shipped_weights
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_specfusion.data.scene import Scene

__all__ = [
    "CROSS_FROM",
    "FITTED",
    "Contender",
    "NetworkCost",
    "contenders",
    "fitting_contenders",
    "network_cost",
    "open_model",
    "open_weights",
]

FITTED = DEFAULT_NETWORK
# weights for this ratio also run at other ratios
CROSS_FROM = 4
SMALLEST_SIDE = 64


@dataclass(frozen=True, eq=False)
class Contender:
    """One line of the table at one ratio.

    Attributes
    ----------
    name
        Name in the table.
    model
        Model for `fuse`.
    source
        A method, weights that come with the package, or a file, for `open_model` in another process.
    made_for
        Ratio that its weights were trained for; None without weights.
    minutes
        Time to fit it on each pair; None if it is not fitted.
    """

    name: str
    model: Any
    source: str
    made_for: int | None = None
    minutes: float | None = None

    def ready(self, pair: Scene) -> Any:
        """Return the model for `fuse`, fitted on `pair` if needed."""
        if self.minutes is None:
            return self.model
        return fitting.fit(pair, self.model, minutes=self.minutes)


@dataclass(frozen=True)
class NetworkCost:
    """Size of a network.

    Attributes
    ----------
    parameters
        Number of trained parameters.
    operations
        Multiply-accumulates per HR pixel, without those of the base.
    """

    parameters: int
    operations: float


def contenders(
    names: Sequence[str] | None,
    files: Sequence[str | Path],
    pairs: Mapping[int, Scene],
    *,
    cross: Sequence[int] = (),
    minutes: float = FIT_MINUTES,
) -> dict[int, list[Contender]]:
    """Return the contenders at each ratio.

    Parameters
    ----------
    names
        Methods, weights that come with the package, ``"auto"``, or ``"lso-s"``, which is fitted on each pair. None
        takes every method, and the weights that fit.
    files
        Weight files; a bare network without a ratio counts as made for 4.
    pairs
        A pair of the same sensors for each ratio, of any size.
    cross
        Ratios at which the weights made for 4 run as well.

    Raises
    ------
    ModelError
        If requested weights match none of the ratios, or not the sensors.
    CheckpointError
        If a file cannot be opened.
    """
    chosen, weights = _chosen(names), open_weights(names, files)
    table: dict[int, list[Contender]] = {ratio: [] for ratio in pairs}
    for found in table.values():
        found.extend(_by_name(chosen))
    for name, (source, model) in weights.items():
        if isinstance(model, AnySensor):
            for ratio, pair in pairs.items():
                if not model.misfit(pair):
                    table[ratio].append(Contender(name, model, source, ratio))
            continue
        wanted = [r for r in pairs if _serves(model, r) or (r in cross and _crosses(model))]
        if wanted:
            reason = _misfit(name, model, pairs[wanted[0]])
        else:
            low, high = _ratios_of(model)
            made_for = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            reason = (
                f"{name} was made for ratio {made_for}, the benchmark runs at {', '.join(map(str, pairs))}; "
                f"add --ratio {low:g}, or leave it out."
            )
        if reason and (names is not None or name not in list_weights()):
            raise ModelError(reason)
        if not reason:
            for ratio in wanted:
                made = ratio if _serves(model, ratio) else _ratio_of(model)
                table[ratio].append(Contender(name, _at(model, ratio), source, made))
    if FITTED in chosen:
        for ratio, found in table.items():
            found.append(Contender(FITTED, FITTED, "", ratio, minutes))
    return table


def open_weights(names: Sequence[str] | None, files: Sequence[str | Path]) -> dict[str, tuple[str, Any]]:
    """Return name, source and model of the weights among `names` (None takes all) and in `files`.

    Raises
    ------
    CheckpointError
        If a file cannot be opened.
    """
    weights = {name: (name, shipped_weights(name)) for name in _chosen(names) if name in list_weights()}
    return weights | {name: (str(file), load_weights(file)) for name, file in _short_names(files).items()}


def fitting_contenders(
    names: Sequence[str] | None,
    weights: Mapping[str, tuple[str, Any]],
    pair: Scene,
    *,
    minutes: float = FIT_MINUTES,
) -> list[Contender]:
    """Return the contenders for one pair; weights that do not fit it are left out.

    Parameters
    ----------
    names, minutes
        As in `contenders`.
    weights
        Those of `open_weights`.
    pair
        A pair of the same sensors, of any size.
    """
    ratio, chosen = int(pair.factor), _chosen(names)
    found = _by_name(chosen)
    for name, (source, model) in weights.items():
        if _takes(model, ratio) and not _misfit(name, model, pair):
            found.append(Contender(name, model, source, ratio))
    if FITTED in chosen:
        found.append(Contender(FITTED, FITTED, "", ratio, minutes))
    return found


def open_model(source: str, ratio: int) -> Any:
    """Return the model for `fuse` from the `source` of a contender, at `ratio`."""
    if source in METHODS or source == AUTO:
        return source
    return _at(shipped_weights(source) if source in list_weights() else load_weights(source), ratio)


@cache
def network_cost(model: Any) -> NetworkCost | None:
    """Return the size of a network, or of the network in a method with weights; None if there is no network.

    The operations are those of convolutions and matrix products, including the projections onto spectral directions.
    They are counted on a small image, which is not cut into strips with overlaps that would count twice.
    """
    if isinstance(model, AnySensor):
        return _plane_cost(model)
    module, residual = _module_of(model), getattr(model, "residual", None)
    if module is None:
        return None
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    step = lcm(16, module.ratio)
    side = -(-SMALLEST_SIDE // step) * step
    guide = torch.zeros(1, module.guide_bands, side, side)
    in_pair_units = isinstance(model, Trained) and model.card.units == "pair"
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if residual is None or in_pair_units:
            module(guide, torch.zeros(1, module.bands, side // module.ratio, side // module.ratio))
        else:
            residual.on(guide, torch.zeros(1, len(residual.basis), side, side))
    operations = counter.get_total_flops() / 2 / side**2
    if residual is not None and in_pair_units:
        # its inputs need a scene: to the directions and back, and their regression on the guide
        bands, directions = residual.basis.shape
        operations += directions * (2 * bands + len(residual.guide_centre))
    own = NetworkCost(sum(values.numel() for values in module.parameters()), operations)
    partner = network_cost(model.partner) if isinstance(model, Trained) and model.partner is not None else None
    if partner is None:
        return own
    return NetworkCost(own.parameters + partner.parameters, own.operations + partner.operations)


def _plane_cost(model: AnySensor) -> NetworkCost:
    """Return the size of a network for any sensor, which runs once for each plane."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from napari_specfusion.networks.planes import CHANNELS, MOST_PLANES, expected

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected(model.module, torch.zeros(1, CHANNELS, SMALLEST_SIDE, SMALLEST_SIDE))
    parameters = sum(values.numel() for values in model.module.parameters())
    return NetworkCost(parameters, MOST_PLANES * counter.get_total_flops() / 2 / SMALLEST_SIDE**2)


def _chosen(names: Sequence[str] | None) -> list[str]:
    return [*METHODS, *list_weights()] if names is None else list(dict.fromkeys(names))


def _by_name(names: Sequence[str]) -> list[Contender]:
    """Return the contenders among `names` that `fuse` knows by their name alone."""
    return [Contender(name, name, name) for name in names if name in METHODS or name == AUTO]


def _module_of(model: Any) -> Any:
    """Return the network of a method with weights, or a network as it is; None for anything else."""
    if isinstance(model, str):
        return None
    if isinstance(model, Trained | Fitted):
        return None if model.residual is None else model.residual.module
    return model


def _takes(model: Any, ratio: int) -> bool:
    """Whether weights were trained for a ratio; those for any sensor say so themselves, see `_misfit`."""
    return isinstance(model, AnySensor) or _serves(model, ratio)


def _ratios_of(model: Any) -> tuple[float, float]:
    """Return the lowest and the highest ratio that weights were trained for."""
    if isinstance(model, Trained):
        return model.ratios
    return float(_ratio_of(model)), float(_ratio_of(model))


def _serves(model: Any, ratio: int) -> bool:
    low, high = _ratios_of(model)
    return low <= ratio <= high


def _ratio_of(model: Any) -> int:
    return int(_module_of(model).ratio)


def _crosses(model: Any) -> bool:
    """Whether weights may run at another ratio; those fitted on one scene or trained for several may not."""
    return _ratios_of(model) == (CROSS_FROM, CROSS_FROM) and not isinstance(model, Fitted)


def _at(model: Any, ratio: int) -> Any:
    if isinstance(model, AnySensor | Fitted) or _ratio_of(model) == ratio:
        return model
    if isinstance(model, Trained):
        return model.at(ratio)
    module = copy.copy(model)
    module.ratio = ratio
    return module


def _misfit(name: str, model: Any, pair: Scene) -> str:
    """Return why weights do not fit the sensors of a pair, apart from its ratio; an empty string if they do."""
    if isinstance(model, AnySensor):
        return model.misfit(pair)
    if isinstance(model, Trained):
        return model.at(int(pair.factor)).misfit(pair)
    wants = (
        (len(model.residual.basis), len(model.residual.guide_centre))
        if isinstance(model, Fitted) and model.residual is not None
        else (model.bands, model.guide_bands)
    )
    has = (pair.hsi.bands, pair.guide.bands)
    if wants == has:
        return ""
    return (
        f"{name} takes cubes of {wants[0]} bands with a guide of {wants[1]}, the scenes have {has[0]} and {has[1]}; "
        "leave it out, or give other scenes."
    )


def _short_names(files: Sequence[str | Path]) -> dict[str, Path]:
    """Name files by as many of their last parts as make the names unique."""
    paths = list(dict.fromkeys(Path(file).absolute() for file in files))
    taken = {*METHODS, *list_weights(), FITTED}
    names: list[str] = []
    for parts in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = ["/".join((*path.parts[-parts:-1], path.name.removesuffix(path.suffix))) for path in paths]
        if len(set(names)) == len(names) and not taken & set(names):
            break
    return dict(zip(names, paths, strict=True))
