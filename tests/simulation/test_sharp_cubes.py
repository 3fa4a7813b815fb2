"""A folder of sharp cubes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.simulation.sharp_cubes import open_sharp_cubes

if TYPE_CHECKING:
    from pathlib import Path


def test_references_are_reflectance_with_wavelengths(tmp_path: Path) -> None:
    stored = np.full((31, 8, 8), 32768, np.uint16)
    np.save(tmp_path / "b.npy", stored)
    np.save(tmp_path / "a.npy", stored // 2)
    (tmp_path / "notes.txt").write_text("no cube", encoding="utf-8")
    first, second = open_sharp_cubes(tmp_path, white=65536)
    assert (first.name, second.name) == ("a", "b")
    assert float(second.read().max()) == pytest.approx(0.5)
    assert first.wavelengths is not None
    assert first.wavelengths[[0, -1]].tolist() == [400, 700]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ReadError, match="no cube"):
        open_sharp_cubes(empty)
