"""Trained networks: what goes with their weights, which scenes they take, and that they correct their base."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import torch

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CheckpointError, ModelError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.networks.pair_units import PAIR_RATIO, images_beside
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.networks.residual import Residual
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import complete_card, read_card, write_weights
from napari_specfusion.weights.load import load_weights
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

BANDS = 31


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(128, 4)


def made(scene: Scene, model: str = "lso-s", base: str = "subspace", p: int = 6) -> Trained:
    torch.manual_seed(0)
    assert scene.hsi.wavelengths is not None
    assert scene.srf is not None
    card = ModelCard(
        kind="trained",
        network=model,
        base=base,
        wavelengths=tuple(scene.hsi.wavelengths.tolist()),
        response=tuple(map(tuple, scene.srf.matrix.tolist())),
        protocols=("lso",),
        data=("one", "two"),
        steps=7,
        scores={"psnr": 50.5},
    )
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((BANDS, p)))[0]
    residual = Residual(
        create_model(model, p, 3, 4).eval(),
        basis,
        centre=np.full(p, 0.1),
        spread=np.full(p, 0.5),
        guide_centre=np.full(3, 0.2),
        guide_spread=np.full(3, 0.3),
        size=np.full(p, 0.01),
    )
    return Trained(residual, complete_card(card, residual.module, residual.numbers), "made")


@pytest.fixture(scope="module")
def trained(scene: Scene) -> Trained:
    return made(scene)


@pytest.fixture(scope="module")
def paired(trained: Trained) -> Trained:
    """Weights in units of the pair, for ratios 4 to 8."""
    torch.manual_seed(1)
    p = len(trained.residual.size)
    network = create_model("lso-s", p, images_beside(p, 3), PAIR_RATIO, width=8, heads=2, features=8).eval()
    residual = dataclasses.replace(trained.residual, module=network, size=np.ones(p))
    card = dataclasses.replace(trained.card, units="pair", ratios=(4.0, 8.0))
    return Trained(residual, complete_card(card, network, residual.numbers), "paired")


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("base", ["subspace", "bicubic"])
def test_a_network_that_adds_nothing_leaves_the_base(scene: Scene, model: str, base: str) -> None:
    method = made(scene, model, base)
    last = [m for m in method.residual.module.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)][-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    fused, alone = (fuse(scene, model=m, tile=None).read() for m in (method, base))
    np.testing.assert_allclose(fused, alone, atol=1e-6)


def test_the_correction_is_counted_in_its_size(scene: Scene, trained: Trained) -> None:
    base = fuse(scene, model="subspace", tile=None).read()
    once = fuse(scene, model=trained, tile=None).read() - base
    doubled = dataclasses.replace(trained.residual, size=2 * trained.residual.size)
    twice = fuse(scene, model=dataclasses.replace(trained, residual=doubled), tile=None).read() - base
    assert np.abs(once).max() > 1e-4
    np.testing.assert_allclose(twice, 2 * once, atol=1e-6)


def test_tiles_agree_with_the_whole_image(scene: Scene, trained: Trained) -> None:
    whole = fuse(scene, model=trained, tile=None, precision="float64").read()
    tiled = fuse(scene, model=trained, tile=32, precision="float64").read()
    np.testing.assert_allclose(tiled, whole, atol=1e-10, rtol=0)


def test_values_of_another_unit_are_brought_to_the_trained_range(scene: Scene, trained: Trained) -> None:
    seen: list[float] = []

    class Spy(torch.nn.Module):
        bands, guide_bands, ratio = 6, 3, 4
        footprint = trained.residual.module.footprint

        def forward(self, guide: torch.Tensor, hsi: torch.Tensor, grid: Any, base: torch.Tensor) -> torch.Tensor:
            seen.append(max(float(guide.abs().max()), float(base.abs().max())))
            return base + 1

    spy = dataclasses.replace(trained, residual=dataclasses.replace(trained.residual, module=Spy()))
    bright = scene.replace(
        hsi=scene.hsi.replace(data=scene.hsi.data * 10000), guide=scene.guide.replace(data=scene.guide.data * 10000)
    )
    added = fuse(bright, model=spy, tile=None).read() - fuse(bright, model="subspace", tile=None).read()
    assert max(seen) < 20
    level = float(np.quantile(bright.hsi.read(), 0.999))
    expected = trained.residual.basis.sum(axis=1) * 0.01 * level
    np.testing.assert_allclose(np.abs(added).max(axis=(1, 2)), np.abs(expected), rtol=0.1)


def test_saved_and_loaded(scene: Scene, trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "made.safetensors"
    trained.save(path)
    loaded = load_weights(path)
    assert loaded.name == "made"
    assert loaded.card == trained.card
    np.testing.assert_array_equal(fuse(scene, model=loaded).read(), fuse(scene, model=trained).read())


def test_other_bands_wavelengths_and_ratios_are_refused_in_words(scene: Scene, trained: Trained) -> None:
    assert scene.hsi.wavelengths is not None
    fewer = scene.replace(hsi=scene.hsi.select(range(20)), srf=None, reference=None)
    with pytest.raises(ModelError, match=r"20 bands.*trained for 31"):
        trained.prepare(CalibratedScene(fewer))
    shifted = scene.replace(hsi=scene.hsi.replace(wavelengths=scene.hsi.wavelengths + 30))
    with pytest.raises(ModelError, match=r"Band \d+ of the cube lies at \d+ nm"):
        trained.prepare(CalibratedScene(shifted))
    near = scene.replace(hsi=scene.hsi.replace(wavelengths=scene.hsi.wavelengths + 3))
    assert not trained.misfit(near)
    with pytest.raises(ModelError, match=r"ratio is 8.*trained for 4"):
        trained.prepare(CalibratedScene(sample_scene(128, 8)))
    untold = scene.replace(hsi=scene.hsi.replace(wavelengths=None))
    assert not trained.misfit(untold)


@pytest.mark.parametrize("model", ["lso-s", "specsolver-s"])
def test_weights_are_used_at_another_ratio_where_that_is_asked_for(scene: Scene, model: str) -> None:
    weights = made(scene, model)
    coarser = weights.at(8)
    assert (weights.ratio, coarser.ratio, coarser.name) == (4, 8, "made at x8")
    assert coarser.at(8) is coarser
    pair = sample_scene(128, 8)
    whole, base = (fuse(pair, model=m, tile=None).read() for m in (coarser, "subspace"))
    assert 1e-4 < np.abs(whole - base).max() < 1
    if model == "lso-s":
        np.testing.assert_allclose(fuse(pair, model=coarser, tile=64).read(), whole, atol=1e-5)
    with pytest.raises(ModelError, match="ratio is 64"):
        weights.at(64)


def test_another_guide_is_adapted_or_refused(trained: Trained) -> None:
    pan = sample_scene(128, 4, guide="pan")
    assert fuse(pan, model=trained).shape == (BANDS, 128, 128)
    with pytest.raises(ModelError, match="guide has 1 bands"):
        dataclasses.replace(trained, adapt=False).prepare(CalibratedScene(pan))


def test_the_guide_of_the_trained_camera_is_left_alone_and_another_one_is_brought_to_it(
    scene: Scene, trained: Trained
) -> None:
    assert trained.prepare(CalibratedScene(scene)).adapter is None
    mixed = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.0, 0.9]])
    values = np.tensordot(mixed, scene.guide.read(), axes=1).astype(np.float32)
    other = scene.replace(guide=Cube.from_array(values), srf=None)
    predictor = trained.prepare(CalibratedScene(other))
    assert predictor.adapter is not None
    np.testing.assert_allclose(predictor.adapter.matrix @ mixed, np.eye(3), atol=0.02)
    same, seen = (fuse(s, model=trained).read() for s in (scene, other))
    base, moved = (fuse(s, model="subspace").read() for s in (scene, other))
    np.testing.assert_allclose(seen - moved, same - base, atol=0.1 * np.abs(same - base).max())


@pytest.mark.parametrize("ratio", [4, 8])
@pytest.mark.parametrize("guide", ["rgb", "pan"])
def test_units_of_the_pair_in_tiles_agree_with_the_whole_image(paired: Trained, ratio: int, guide: str) -> None:
    pair = sample_scene(128, ratio, guide=guide)
    whole, tiled = (fuse(pair, model=paired, tile=tile, precision="float64").read() for tile in (None, 32))
    assert 1e-4 < np.abs(whole - fuse(pair, model="subspace").read()).max() < 1
    np.testing.assert_allclose(tiled, whole, atol=1e-10, rtol=0)


def test_units_of_the_pair_do_not_change_with_those_of_the_values(scene: Scene, paired: Trained) -> None:
    bright = scene.replace(
        hsi=scene.hsi.replace(data=scene.hsi.data * 10000), guide=scene.guide.replace(data=scene.guide.data * 10000)
    )
    one, other = (
        fuse(s, model=paired, tile=None).read() - fuse(s, model="subspace", tile=None).read() for s in (scene, bright)
    )
    level = float(np.quantile(bright.hsi.read(), 0.999))
    assert level > 1000
    # plain values are divided by their own bright level here, and left alone there
    assert 0.2 < np.abs(other).max() / 10000 / np.abs(one).max() < 5


def test_units_of_the_pair_and_half_precision(scene: Scene, paired: Trained) -> None:
    single, half, base = (
        fuse(scene, model=model, precision=precision).read()
        for model, precision in ((paired, "float32"), (paired, "bfloat16"), ("subspace", "float32"))
    )
    assert np.sqrt(np.mean((half - single) ** 2)) < 0.1 * np.sqrt(np.mean((single - base) ** 2))


def test_missing_pixels_go_through_the_base(scene: Scene, paired: Trained) -> None:
    values = scene.hsi.read().copy()
    values[:, 4, 5] = np.nan
    holed = scene.replace(hsi=scene.hsi.replace(data=da.from_array(values)))
    fused, base = (fuse(holed, model=model).read() for model in (paired, "subspace"))
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(base))
    assert np.nanmax(np.abs(fused - base)) < 1


def test_units_of_the_pair_saved_and_loaded(scene: Scene, paired: Trained, tmp_path: Path) -> None:
    path = tmp_path / "paired.safetensors"
    paired.save(path)
    loaded = load_weights(path)
    assert isinstance(loaded, Trained)
    assert loaded.card == paired.card
    assert read_card(path) == paired.card
    assert (loaded.card.units, loaded.ratios, loaded.card.ratio, loaded.card.guide_bands) == ("pair", (4, 8), None, 3)
    np.testing.assert_array_equal(fuse(scene, model=loaded).read(), fuse(scene, model=paired).read())


def test_units_of_the_pair_serve_a_range_of_ratios(paired: Trained) -> None:
    assert "ratio 4 to 8" in repr(paired)
    assert not any(paired.misfit(sample_scene(96, ratio)) for ratio in (4, 6, 8))
    with pytest.raises(ModelError, match="ratio is 3, paired was trained for 4 to 8"):
        paired.prepare(CalibratedScene(sample_scene(96, 3)))
    assert paired.at(6) is paired
    wider = paired.at(3)
    assert (wider.name, wider.ratios) == ("paired at x3", (3, 8))
    assert fuse(sample_scene(96, 3), model=wider).shape == (BANDS, 96, 96)


@pytest.fixture(scope="module")
def both(trained: Trained, paired: Trained) -> Trained:
    """Weights whose partner works in units of the pair; each correction counts 0.6."""
    card = dataclasses.replace(trained.card, strength=0.6, partner="paired")
    return dataclasses.replace(trained, card=card, name="both", partner=paired)


def test_the_corrections_of_partners_add_up(scene: Scene, trained: Trained, paired: Trained, both: Trained) -> None:
    base, one, other, together = (fuse(scene, model=m).read() for m in ("subspace", trained, paired, both))
    assert min(np.abs(x - base).max() for x in (one, other)) > 1e-3
    np.testing.assert_allclose(together, base + 0.6 * (one - base) + 0.6 * (other - base), atol=2e-6)


def test_partners_in_tiles_agree_with_the_whole_image(both: Trained) -> None:
    scene = sample_scene(256, 4)
    whole, tiled = (fuse(scene, model=both, tile=tile).read() for tile in (None, 64))
    np.testing.assert_allclose(tiled, whole, atol=1e-4 * np.ptp(whole))


def test_partners_are_saved_and_loaded_side_by_side(scene: Scene, both: Trained, tmp_path: Path) -> None:
    both.save(tmp_path / "both.safetensors")
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["both", "paired"]
    loaded = load_weights(tmp_path / "both.safetensors")
    assert loaded.card == both.card
    assert loaded.partner is not None and loaded.partner.card == both.partner.card
    np.testing.assert_array_equal(fuse(scene, model=loaded).read(), fuse(scene, model=both).read())
    (tmp_path / "paired.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no weight file .*paired"):
        load_weights(tmp_path / "both.safetensors")


def test_a_partner_on_another_base_or_with_a_partner_is_refused(both: Trained, paired: Trained, tmp_path: Path) -> None:
    both.save(tmp_path / "both.safetensors")
    for change in ({"base": "bicubic"}, {"partner": "both"}):
        card = dataclasses.replace(paired.card, **change)
        write_weights(tmp_path / "paired.safetensors", paired.residual.module, card, paired.residual.numbers)
        with pytest.raises(CheckpointError, match="no partner for both"):
            load_weights(tmp_path / "both.safetensors")


def test_partners_go_to_another_ratio_together(both: Trained) -> None:
    moved = both.at(6)
    assert moved.partner is not None
    assert (moved.ratio, moved.partner.ratios) == (6, (4, 8))
    narrow = dataclasses.replace(both.partner, card=dataclasses.replace(both.partner.card, ratios=(6.0, 8.0)))
    with pytest.raises(ModelError, match="paired was trained for 6 to 8"):
        dataclasses.replace(both, partner=narrow).prepare(CalibratedScene(sample_scene(96, 4)))


@pytest.mark.parametrize("name", ["../other", "a/b", "C:\\x", ".hidden"])
def test_a_partner_is_a_plain_name(name: str, both: Trained, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    card = dataclasses.replace(both.card, partner=name)
    write_weights(path, both.residual.module, card, both.residual.numbers)
    with pytest.raises(CheckpointError, match="no plain name"):
        load_weights(path)


def test_a_range_of_ratios_needs_units_of_the_pair(trained: Trained) -> None:
    ranged = dataclasses.replace(trained, card=dataclasses.replace(trained.card, ratios=(2.0, 16.0)))
    assert ranged.ratios == (4, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratios": None}, "range of ratios"),
        ({"kind": "fitted"}, "trained network"),
        ({"units": "metres"}, "units is 'metres'"),
        ({"units": "training"}, "contradicts itself|fit together"),
    ],
)
def test_files_that_contradict_their_units_are_refused(
    paired: Trained, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "odd.safetensors"
    card = dataclasses.replace(paired.card, **change)
    write_weights(path, paired.residual.module, card, paired.residual.numbers)
    with pytest.raises(CheckpointError, match=message):
        load_weights(path)


def test_a_network_of_other_images_is_refused(paired: Trained, tmp_path: Path) -> None:
    numbers = {**paired.residual.numbers, "guide_centre": np.zeros(4), "guide_spread": np.ones(4)}
    card = dataclasses.replace(paired.card, response=())
    write_weights(tmp_path / "odd.safetensors", paired.residual.module, card, numbers)
    with pytest.raises(CheckpointError, match="6 directions and 4 guide bands make 27"):
        load_weights(tmp_path / "odd.safetensors")
