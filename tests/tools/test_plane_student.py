"""The training of the network for any sensor: what is drawn for it, and that it learns from it."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.samples.scene import sample_scene

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """Return the modules `fresh_planes` and `plane_student`."""
    if not TOOLS.is_dir():
        pytest.skip("the tools are not part of this copy")
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("fresh_planes"), importlib.import_module("plane_student")


@pytest.fixture
def cube() -> Cube:
    """Return a painted scene as if it had been flown over."""
    reference = sample_scene(128, 4).reference
    assert reference is not None
    return reference


def test_a_piece_is_a_turned_part(tools: tuple[ModuleType, ModuleType]) -> None:
    fresh, _ = tools
    image = np.arange(2 * 50 * 40).reshape(2, 50, 40)
    for seed in range(10):
        piece = fresh.piece(np.random.default_rng(seed), image, 3, 30)
        assert piece.shape == (2, 30, 30)
        assert np.isin(piece[0], image[0]).all()
        assert np.array_equal(piece[1] - piece[0], np.full((30, 30), 2000))
    assert fresh.piece(np.random.default_rng(0), image, 16, 512).shape[0] == 2


def test_bands_keep_their_wavelengths(tools: tuple[ModuleType, ModuleType]) -> None:
    fresh, _ = tools
    waves = np.linspace(400, 1000, 80)
    cube = Cube.from_array(np.broadcast_to(waves[:, None, None], (80, 4, 4)).astype(np.float32), wavelengths=waves)
    counts = set()
    for seed in range(40):
        some = fresh.some_bands(np.random.default_rng(seed), cube)
        np.testing.assert_allclose(some.read()[:, 0, 0], some.wavelengths, rtol=1e-5)
        assert some.bands >= fresh.FEWEST_BANDS
        counts.add(some.bands)
    assert len(counts) > 5


def test_drawn_pairs_give_whole_crops(tools: tuple[ModuleType, ModuleType], cube: Cube, tmp_path: Path) -> None:
    fresh, _ = tools
    made, seed = 0, 0
    while made < 3:
        seed += 1
        rng = np.random.default_rng(seed)
        try:
            scene, name = fresh.drawn(rng, [], tmp_path, [cube])
        except SpecFusionError:
            # a camera whose bands the cube does not have
            continue
        if scene.shape[0] > 100:
            continue
        arrays = fresh.crops(rng, fresh.made(scene, name))
        count = len(arrays["weight"])
        assert arrays["images"].shape == (count, 7, fresh.CROP, fresh.CROP)
        assert arrays["facts"].shape == (count, 3)
        assert all(np.isfinite(values).all() for values in arrays.values())
        made += 1


@pytest.mark.slow
def test_steps_on_crops_lower_their_error(
    tools: tuple[ModuleType, ModuleType], cube: Cube, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fresh, student_of = tools
    scene = sample_scene(128, 4, noise=(35.0, 40.0))
    example = fresh.made(scene, "painted")
    monkeypatch.setattr(student_of, "NETWORKS", {"any": ({"width": 8, "heads": 2, "features": 8}, 12, 1e-2, 0)})
    pool = student_of.PlanePool(80, "cpu")
    for seed in range(3):
        crops = fresh.crops(np.random.default_rng(seed), example)
        pool.add({name: torch.from_numpy(values) for name, values in crops.items()})
    assert pool.count <= 80
    facts: dict[str, Any] = {"place": "in", "noisy": True}
    pairs = [{**{name: torch.from_numpy(values) for name, values in fresh.whole(example).items()}, **facts}]
    student = student_of.PlaneStudent("any", pool, "cpu")
    assert student.gains_on(pairs[0], [1.0]) == [pytest.approx(0, abs=1e-6)]
    for step in range(150):
        student.take(step / 150)
    student.validate(pairs, 1.0, tmp_path)
    (gain,) = student.gains_on(pairs[0], [1.0])
    assert gain > 0.02

    again = student_of.PlaneStudent("any", pool, "cpu")
    again.load(tmp_path)
    assert again.gains_on(pairs[0], [1.0]) == pytest.approx([gain], abs=1e-6)
