"""Training: it learns, it can be killed at any moment, and it never begins with what it cannot use."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, ModelError, OutputError, SceneError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.networks.registry import NETWORKS
from napari_specfusion.quality.metrics import evaluate
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.training import TrainingOptions, TrainingProgress, train
from napari_specfusion.training import trainer as trainer_module
from napari_specfusion.training.bases import Bases
from napari_specfusion.training.options import FINAL_RATE, LOSSES
from napari_specfusion.weights.load import load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.weights.trained import Trained

SHORT = TrainingOptions(steps=6, batch=2, patch=8, validate_every=2, protocols=("lso",))


@pytest.fixture(scope="module")
def scenes() -> list[Cube]:
    """Cubes of 64 x 64 pixels, turned and mixed out of one."""
    reference = sample_scene(128, 4).reference
    assert reference is not None
    values = reference.read()
    parts = [values[:, y : y + 64, x : x + 64] for y in (0, 64) for x in (0, 64)]
    return [Cube.from_array(part, wavelengths=reference.wavelengths, name=f"part {n}") for n, part in enumerate(parts)]


@pytest.fixture(scope="module")
def run(scenes: list[Cube], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("training")
    return folder, train(scenes, folder, SHORT, validation=1)


def weights_of(trained: Trained) -> list[Any]:
    return [value.numpy() for value in trained.residual.module.state_dict().values()]


def assert_same(one: Trained, other: Trained) -> None:
    assert one.card == other.card
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_left_in_the_folder(run: tuple[Path, Trained]) -> None:
    folder, trained = run
    assert {path.name for path in folder.iterdir()} - {"log.png"} == {"state.pt", "log.csv", "weights.safetensors"}
    assert_same(load_weights(folder / "weights.safetensors"), trained)
    rows = list(csv.DictReader((folder / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert [int(row["step"]) for row in rows] == [2, 4, 6]
    assert all(float(row["psnr"]) > 20 for row in rows)
    kept = next(row for row in rows if int(row["step"]) == trained.card.steps)
    assert {key: float(kept[key]) for key in trained.card.scores} == dict(trained.card.scores)
    grades = {int(row["step"]): 0.75 * float(row["psnr"]) + 0.25 * float(row["small_psnr"]) for row in rows}
    assert max(grades, key=lambda step: grades[step]) == trained.card.steps


def test_the_weights_tell_what_they_were_trained_for(run: tuple[Path, Trained], scenes: list[Cube]) -> None:
    told = run[1].card
    assert told.wavelengths == tuple(scenes[0].wavelengths.tolist())  # type: ignore[union-attr]
    assert np.shape(told.response) == (3, 31)
    assert set(told.data) < {cube.name for cube in scenes}
    assert len(told.data) == 3


def test_a_plot_is_drawn(run: tuple[Path, Trained]) -> None:
    pytest.importorskip("matplotlib")
    assert (run[0] / "log.png").read_bytes().startswith(b"\x89PNG")


def test_it_learns(scenes: list[Cube], tmp_path: Path) -> None:
    options = dataclasses.replace(SHORT, steps=60, validate_every=60, base="bicubic", batch=4)
    trained = train(scenes, tmp_path, options, validation=1)
    assert trained.card.scores["psnr"] > trained.card.scores["base_psnr"] + 0.3
    scene = sample_scene(128, 4)
    assert scene.reference is not None
    learned, alone = (evaluate(scene.reference, fuse(scene, model=m), 4).psnr for m in (trained, "bicubic"))
    assert learned > alone + 0.3


@pytest.mark.parametrize("stopped_at", [2, 3, 5])
def test_one_that_was_stopped_ends_with_the_same_weights(
    run: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path, stopped_at: int
) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > stopped_at

    with pytest.raises(Cancelled, match=f"after {stopped_at} steps"):
        train(scenes, tmp_path, SHORT, validation=1, should_stop=stop)
    seen: list[TrainingProgress] = []
    again = train(scenes, tmp_path, SHORT, validation=1, progress=seen.append)
    assert seen[0].step > stopped_at
    assert_same(again, run[1])


def test_one_killed_in_the_midst_of_writing_goes_on(
    run: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save
    written = 0

    def killed(state: Any, file: Path) -> None:
        nonlocal written
        written += 1
        if written == 2:
            file.write_bytes(b"half a state")
            raise KeyboardInterrupt
        save(state, file)

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(scenes, tmp_path, SHORT, validation=1)
    monkeypatch.setattr(torch, "save", save)
    # what a killed process has no time to remove
    left = tmp_path / ".state.pt.x7w_2.partial"
    left.mkdir()
    (left / "state.pt").write_bytes(b"half a state")
    assert_same(train(scenes, tmp_path, SHORT, validation=1), run[1])
    assert not list(tmp_path.glob("*.partial"))


def test_the_state_keeps_the_keys_that_earlier_releases_wrote(run: tuple[Path, Trained]) -> None:
    state = torch.load(run[0] / "state.pt", weights_only=True)
    assert set(state) == {"step", "seconds", "network", "averaged", "optimiser", "losses", "log", "best", "facts"}
    assert set(state["best"]) == {"step", "grade", "psnr", "sam", "small_psnr", "weights"}
    options = {field.name for field in dataclasses.fields(TrainingOptions)}
    assert set(state["facts"]) == {*options, "scenes", "validation", "start"}
    assert options >= {"model", "ratio", "base", "protocols", "loss", "both_scales", "directions", "steps", "batch"}


def test_a_finished_one_is_returned_as_it_is(run: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path) -> None:
    folder = shutil.copytree(run[0], tmp_path / "copy")
    assert_same(train(scenes, folder, SHORT, validation=1), run[1])


def test_other_options_need_another_folder(run: tuple[Path, Trained], scenes: list[Cube]) -> None:
    with pytest.raises(OutputError, match=r"another steps \(6, not 7\)"):
        train(scenes, run[0], dataclasses.replace(SHORT, steps=7), validation=1)
    with pytest.raises(OutputError, match="another scenes"):
        train(scenes[:3], run[0], SHORT, validation=1)


def test_a_damaged_state_is_named(scenes: list[Cube], tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(OutputError, match=r"state\.pt is not the state of a training"):
        train(scenes, tmp_path, SHORT, validation=1)


def test_the_seed_decides(run: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path) -> None:
    assert_same(train(scenes, tmp_path / "same", SHORT, validation=1), run[1])
    other = train(scenes, tmp_path / "other", dataclasses.replace(SHORT, seed=1), validation=1)
    assert not np.array_equal(weights_of(other)[0], weights_of(run[1])[0])


def test_no_space(scenes: list[Cube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type(usage)(usage.total, usage.total - 1000, 1000))
    with pytest.raises(OutputError, match="0 MB free"):
        train(scenes, tmp_path, SHORT, validation=1)


def test_a_full_disk_leaves_the_last_state(scenes: list[Cube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, written = torch.save, 0

    def full(state: Any, file: Path) -> None:
        nonlocal written
        written += 1
        if written == 2:
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="disk filled up"):
        train(scenes, tmp_path, SHORT, validation=1)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(scenes: list[Cube], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be created"):
        train(scenes, tmp_path / "run", SHORT, validation=1)


def test_values_that_are_not_finite_are_counted(scenes: list[Cube], tmp_path: Path) -> None:
    values = scenes[1].read().copy()
    values[3, 4:6, 5] = np.nan
    bad = [scenes[0], scenes[1].replace(data=values), *scenes[2:]]
    with pytest.raises(SceneError, match="part 1 holds 2 values that are not finite"):
        train(bad, tmp_path, SHORT, validation=1)


def test_sizes_may_differ_but_bands_may_not(scenes: list[Cube], tmp_path: Path) -> None:
    small = [scenes[0], scenes[1].crop(slice(0, 40), slice(0, 56)), *scenes[2:]]
    assert train(small, tmp_path / "sizes", SHORT, validation=1).card.steps
    fewer = [scenes[0], scenes[1].select(range(12)), *scenes[2:]]
    with pytest.raises(ModelError, match=r"part 1 \(12 bands\) and part 0 \(31\) differ in bands"):
        train(fewer, tmp_path / "bands", SHORT, validation=1)
    with pytest.raises(ModelError, match=r"part 1 \(12 bands\) and part 0 \(31\) differ in bands"):
        train(fewer, tmp_path / "held out", SHORT, validation=["part 1"])
    tiny = [scenes[0].crop(slice(0, 12), slice(0, 64)), *scenes[1:]]
    with pytest.raises(SceneError, match=r"part 0 has 12 x 64 pixels"):
        train(tiny, tmp_path / "tiny", dataclasses.replace(SHORT, batch=32, patch=16), validation=["part 3"])


@pytest.mark.parametrize(
    ("validation", "message"),
    [(0, "0 of 4"), (4, "4 of 4"), (["nobody"], "nobody"), ([], "none")],
)
def test_scenes_for_validation_must_be_some(scenes: list[Cube], tmp_path: Path, validation: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        train(scenes, tmp_path, SHORT, validation=validation)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"patch": 18},
        {"directions": 0},
        {"base": "glp"},
        {"loss": "l2"},
        {"protocols": ()},
        {"rate": 0.0},
        {"batch": -1},
        {"gain": 0.5},
        {"ratios": (4, 8), "patch": 18},
        {"ratios": (1, 4)},
        {"ratios": (4, 8), "base": "bicubic"},
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        TrainingOptions(**wrong)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_relative_to_the_base(scenes: list[Cube], tmp_path: Path, loss: str) -> None:
    train(scenes, tmp_path, dataclasses.replace(SHORT, loss=loss, steps=2), validation=1)
    (row,) = csv.DictReader((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines())
    # an untrained network leaves the base: 1, and 1 or 0.1 for what is added
    expected = {"l1": 1.0, "l1+l2": 2.0, "l1+sam": 1.1, "huber": 0.4}[loss]
    assert float(row["loss"]) == pytest.approx(expected, rel=0.4)


def test_a_training_that_runs_away_is_stopped(
    scenes: list[Cube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "_score", lambda *_: (float("nan"), 0.0))
    with pytest.raises(ModelError, match="not finite after 2 steps"):
        train(scenes, tmp_path, SHORT, validation=1)


def test_the_rate_warms_up_and_falls() -> None:
    options = TrainingOptions(steps=1000)
    rates = [options.rate_at(step) for step in range(1000)]
    assert rates[0] < rates[50] < rates[99]
    assert max(rates) <= options.rate
    assert rates[-1] == pytest.approx(FINAL_RATE * options.rate, rel=0.01)


def test_weights_to_begin_with(run: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path) -> None:
    begun = dataclasses.replace(SHORT, steps=1, validate_every=1, rate=1e-9)
    again = train(scenes, tmp_path / "again", begun, validation=1, start=run[1])
    for a, b in zip(weights_of(again), weights_of(run[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    np.testing.assert_array_equal(again.residual.basis, run[1].residual.basis)
    assert again.card.steps == run[1].card.steps + 1
    eight = train(scenes, tmp_path / "eight", dataclasses.replace(begun, ratio=8), validation=1, start=run[1])
    assert eight.ratio == 8
    fewer = [cube.select(range(20)) for cube in scenes]
    with pytest.raises(ModelError, match="was trained for 31 bands"):
        train(fewer, tmp_path / "fewer", begun, validation=1, start=run[1])
    with pytest.raises(ModelError, match="not a specsolver-s"):
        other = dataclasses.replace(begun, model="specsolver-s")
        train(scenes, tmp_path / "other", other, validation=1, start=run[1])
    with pytest.raises(ModelError, match="start from are a str"):
        train(scenes, tmp_path / "file", begun, validation=1, start="weights.safetensors")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="another start"):
        train(scenes, tmp_path / "again", begun, validation=1)


@pytest.mark.parametrize("model", NETWORKS)
def test_every_network_can_be_trained(scenes: list[Cube], tmp_path: Path, model: str) -> None:
    options = dataclasses.replace(SHORT, model=model, steps=1, batch=1, both_scales=False)
    trained = train([cube.crop(slice(0, 32), slice(0, 32)) for cube in scenes], tmp_path, options, validation=1)
    assert trained.card.network == model
    assert load_weights(tmp_path / "weights.safetensors").card == trained.card


SEVERAL = dataclasses.replace(
    SHORT, ratios=(2, 4), base="subspace", patch=12, noise=(35.0, 40.0), gain=1.5, loss="huber", steps=4
)


@pytest.fixture(scope="module")
def run_of_several(scenes: list[Cube], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("several")
    return folder, train(scenes[:2], folder, SEVERAL, validation=1)


def test_one_network_for_several_ratios(run_of_several: tuple[Path, Trained], scenes: list[Cube]) -> None:
    folder, trained = run_of_several
    assert (trained.card.units, trained.ratios, trained.name) == ("pair", (2, 4), "lso-s x2 to x4")
    assert_same(load_weights(folder / "weights.safetensors"), trained)
    np.testing.assert_array_equal(trained.residual.size, np.ones(12))
    assert trained.card.scores["psnr"] == pytest.approx(trained.card.scores["base_psnr"], abs=0.5)
    for ratio in (2, 3, 4):
        fused, base = (fuse(sample_scene(48, ratio), model=model).read() for model in (trained, "subspace"))
        assert 0 < np.abs(fused - base).max() < 0.5


def test_several_ratios_stopped_end_with_the_same_weights(
    run_of_several: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path
) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(Cancelled, match="after 3 steps"):
        train(scenes[:2], tmp_path, SEVERAL, validation=1, should_stop=stop)
    assert_same(train(scenes[:2], tmp_path, SEVERAL, validation=1), run_of_several[1])


def test_weights_of_several_ratios_begin_only_their_like(
    run: tuple[Path, Trained], run_of_several: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path
) -> None:
    begun = dataclasses.replace(
        SEVERAL, ratios=(4,), noise=None, steps=1, validate_every=1, rate=1e-9, both_scales=False
    )
    again = train(scenes[:2], tmp_path / "again", begun, validation=1, start=run_of_several[1])
    assert again.ratios == (4, 4)
    for a, b in zip(weights_of(again), weights_of(run_of_several[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    with pytest.raises(ModelError, match="works in units of the training; start"):
        train(scenes[:2], tmp_path / "one", begun, validation=1, start=run[1])
    with pytest.raises(ModelError, match="works in units of the pair; start"):
        train(scenes[:2], tmp_path / "two", SHORT, validation=1, start=run_of_several[1])


def test_a_run_of_an_earlier_release_goes_on(run: tuple[Path, Trained], scenes: list[Cube], tmp_path: Path) -> None:
    folder = shutil.copytree(run[0], tmp_path / "copy")
    state = torch.load(folder / "state.pt", weights_only=True)
    del state["facts"]["ratios"]
    torch.save(state, folder / "state.pt")
    assert_same(train(scenes, folder, SHORT, validation=1), run[1])


def test_it_learns_in_units_of_the_pair(scenes: list[Cube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a base that leaves much to correct
    of = Bases.of
    monkeypatch.setattr(Bases, "of", lambda _, scene: of(Bases("bicubic"), scene))
    options = dataclasses.replace(
        SHORT, ratios=(4,), steps=60, validate_every=60, batch=4, patch=16, loss="huber", rate=3e-3, both_scales=False
    )
    trained = train(scenes, tmp_path, options, validation=1)
    assert trained.card.scores["psnr"] > trained.card.scores["base_psnr"] + 0.3
