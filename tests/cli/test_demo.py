from __future__ import annotations

import os
import sys

import pytest

from napari_specfusion.cli import demo


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="there is a display always")
def test_the_demo_goes_to_napari_only_where_there_is_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not demo._has_window()
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert not demo._has_window()
