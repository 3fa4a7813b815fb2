"""How long the window is blocked."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QThread

from napari_specfusion.widgets import _window_bench as module
from napari_specfusion.widgets._window_bench import bench_window

if TYPE_CHECKING:
    from pathlib import Path


def test_a_blocked_window_is_told(qtbot: Any) -> None:
    heart = module._Heart()
    heart.start()
    module._spin(0.2)
    alive = heart.longest()
    QThread.msleep(400)
    assert heart.longest() >= 0.4
    module._spin(0.05)
    assert heart.longest() >= 0.4
    heart.start()
    assert heart.longest() < 0.4
    assert alive < 0.4
    heart.stop()


@pytest.mark.slow
def test_every_action_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any) -> None:
    monkeypatch.setattr(module, "SETTLE", 0.2)
    monkeypatch.setattr(module, "STEPS", 3)
    rows = bench_window(tmp_path / "out", gigabytes=0.004, folder=tmp_path)
    looks = ["open", "after opening", "slide, 3 bands", "hover, 3 points"]
    caches = ["cold", "warm"] if hasattr(os, "posix_fadvise") else ["warm"]
    for cache in caches:
        assert [row.action for row in rows if (row.window, row.cache) == ("napari", cache)] == looks
        plugin = [row.action for row in rows if (row.window, row.cache) == ("plugin", cache)]
        assert plugin == ["open", "open Spectra", *looks[1:], "calibrate", "run to the first tiles", "cancel"]
    assert all(0 < row.gap < 60 for row in rows)
    stored = json.loads((tmp_path / "out" / "viewer.json").read_text(encoding="utf-8"))
    assert len(stored["rows"]) == len(rows)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
