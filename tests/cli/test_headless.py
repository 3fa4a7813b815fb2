from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_specfusion import open_cube
from napari_specfusion.cli import headless
from napari_specfusion.errors import OutputError
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.weights.shipped import list_weights

if TYPE_CHECKING:
    from pathlib import Path


def test_the_headless_demo_makes_table_picture_and_cube(tmp_path: Path) -> None:
    report = io.StringIO()
    result = headless.run_headless(tmp_path / "out", size=192, minutes=0.05, stream=report)

    names = list(result.qualities)
    fitting = {name for name in list_weights() if not name.endswith("-x8")}
    assert set(names) == {*METHODS, *fitting, "lso-s fitted"}
    assert names[-1] == "lso-s fitted"
    assert f"{names[-2]} was chosen" in report.getvalue()
    assert all(name in report.getvalue() for name in result.qualities)
    assert result.qualities["subspace"].psnr > result.qualities["bicubic"].psnr + 3
    assert result.table.read_text(encoding="utf-8").rstrip() in report.getvalue()
    assert result.picture is not None
    with Image.open(result.picture) as picture:
        assert picture.size[0] > 1000
        assert np.asarray(picture).std() > 20
    stored = open_cube(result.cube)
    assert stored.shape == (31, 192, 192)
    assert stored.wavelengths is not None
    assert np.array_equal(stored.read(), result.fused.read())


def test_a_folder_that_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="another with --out"):
        headless.run_headless(file, size=64)


def test_a_scene_too_small_to_learn_from_does_without_the_network(tmp_path: Path) -> None:
    report = io.StringIO()
    result = headless.run_headless(tmp_path, size=64, stream=report)
    assert list(result.qualities)[-1] == "lso-any", "what auto takes untried"
    assert "lso-s is left out" in report.getvalue()


def test_without_matplotlib_the_demo_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    report = io.StringIO()
    result = headless.run_headless(tmp_path, size=64, stream=report)
    assert result.picture is None
    assert 'pip install "napari-specfusion[plot]"' in report.getvalue()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fused.zarr", "quality.txt"]
