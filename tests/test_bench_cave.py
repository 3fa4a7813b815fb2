from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_specfusion import bench_cave, sample_scene
from napari_specfusion.errors import ReadError
from napari_specfusion.sample_data import sample_reference


def test_methods_are_scored_blind() -> None:
    scores = list(bench_cave.bench_scene(sample_scene(64, 4), "still life", ["bicubic", "glp"]))
    assert [score.method for score in scores] == ["bicubic", "glp"]
    assert scores[1].quality.psnr > scores[0].quality.psnr + 3
    assert all(score.seconds > 0 for score in scores)


def test_the_table_has_every_scene_and_the_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = sample_reference(64).read()
    for name in ("one", "two"):
        np.save(tmp_path / f"{name}.npy", np.rint(65535 * values).astype(np.uint16))
    options = ["--data", str(tmp_path), "--ratio", "4", "--protocol", "lso", "--method", "bicubic", "glp"]
    assert bench_cave.main(options) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[3:]]
    assert rows == [[scene, method] for scene in ("one", "two", "mean") for method in ("bicubic", "glp")]


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no cube in"):
        bench_cave.main(["--data", str(tmp_path)])
