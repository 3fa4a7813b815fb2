from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Image

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import OutputError
from napari_specfusion.widgets._probe import probe, table, write_csv

if TYPE_CHECKING:
    from pathlib import Path


def layer(values: np.ndarray, **fields: object) -> Image:
    data, keywords, _ = Cube.from_array(values, name="c", **fields).layer_data()
    return Image(data, **keywords)


VALUES = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)


def test_a_probe_reads_the_pixel_under_a_point_of_the_world() -> None:
    low = layer(VALUES, wavelengths=[400, 500, 600])
    low.scale, low.translate = (1, 4, 4), (0, 1.5, 1.5)
    curve = probe(low, (9.4, 5.6))
    assert curve is not None and curve.pixel == (2, 1) and curve.unit == "nm"
    assert curve.values.tolist() == VALUES[:, 2, 1].tolist()
    assert probe(low, (-1.0, 0.0)) is None


def test_bad_bands_are_gaps() -> None:
    curve = probe(layer(VALUES, good_bands=[True, False, True]), (0, 0))
    assert curve is not None and curve.unit == "band"
    assert np.isnan(curve.values).tolist() == [False, True, False]


def test_a_table_holds_cubes_of_different_bands(tmp_path: Path) -> None:
    curves = [
        probe(layer(VALUES, wavelengths=[400, 500, 600]), (1, 1)),
        probe(layer(VALUES[:2], wavelengths=[400, 550]), (1, 1)),
    ]
    rows = table([c for c in curves if c is not None])
    assert rows[0] == ["nm", "c (1, 1)", "c (1, 1)"]
    assert rows[1:] == [["400", "6", "6"], ["500", "26", ""], ["550", "", "26"], ["600", "46", ""]]
    write_csv(tmp_path / "out.csv", [c for c in curves if c is not None])
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[2] == "500,26,"
    with pytest.raises(OutputError, match="does not exist; make it first"):
        write_csv(tmp_path / "nowhere" / "out.csv", [])
