"""The weights that come with the package, and the choice of those that fit a scene."""

from __future__ import annotations

import dataclasses
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from napari_specfusion.errors import ModelError
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.files import SUFFIX, read_card
from napari_specfusion.weights.load import load_weights
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.weights.card import ModelCard

__all__ = ["list_weights", "shipped_card", "shipped_weights", "weights_for"]

FOLDER = files("napari_specfusion") / "weights"


def list_weights() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(file.name.removesuffix(SUFFIX) for file in FOLDER.iterdir() if file.name.endswith(SUFFIX))


@cache
def shipped_weights(name: str) -> Trained | AnySensor:
    """Open weights that come with the package.

    Parameters
    ----------
    name
        One of `list_weights`.

    Raises
    ------
    ModelError
        If no weights have this name.
    """
    _check(name)
    with as_file(FOLDER / f"{name}{SUFFIX}") as path:
        weights = load_weights(path)
    assert isinstance(weights, Trained | AnySensor)
    return dataclasses.replace(weights, name=name)


@cache
def shipped_card(name: str) -> ModelCard:
    """Return the model card of weights that come with the package, without loading torch.

    Raises
    ------
    ModelError
        If no weights have this name.
    """
    _check(name)
    with as_file(FOLDER / f"{name}{SUFFIX}") as path:
        return read_card(path)


def weights_for(scene: Scene) -> list[Trained | AnySensor]:
    """Return the shipped weights that fit a scene: its bands, their wavelengths, and the ratio.

    The guide may come from another camera; it is adapted. Only weights for any sensor fit a cube without wavelengths.
    """
    known = scene.hsi.wavelengths is not None
    offered = [weights for weights in map(shipped_weights, list_weights()) if known or isinstance(weights, AnySensor)]
    return [weights for weights in offered if not weights.misfit(scene)]


def _check(name: str) -> None:
    if name not in list_weights():
        raise ModelError(f"There are no weights {name!r}; choose from {', '.join(list_weights()) or 'none at all'}.")
