from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import napari_specfusion as sf
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.errors import Cancelled, ModelError, SceneError
from napari_specfusion.fusion.previewing import PREVIEW_MEASURES, Preview, preview
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.registry import create_model
from napari_specfusion.quality.table import format_rows
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.weights.shipped import weights_for

QUICK = ("bicubic", "gsa", "subspace")


@pytest.fixture(scope="module")
def pair() -> CalibratedScene:
    return CalibratedScene(sample_scene(128, 4))


@dataclass(frozen=True)
class Broken:
    name: str = "broken"
    mixed_precision: bool = False

    def prepare(self, calibrated: CalibratedScene, **keywords: Any) -> Any:
        raise RuntimeError("a bolt is loose")


def test_a_tile_is_that_part_of_the_whole_result(pair: CalibratedScene) -> None:
    # far enough from the corner for a tile that is smaller than the image
    tiles = preview(pair, at=(40, 90), size=50, methods=[*QUICK, "detail"], trial=False)
    assert [tile.method for tile in tiles] == [*QUICK, "detail"]
    for tile in tiles:
        assert (tile.rows, tile.columns) == ((16, 68), (64, 116))
        assert tile.cube is not None and not tile.error and tile.seconds > 0
        whole = sf.fuse(pair, model=tile.method)
        assert np.allclose(tile.cube.read(), whole.read(slice(*tile.rows), slice(*tile.columns)), atol=1e-5)
        assert tile.cube.wavelengths is not None and whole.wavelengths is not None
        assert np.array_equal(tile.cube.wavelengths, whole.wavelengths)


@pytest.mark.parametrize("network", ["lso", "specsolver"])
def test_a_tile_of_a_network_is_that_part_too(pair: CalibratedScene, network: str, small: Any) -> None:
    model = create_model(network, bands=31, guide_bands=3, ratio=4, **small(network))
    (tile,) = preview(pair, at=(100, 20), size=40, methods=[model], trial=False)
    assert tile.cube is not None
    whole = sf.fuse(pair, model=model).read(slice(*tile.rows), slice(*tile.columns))
    assert np.allclose(tile.cube.read(), whole, atol=1e-4)


def test_methods_are_scored_by_cube_guide_and_trial(pair: CalibratedScene) -> None:
    tiles = {tile.method: tile for tile in preview(pair, size=64, methods=QUICK)}
    assert tiles["bicubic"].cube_residual > tiles["gsa"].cube_residual > tiles["subspace"].cube_residual
    assert tiles["bicubic"].guide_residual > 10 * tiles["subspace"].guide_residual
    for tile in tiles.values():
        assert tile.reduced is not None and tile.reduced_psnr == tile.reduced.psnr and not tile.note
    assert tiles["subspace"].reduced_psnr == pytest.approx(sf.evaluate_reduced(pair, "subspace").psnr)
    text = format_rows(tiles, PREVIEW_MEASURES)
    assert "subspace" in text and "Guide error" in text


def test_the_tile_of_the_whole_image_is_judged_as_the_result_is(pair: CalibratedScene) -> None:
    (tile,) = preview(pair, size=10**400, methods=["gsa"], trial=False)
    assert (tile.rows, tile.columns) == ((0, 128), (0, 128))
    assert tile.judgement is not None
    whole = sf.judge(pair, sf.fuse(pair, model="gsa"), trial=False)
    assert tile.judgement.cube_residual == pytest.approx(whole.cube_residual, rel=1e-4)
    assert tile.judgement.guide_residual == pytest.approx(whole.guide_residual, rel=1e-4)


@pytest.mark.parametrize(
    ("at", "rows", "columns"),
    [((0, 0), (0, 32), (0, 32)), ((127, 127), (96, 128), (96, 128)), (None, (48, 80), (48, 80))],
)
def test_a_tile_at_an_edge_is_moved_inside(pair: CalibratedScene, at: Any, rows: Any, columns: Any) -> None:
    (tile,) = preview(pair, at=at, size=32, methods=["bicubic"], trial=False)
    assert (tile.rows, tile.columns) == (rows, columns)


def test_a_guide_that_is_cut_off_and_a_fractional_ratio_have_tiles_too() -> None:
    scene = sample_scene(128, 4)
    cut = scene.replace(guide=scene.guide.crop(slice(0, 126), slice(0, 127)), reference=None)
    (tile,) = preview(cut, at=(125, 126), size=32, methods=["gsa"], trial=False)
    assert tile.rows[1] == 126 and tile.columns[1] == 127
    assert tile.cube is not None
    assert np.allclose(tile.cube.read(), sf.fuse(cut, model="gsa").read(slice(*tile.rows), slice(*tile.columns)))
    sharp = scene.reference
    assert sharp is not None
    odd = sf.simulate(sharp.crop(slice(0, 120), slice(0, 120)), Fraction(5, 2), protocol=sf.Psf(1.2), srf="rgb")
    (tile,) = preview(odd, at=(60, 70), size=31, methods=["gsa"], trial=False)
    assert tile.rows[0] % 5 == tile.columns[0] % 5 == 0 and tile.judgement is not None
    assert tile.cube is not None
    assert np.allclose(
        tile.cube.read(), sf.fuse(odd, model="gsa").read(slice(*tile.rows), slice(*tile.columns)), atol=1e-5
    )


def test_missing_pixels_stay_missing() -> None:
    scene = sample_scene(128, 4)
    values = scene.hsi.read().copy()
    values[:, 12:14, 12:15] = np.nan
    (tile,) = preview(
        scene.replace(hsi=sf.as_cube(values, wavelengths=scene.hsi.wavelengths)),
        at=(52, 52),
        size=40,
        methods=["subspace"],
        trial=False,
    )
    assert tile.cube is not None
    missing = np.isnan(tile.cube.read()[0])
    assert missing.sum() == 8 * 12 and tile.judgement is not None


def test_a_method_that_fails_is_told_in_words_and_the_next_is_tried(pair: CalibratedScene) -> None:
    seen: list[Preview] = []
    tiles = preview(pair, size=32, methods=[Broken(), "bicubic"], trial=False, found=seen.append)
    assert tiles[0].error == "a bolt is loose" and tiles[0].cube is None
    assert math.isnan(tiles[0].cube_residual) and math.isnan(tiles[0].reduced_psnr)
    assert not tiles[1].error and tuple(seen) == tiles


def test_a_pair_too_small_for_a_trial_says_so() -> None:
    (tile,) = preview(sample_scene(64, 4), size=32, methods=["gsa"])
    assert tile.reduced is None and "unreliable" in tile.note and tile.judgement is not None


def test_all_that_fits_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = sample_scene(64, 4)
    names = [*METHODS, *(weights.name for weights in weights_for(scene))]
    assert "lso-any" in names
    monkeypatch.setattr(
        "napari_specfusion.fusion.previewing._TileOf.preview",
        lambda self, method, trial, note: Preview(method.name, None, (0, 1), (0, 1)),
    )
    assert [tile.method for tile in preview(scene, trial=False)] == names


def test_it_calibrates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_specfusion.calibration.estimate import Match

    scene = sample_scene(128, 4).replace(psf=None, shift=None, srf=None)
    count, real = [0], Match.of

    def counted(*args: Any, **keywords: Any) -> Any:
        count[0] += 1
        return real(*args, **keywords)

    monkeypatch.setattr(Match, "of", counted)
    preview(scene, size=32, methods=QUICK)
    assert count == [1]


def test_it_tells_which_method_and_stops(pair: CalibratedScene) -> None:
    told: list[str] = []
    with pytest.raises(Cancelled):
        preview(
            pair,
            size=32,
            methods=QUICK,
            progress=lambda step: told.append(step.message),
            should_stop=lambda: "Previewing gsa" in told,
        )
    assert told[-2:] == ["Previewing bicubic", "Previewing gsa"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"at": (300, 3)}, SceneError, "at is 300 along y"),
        ({"at": 3}, SceneError, "at has shape"),
        ({"size": 0}, SceneError, "size is 0"),
        ({"methods": "detail"}, ModelError, "give a list"),
        ({"methods": []}, ModelError, "no methods"),
        ({"methods": ["auto"]}, ModelError, "needs a scene"),
        ({"trial": 1}, SceneError, "trial is 1"),
    ],
)
def test_wrong_arguments_are_told(pair: CalibratedScene, arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        preview(pair, **arguments)
