"""When two fusions are the same job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.fusion.resume_key import job_key
from napari_specfusion.networks.lso import LSO
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf

if TYPE_CHECKING:
    from collections.abc import Callable


def scene(seed: int = 0, **fields: Any) -> Scene:
    rng = np.random.default_rng(seed)
    return Scene(Cube.from_array(rng.random((4, 20, 20))), Cube.from_array(rng.random((3, 40, 40))), 2, **fields)


def method(seed: int = 0) -> NetworkMethod:
    torch.manual_seed(seed)
    return NetworkMethod(LSO(4, 3, 2, width=8, heads=2, tokens=2, basis=3, patch=2, features=8, blocks=1))


def test_the_same_job_has_the_same_key() -> None:
    fields: dict[str, Any] = {"psf": Psf(2.0), "srf": Srf(np.ones((3, 4)))}
    assert job_key(scene(**fields), method(), ("float32", None)) == job_key(
        scene(**fields), method(), ("float32", None)
    )


@pytest.mark.parametrize(
    "other",
    [
        lambda: (scene(), method(1), (64,)),
        lambda: (scene(), NetworkMethod(method().module, "other"), (64,)),
        lambda: (scene(), method(), (32,)),
        lambda: (scene(psf=Psf(2.0)), method(), (64,)),
        lambda: (scene(shift=(0.5, 0.0)), method(), (64,)),
        lambda: (scene(srf=Srf(np.ones((3, 4)))), method(), (64,)),
    ],
    ids=["weights", "name", "settings", "psf", "shift", "srf"],
)
def test_another_job_has_another_key(other: Callable[[], tuple[Any, ...]]) -> None:
    assert job_key(*other()) != job_key(scene(), method(), (64,))


def test_the_inputs_are_known_by_their_numbers_not_by_their_objects() -> None:
    first = scene()
    again = first.replace(hsi=Cube.from_array(first.hsi.read(), name="again"))
    assert job_key(first, method(), ()) == job_key(again, method(), ())
