"""The benchmark on sharp cubes: every method is scored blind, and the table lands in a folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_specfusion import sample_scene
from napari_specfusion.__main__ import main as command
from napari_specfusion.bench import cave
from napari_specfusion.bench.candidates import Contender
from napari_specfusion.errors import ModelError, OutputError, ReadError, SceneError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.trained import Trained

BICUBIC = Contender("bicubic", "bicubic", "bicubic")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    values = sample_reference(64).read()
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name, shown in (("one", values), ("two", values[:, ::-1])):
        np.save(folder / f"{name}.npy", np.rint(65535 * shown).astype(np.uint16))
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    numbers = [np.full(n, 0.1) for n in (6, 6, 3, 3, 6)]
    residual = Residual(create_model("lso-s", 6, 3, 4), np.eye(31, 6), *numbers)
    path = tmp_path / "tiny.safetensors"
    Trained(residual, ModelCard(network="lso-s", base="bicubic"), "x").save(path)
    return path


def test_memory_is_measured_in_another_process() -> None:
    growth = [cave.bench_memory(sample_scene(size, 4), BICUBIC) for size in (32, 256)]
    assert 0 <= growth[0] < growth[1] < 1
    with pytest.raises(ModelError, match="another fit"):
        cave.bench_memory(sample_scene(32, 4), Contender("lso-s", "lso-s", "", minutes=1.0))


def test_the_table_has_every_scene_and_the_means(
    scenes: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    options = ["--data", str(scenes), "--out", str(out), "--weights", str(weights), "--no-memory", "--protocol", "lso"]
    assert command(["bench", "cave", *options, "--ratio", "4", "--cross", "8", "--method", "bicubic", "glp"]) == 0
    shown = capsys.readouterr().out
    assert "| glp |" in shown
    assert str(out / "table.md") in shown
    assert "## x8, protocol lso" in (out / "table.md").read_text(encoding="utf-8")
    with (out / "table.csv").open(newline="", encoding="utf-8") as file:
        found = [(row["ratio"], row["scene"], row["method"], row["made_for"]) for row in csv.DictReader(file)]
    names = (("bicubic", ""), ("glp", ""), ("tiny", "4"))
    assert found == [(ratio, scene, *name) for ratio in "48" for scene in ("one", "two") for name in names]


def test_memory_stands_in_every_row(scenes: Path, tmp_path: Path) -> None:
    done = cave.bench_cave(scenes, tmp_path / "out", ratios=[4], methods=["bicubic"])
    assert not any(score.failure for score in done.scores)
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as file:
        memory = [row["memory"] for row in csv.DictReader(file)]
    assert len(memory) == 4
    assert len(set(memory)) == 1
    assert float(memory[0]) >= 0


def test_without_matplotlib_the_picture_is_left_out_in_words(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    options = ["--data", str(scenes), "--out", str(tmp_path / "out"), "--ratio", "4", "--method", "bicubic"]
    assert command(["bench", "cave", *options, "--no-memory", "--protocol", "lso"]) == 0
    assert 'matplotlib: pip install "napari-specfusion[plot]"' in capsys.readouterr().out


def test_bad_input_is_named_before_the_time_is_spent(scenes: Path, weights: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "out"
    with pytest.raises(ReadError, match="holds no cube"):
        cave.bench_cave(empty, out)
    with pytest.raises(ModelError, match="tiny was made for ratio 4, the benchmark runs at 8"):
        cave.bench_cave(scenes, out, ratios=[8], weights=[weights])
    with pytest.raises(SceneError, match="64 x 64 pixels, less than one at x128"):
        cave.bench_cave(scenes, out, ratios=[128])
    assert not out.exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give another folder"):
        cave.bench_cave(scenes, tmp_path / "file")
    assert command(["bench", "cave", "--data", str(scenes), "--ratio", "1"]) == 2
