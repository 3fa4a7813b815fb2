"""Choosing a method: the trial one scale down, what outweighs what, and what happens where nothing can be tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, ModelError, OutputError
from napari_specfusion.fusion import auto as module
from napari_specfusion.fusion.auto import ANY_MARGIN, LEARNED_MARGIN, MARGIN, Choice, choose
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io import open_cube
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.quality.metrics import Quality, evaluate
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate
from napari_specfusion.simulation.reduced import reduced
from napari_specfusion.tiling.tiles import Footprint
from napari_specfusion.weights.shipped import shipped_weights, weights_for
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.scene import Scene
    from napari_specfusion.progress import Progress
    from napari_specfusion.tiling.tiles import Tile


@dataclass
class Oracle:
    """Knows the answer at any scale but for an error of a given size."""

    error: float
    name: str = "oracle"
    refuses: bool = False

    def prepare(self, calibrated: CalibratedScene, **_: Any) -> Oracle:
        if self.refuses:
            raise ModelError("not for this sensor")
        scene = calibrated.stated
        assert scene.reference is not None
        self.truth, self.bands, self.footprint = scene.reference.read(), scene.hsi.bands, Footprint(0)
        return self

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        noise = np.random.default_rng(0).standard_normal(self.truth.shape)
        return torch.from_numpy((self.truth + self.error * noise)[:, *tile.read.slices]).to(guide)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(256)


@pytest.fixture(scope="module")
def choice(scene: Scene) -> Choice:
    return choose(scene, METHODS.values())


def quality(psnr: float, sam: float = 1.0) -> Quality:
    bands = {"psnr": np.array([psnr - 1, psnr + 1, np.nan])}
    return Quality(psnr, sam, 1.0, 0.01, 0.9, 0.9, 0.9, 0.9, bands, None, "nm", 4.0, 1.0, 1.0)


def test_every_method_is_tried_and_the_best_one_chosen(scene: Scene, choice: Choice) -> None:
    assert list(choice.scores) == list(METHODS)
    assert choice.method is METHODS["detail"]
    assert choice.scores["detail"].psnr == max(q.psnr for q in choice.scores.values())
    assert not choice.left_out
    assert choice.reason.startswith("detail was chosen in a trial at reduced resolution, on 64 x 64 pixels: ")
    assert all(name in choice.reason for name in METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_tried_is_what_fuse_makes_of_the_small_scene(scene: Scene, choice: Choice, name: str) -> None:
    small = reduced(CalibratedScene(scene))
    fused = fuse(small, model=name, device="cpu")
    peak = float(small.reference.read().max())
    expected = evaluate(small.reference, fused, 4, data_range=peak, clip=False, border=4)
    assert choice.scores[name].psnr == pytest.approx(expected.psnr, abs=1e-6)
    assert choice.scores[name].sam == pytest.approx(expected.sam, abs=1e-6)


def test_the_reference_is_not_looked_at(scene: Scene, choice: Choice) -> None:
    blind = choose(scene.replace(reference=None), METHODS.values())
    assert blind.reason == choice.reason


def test_a_learned_method_must_not_be_worse(scene: Scene, choice: Choice) -> None:
    peak = choice.scores["detail"].data_range
    for gain, wanted in ((2.0, "oracle"), (LEARNED_MARGIN / 2, "oracle"), (-1.0, "detail")):
        error = peak * 10 ** (-(choice.scores["detail"].psnr + gain) / 20)
        found = choose(scene, [*METHODS.values(), Oracle(error)])
        assert found.method.name == wanted
        assert "oracle" in found.reason


JUST, NOT_QUITE = 0.01, -0.01


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        # what has been right stays unless another method is clearly better
        ({"glp": quality(40 + MARGIN + NOT_QUITE), "detail": quality(40.0)}, "detail"),
        ({"glp": quality(40 + MARGIN + JUST), "detail": quality(40.0)}, "glp"),
        ({"glp": quality(40.1 + MARGIN), "subspace": quality(40.2 + MARGIN), "detail": quality(40.0)}, "subspace"),
        # a clearly smaller angle counts, too, and against a gain in PSNR
        ({"glp": quality(39 + MARGIN, 1.0), "detail": quality(40.0, 1.3)}, "glp"),
        ({"glp": quality(40.0, 1.0), "detail": quality(42.0, 1.3)}, "detail"),
        # weights for the sensor need not be better
        ({"net": quality(40 + LEARNED_MARGIN + JUST), "detail": quality(40.0)}, "net"),
        ({"net": quality(40 + LEARNED_MARGIN + NOT_QUITE), "detail": quality(40.0)}, "detail"),
        ({"net": quality(40.2), "other": quality(40.3), "detail": quality(40.0)}, "other"),
        ({"glp": quality(40.3), "detail": quality(40.0), "net": quality(40.1)}, "net"),
        # a constant band that is met exactly says nothing
        ({"detail": quality(np.inf), "subspace": quality(np.inf, 0.4)}, "subspace"),
        # what cannot be tried is no measure
        ({"bicubic": quality(30.0), "glp": quality(40.0)}, "glp"),
    ],
)
def test_what_outweighs_what(scores: dict[str, Quality], best: str) -> None:
    assert module._best(scores) == best


@pytest.mark.parametrize(
    ("own", "any_sensor", "best"),
    [
        # weights for the sensor stay before those for any, unless they are worse than `detail`
        (LEARNED_MARGIN + JUST, 0.5, "own"),
        (LEARNED_MARGIN + NOT_QUITE, 0.5, "any"),
        # which may lag behind more
        (LEARNED_MARGIN + NOT_QUITE, ANY_MARGIN + JUST, "any"),
        (LEARNED_MARGIN + NOT_QUITE, ANY_MARGIN + NOT_QUITE, "detail"),
    ],
)
def test_weights_for_any_sensor_are_the_second_choice(own: float, any_sensor: float, best: str) -> None:
    scores = {"detail": quality(40.0), "any": quality(40 + any_sensor), "own": quality(40 + own)}
    assert module._best(scores, {"any"}) == best


def test_weights_that_do_not_know_the_scene_are_not_taken() -> None:
    """The painted sample has CAVE's bands, but other spectra: weights for CAVE lose 2 dB on it."""
    assert choose(sample_scene(256)).method is shipped_weights("lso-any")


def test_a_candidate_that_does_not_fit_is_left_out(scene: Scene) -> None:
    found = choose(scene, [METHODS["glp"], Oracle(0.0, "mine", refuses=True)])
    assert found.method is METHODS["glp"]
    assert found.left_out == {"mine": "not for this sensor"}
    assert found.reason.endswith("Left out: mine.")
    nothing = choose(scene, [Oracle(0.0, refuses=True)])
    assert nothing.method is METHODS["detail"]
    assert "no method could be tried" in nothing.reason


@pytest.mark.parametrize(("size", "words"), [(48, "too small to degrade by 4 once more"), (64, "is unreliable")])
def test_a_small_cube_gets_the_default_untried(size: int, words: str) -> None:
    found = choose(sample_scene(size), METHODS.values())
    assert found.method is METHODS["detail"]
    assert not found.scores
    assert words in found.reason


@pytest.mark.parametrize("size", [48, 64])
@pytest.mark.parametrize("known", [True, False], ids=["CAVE's bands", "bands unknown"])
def test_a_small_cube_gets_weights_that_fit_it_untried(size: int, known: bool) -> None:
    scene = sample_scene(size)
    if not known:
        scene = scene.replace(hsi=scene.hsi.replace(wavelengths=None))
    found = choose(scene)
    assert found.method is shipped_weights("lso-any")
    assert found.reason.startswith("lso-any was chosen untried.")
    huge = sample_scene(128, 32)
    assert choose(huge).method is METHODS["detail"], "no weights are for x32"


def test_a_large_cube_is_tried_in_its_middle(scene: Scene) -> None:
    assert "on 32 x 32 pixels" in choose(scene, METHODS.values(), side=35).reason


def test_gaps_and_negative_values_do_not_count(scene: Scene, choice: Choice) -> None:
    hsi, guide = scene.hsi.read() - 0.2, scene.guide.read()
    hsi[:, 20, 20] = np.nan
    hsi[7] = np.nan
    guide[0, 100, 100] = np.nan
    found = choose(scene.replace(hsi=Cube.from_array(hsi), guide=Cube.from_array(guide)), METHODS.values())
    assert found.method.name == choice.method.name
    assert not found.left_out
    assert all(0.8 < score.coverage < 1 for score in found.scores.values())


# --- in a fusion ----------------------------------------------------------------------------


@pytest.fixture
def automatic(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list of methods that stand for the shipped weights."""
    weights: list[Any] = []
    monkeypatch.setattr("napari_specfusion.weights.shipped.weights_for", lambda scene: list(weights))
    return weights


def test_fuse_takes_what_is_chosen_and_says_so(scene: Scene, choice: Choice, automatic: list[Any]) -> None:
    events: list[FusionProgress] = []
    fused = fuse(scene, model="auto", device="cpu", progress=events.append)
    np.testing.assert_array_equal(fused.read(), fuse(scene, model="detail", device="cpu").read())
    first, *others = (event for event in events if event.step is None)
    assert first.message == choice.reason
    assert not any(event.message for event in others)
    assert fused.metadata["method"] == "detail"
    assert fused.metadata["choice"] == choice.reason
    assert fused.name.endswith("(detail)")


def test_shipped_weights_take_part(scene: Scene, automatic: list[Any]) -> None:
    automatic.append(Oracle(1e-4, "trained"))
    fused = fuse(scene, model="auto", device="cpu")
    assert fused.metadata["method"] == "trained"


def test_weights_for_the_sensor_come_before_those_for_any() -> None:
    own, other = module._weights(sample_scene(60, 6))
    assert isinstance(own, Trained)
    assert other.name == "lso-any"
    scene = sample_scene(64, 4)
    unknown = scene.replace(hsi=scene.hsi.replace(wavelengths=None))
    assert [weights.name for weights in module._weights(unknown)] == ["lso-any"]


@pytest.mark.parametrize("ratio", [4, 6])
def test_of_the_weights_for_a_sensor_the_most_promising_take_part(ratio: int) -> None:
    scene = sample_scene(96, ratio)
    best, _ = module._weights(scene)
    assert isinstance(best, Trained)
    others = [weights for weights in weights_for(scene) if isinstance(weights, Trained) and weights is not best]
    assert others
    for other in others:
        alone = {weights.name: weights.ratios[0] == weights.ratios[1] for weights in (best, other)}
        assert alone[best.name] >= alone[other.name]
        if alone[best.name] == alone[other.name]:
            gains = [w.card.scores["psnr"] - w.card.scores["base_psnr"] for w in (best, other)]
            assert gains[0] > gains[1]


def test_a_result_on_disk_remembers_the_choice_and_is_continued_by_it_alone(
    tmp_path: Path, scene: Scene, automatic: list[Any]
) -> None:
    out, seen = tmp_path / "r.zarr", []

    def stop() -> bool:
        return bool(seen) and seen[-1] >= 1

    job: dict[str, Any] = {"model": "auto", "tile": 96, "device": "cpu", "out": out}
    with pytest.raises(Cancelled):
        fuse(scene, **job, progress=lambda event: seen.append(event.done), should_stop=stop)
    assert ResultStore.open(out).cube().metadata["method"] == "detail"
    # weights that turn up in between change the choice, and the job with it
    automatic.append(Oracle(1e-4, "trained"))
    with pytest.raises(OutputError, match="holds another job"):
        fuse(scene, **job)
    automatic.clear()
    fuse(scene, **job)
    stored = open_cube(out)
    assert stored.metadata["method"] == "detail"
    assert stored.metadata["choice"].startswith("detail was chosen")
    np.testing.assert_array_equal(stored.read(), fuse(scene, model="detail", tile=96, device="cpu").read())


def test_a_choice_is_a_model(scene: Scene, choice: Choice) -> None:
    fused = fuse(scene, model=choice, device="cpu")
    assert (fused.metadata["method"], fused.metadata["choice"]) == ("detail", choice.reason)


def test_a_trial_tells_how_far_it_is_and_can_be_stopped(scene: Scene, automatic: list[Any], tmp_path: Path) -> None:
    told: list[Progress] = []

    def tried() -> list[Progress]:
        return [event for event in told if event.message.startswith("Trying")]

    choose(scene, progress=told.append)
    assert [event.message for event in tried()] == [f"Trying {name}" for name in METHODS]
    assert [event.done for event in tried()] == list(range(len(METHODS))) and tried()[0].total == len(METHODS)
    # the calibration before is told as well
    assert told[0] not in tried()
    told.clear()
    with pytest.raises(Cancelled, match="trial of methods was stopped"):
        choose(scene, progress=told.append, should_stop=lambda: len(tried()) > 2)
    assert len(tried()) == 3
    with pytest.raises(Cancelled):
        fuse(scene, model="auto", out=tmp_path / "r.zarr", should_stop=lambda: True)
    assert not (tmp_path / "r.zarr").exists()


def test_half_precision_needs_a_network(scene: Scene, automatic: list[Any]) -> None:
    with pytest.raises(ModelError, match="leave it at float32 for detail"):
        fuse(scene, model="auto", precision="bfloat16", device="cpu")


def test_auto_without_a_scene_is_explained() -> None:
    with pytest.raises(ModelError, match=r"fuse\(\.\.\., model='auto'\)"):
        as_method("auto")
    with pytest.raises(ModelError, match=r"choose one of auto, bicubic, gsa, glp, subspace, detail, lso-any, lso-cave"):
        as_method("best")


def test_on_a_pair_whose_guide_tells_nothing_it_is_no_worse_than_the_default() -> None:
    truth = sample_scene(256).reference
    pair = simulate(truth, 4, protocol=Psf(1.8))
    noise = np.random.default_rng(0).random(pair.guide.shape, dtype=np.float32)
    found = choose(pair.replace(guide=Cube.from_array(noise), srf=None), METHODS.values())
    assert found.scores[found.method.name].psnr >= found.scores["detail"].psnr - 0.01


def test_scores_are_of_the_cubes_own_values(scene: Scene, choice: Choice) -> None:
    bright = scene.replace(hsi=replace(scene.hsi, scale=1e4))
    found = choose(bright, METHODS.values())
    assert found.scores["glp"].psnr == pytest.approx(choice.scores["glp"].psnr, abs=0.05)
    assert found.scores["glp"].rmse == pytest.approx(1e4 * choice.scores["glp"].rmse, rel=0.02)
