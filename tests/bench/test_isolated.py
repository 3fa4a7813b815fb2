"""Measuring in a process of its own: its memory is its own, and what goes wrong there is told here."""

from __future__ import annotations

import pytest

from napari_specfusion.bench.isolated import peak_memory, run_apart
from napari_specfusion.errors import ModelError


def test_another_process_returns_a_dict() -> None:
    assert run_apart("builtins:dict", {"a b": "c'd"}, 1, "It", "give up") == {"a b": "c'd"}


def test_what_goes_wrong_there_is_told() -> None:
    with pytest.raises(ModelError, match=r"^It could not be measured \(TypeError: .*\); give up\.$"):
        run_apart("builtins:next", {}, 1, "It", "give up")


def test_the_peak_is_in_gigabytes() -> None:
    assert 0.01 < peak_memory() < 1000
