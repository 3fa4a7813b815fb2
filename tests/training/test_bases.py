"""Results of the base that are kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.data.cube import Cube
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.training import bases as module
from napari_specfusion.training.bases import Bases

if TYPE_CHECKING:
    import pytest


def test_a_result_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = sample_scene(32, 4)
    first = Bases("glp", tmp_path / "bases").of(scene)
    assert len(list((tmp_path / "bases").iterdir())) == 1
    monkeypatch.setattr(module, "predict_whole", None)
    np.testing.assert_array_equal(Bases("glp", tmp_path / "bases").of(scene), first)


def test_another_image_or_method_is_another_result(tmp_path: Path) -> None:
    scene = sample_scene(32, 4)
    darker = scene.replace(hsi=Cube.from_array(scene.hsi.read() / 2))
    for pair, method in ((scene, "glp"), (darker, "glp"), (scene, "bicubic"), (scene.replace(psf=None), "glp")):
        Bases(method, tmp_path).of(pair)
    assert len(list(tmp_path.iterdir())) == 4


def test_nothing_is_kept_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Bases("bicubic").of(sample_scene(32, 4))
    assert not list(tmp_path.iterdir())
