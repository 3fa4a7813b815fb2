"""What `fuse(model=...)` accepts is what `list_methods` lists."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_specfusion.fusion.resolve import AUTO, as_method, list_methods
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.weights.shipped import list_weights, shipped_weights
from napari_specfusion.weights.trained import Trained


def test_all_that_fuse_accepts_is_listed() -> None:
    listed = list_methods()
    assert [info.name for info in listed] == [AUTO, *METHODS, *list_weights()]
    for info in listed:
        assert info.title and info.needs and info.summary
        if info.name != AUTO:
            assert as_method(info.name).name == info.name
            assert info.reference


@pytest.mark.parametrize("name", list_weights())
def test_trained_weights_say_what_they_need(name: str) -> None:
    (info,) = (info for info in list_methods() if info.name == name)
    weights = shipped_weights(name)
    if isinstance(weights, Trained):
        low, high = weights.ratios
        ratio = f"{low:g}" if low == high else f"{low:g}-{high:g}"
        assert info.needs == f"31 bands, 400-700 nm; x{ratio}"
    else:
        assert info.needs == "x2-16"


def test_weights_of_two_networks_are_told_by_the_larger() -> None:
    titles = {info.name: info.title for info in list_methods()}
    assert titles["lso-cave-x4"] == "LSO as released, with a second"
    assert titles["lso-cave"] == "LSO as released, trained"


def test_the_list_reads_well_in_a_console() -> None:
    lines = str(list_methods()).splitlines()
    assert len(lines) == 1 + len(list_methods())
    for line, info in zip(lines[1:], list_methods(), strict=True):
        assert line.startswith(info.name) and info.title in line and info.needs in line
        assert len(line) <= 120


def test_listing_methods_loads_neither_torch_nor_qt() -> None:
    code = "import sys, napari_specfusion as n; n.list_methods(); n.list_networks(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "qtpy", "napari"} & set(run.stdout.split())


@pytest.mark.parametrize("name", [*METHODS, *list_weights()])
def test_every_method_says_whether_it_computes_in_half_precision(name: str) -> None:
    assert as_method(name).mixed_precision is (name in list_weights())
