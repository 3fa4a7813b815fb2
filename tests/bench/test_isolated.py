"""Measuring in a process of its own: its memory is its own, and what goes wrong there is told here."""

from __future__ import annotations

import math
import sys

import pytest

from napari_specfusion.bench.isolated import peak_memory, run_apart
from napari_specfusion.errors import ModelError


def test_another_process_returns_a_dict() -> None:
    assert run_apart("builtins:dict", {"a b": "c'd"}, 1, "It", "give up") == {"a b": "c'd"}


def test_what_goes_wrong_there_is_told() -> None:
    with pytest.raises(ModelError, match=r"^It could not be measured \(TypeError: .*\); give up\.$"):
        run_apart("builtins:next", {}, 1, "It", "give up")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells it to C programs only")
def test_the_peak_is_in_gigabytes() -> None:
    assert 0.01 < peak_memory() < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_an_earlier_peak_is_forgotten() -> None:
    assert len(b"1" * (200 << 20)) == 200 << 20
    before = peak_memory()
    assert peak_memory(fresh=True) < before - 0.1


def test_the_peak_is_not_known_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(peak_memory())
