"""Fusing on a device: every tensor lies where it must, whatever the method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_specfusion.fusion.engine import fuse
from napari_specfusion.methods.guide_adapter import Adapted
from napari_specfusion.methods.projected import Projected
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.weights.shipped import list_weights


def models() -> dict[str, Any]:
    small = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "slices": 4, "features": 8, "blocks": 1, "window": 64}

    def made(name: str) -> NetworkMethod:
        torch.manual_seed(0)
        sizes = {key: value for key, value in small.items() if key in NETWORKS[name].sizes}
        return NetworkMethod(create_model(name, 31, 3, 4, **sizes).eval())

    return {
        **{name: lambda _, name=name: name for name in (*METHODS, *list_weights())},
        **{f"network {name}": lambda _, name=name: made(name) for name in NETWORKS},
        "projected": lambda _: Projected(METHODS["bicubic"]),
        "adapted": lambda scene: Adapted(METHODS["glp"], scene.srf),
    }


@pytest.mark.parametrize("model", models())
def test_every_tensor_lies_where_it_must(simulated: Any, model: str) -> None:
    made, scene = models()[model], sample_scene(128, 8 if model.endswith("x8") else 4)
    here = fuse(scene, model=made(scene), tile=64, device="cpu").read()
    with simulated.SimulatedDevice() as device:
        there = fuse(scene, model=made(scene), tile=64, device=simulated.NAME).read()
    # what the device computes at once, the processor computes strip by strip
    assert np.abs(here - there).max() < 2e-5 * np.abs(here).max()
    # two images a tile, and the numbers that a method brings
    assert device.copies["upload"] >= 2 * 4
    # the results, and of detail what was learned
    assert 4 <= device.copies["download"] <= 11
    # no tile waits for a number; one says that the device works
    assert device.copies["read"] <= 4
