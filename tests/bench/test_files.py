"""The benchmark of the readers runs and measures something."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from napari_specfusion.bench.files import INTERLEAVES, bench_files, bench_open, rows

if TYPE_CHECKING:
    from pathlib import Path


def test_rows() -> None:
    found = rows(bands=4, side=20)
    assert [row["interleave"] for row in found] == ["bsq", "bil", "bip"]
    assert all(row["open_s"] > 0 and row["spectrum_ms"] > 0 for row in found)


def test_opening_every_format(tmp_path: Path) -> None:
    found = bench_open(4, 20, tmp_path)
    assert {"npy", "npz", "tif", "zarr"} <= set(found)
    assert all(seconds > 0 for seconds in found.values())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("interleave", INTERLEAVES)
def test_reading_and_converting(interleave: str, tmp_path: Path) -> None:
    found = bench_files(interleave, 4, 20, tmp_path, repeats=1)
    assert found.pop("interleave") == interleave
    assert all(value > 0 or math.isnan(value) for value in found.values())
    assert found["speed"] == pytest.approx(found["copy_s"] / found["convert_s"])
