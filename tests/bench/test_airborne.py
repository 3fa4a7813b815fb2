"""The benchmark on cubes of many sensors: every pair is scored, and what does not fit is told."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_specfusion.__main__ import main as command
from napari_specfusion.bench.airborne import bench_airborne
from napari_specfusion.bench.airborne_table import AirborneScore
from napari_specfusion.errors import CheckpointError, ModelError, OutputError, ReadError, SceneError
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.trained import Trained

LIST = """
["far.npy"]
sensor = "Far"
wavelengths = [1000, 2500]
["*.npy"]
sensor = "Near"
wavelengths = [400, 1000]
"""


@pytest.fixture
def cubes(tmp_path: Path) -> Path:
    """Return a folder with two cubes of one sensor, and one of another, which a colour camera does not see."""
    values = sample_reference(48).read()
    folder = tmp_path / "cubes"
    folder.mkdir()
    for name, shown in (("one", values), ("two", values[:, ::-1]), ("far", values[::2])):
        np.save(folder / f"{name}.npy", np.rint(4000 * shown).astype(np.uint16))
    (folder / "cubes.toml").write_text(LIST, encoding="utf-8")
    return folder


def weights(path: Path, ratio: int = 4, bands: int = 31, data: tuple[str, ...] = ()) -> Path:
    torch.manual_seed(0)
    numbers = [np.full(n, 0.1) for n in (6, 6, 3, 3, 6)]
    residual = Residual(create_model("lso-s", 6, 3, ratio), np.eye(bands, 6), *numbers)
    Trained(residual, ModelCard(network="lso-s", base="bicubic", data=data), "x").save(path)
    return path


def test_the_command_writes_every_pair(cubes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ["--data", str(cubes), "--out", str(out), "--ratio", "2", "4", "--method", "bicubic", "subspace"]
    assert command(["bench", "airborne", *options, "--guide", "rgb", "rgbn", "--noise", "off", "30/35"]) == 0
    shown = capsys.readouterr().out
    assert "left out: far at x2 with the guide rgb: Guide band red covers none" in shown
    assert "x4, guide rgbn, noise 30 and 35 dB, blind" in shown
    assert str(out / "table.md") in shown
    with (out / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    keys = ("ratio", "guide", "noise", "scene", "sensor", "method", "protocol")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        (ratio, guide, noise, scene, "Near", method, "gaussian")
        for ratio in "24"
        for guide in ("rgb", "rgbn")
        for noise in ("", "30 and 35")
        for scene in ("one", "two")
        for method in ("bicubic", "subspace")
    ]
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "## x2, guide rgb, no noise" in text
    assert "- far at x2 with the guide rgb: " in text


def test_every_method_runs_better_than_the_enlarged_cube(cubes: Path, tmp_path: Path) -> None:
    done = bench_airborne(cubes, tmp_path / "out", ratios=[4], guides=["rgb"], noises=[None])
    psnr = {(score.scene, score.method): score.psnr for score in done.scores}
    assert {method for _, method in psnr} == {*METHODS, "lso-any"}
    assert all(score.seconds and not score.failure for score in done.scores)
    for scene in ("one", "two"):
        assert (psnr[scene, "subspace"] or 0) > (psnr[scene, "bicubic"] or 0) + 3


def test_weights_run_where_they_fit_and_tell_what_they_know(cubes: Path, tmp_path: Path) -> None:
    (cubes / "cubes.toml").write_text(LIST.replace("[1000, 2500]", "[400, 800]"), encoding="utf-8")
    files = [
        weights(tmp_path / "stranger.safetensors"),
        weights(tmp_path / "scene.safetensors", data=("two",)),
        weights(tmp_path / "sensor.safetensors", data=("something of near",)),
        weights(tmp_path / "half.safetensors", ratio=2),
    ]
    done = bench_airborne(
        cubes, tmp_path / "out", ratios=[2, 4], guides=["rgb"], noises=[None], methods=["bicubic"], weights=files
    )
    scores = [score for score in done.scores if isinstance(score, AirborneScore) and score.made_for]
    assert {(s.method, s.ratio, s.sensor, s.trained_on_sensor) for s in scores} == {
        ("stranger", 4, "Near", False),
        ("scene", 4, "Near", True),
        ("sensor", 4, "Near", True),
        ("half", 2, "Near", False),
    }
    assert r"sensor \*" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


def test_bad_input_is_named_before_the_time_is_spent(cubes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ReadError, match="holds no cube"):
        bench_airborne(tmp_path / "nothing", out)
    with pytest.raises(SceneError, match=r"No cube can be used\. .* less than one LR pixel"):
        bench_airborne(cubes, out, ratios=[64])
    with pytest.raises(ModelError, match="many fits none of the cubes"):
        bench_airborne(cubes, out, weights=[weights(tmp_path / "many.safetensors", bands=40)])
    with pytest.raises(CheckpointError, match="no weight file"):
        bench_airborne(cubes, out, weights=[tmp_path / "missing.safetensors"])
    assert not out.exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give another folder"):
        bench_airborne(cubes, tmp_path / "file")
    assert command(["bench", "airborne", "--data", str(cubes), "--noise", "loud"]) == 2
