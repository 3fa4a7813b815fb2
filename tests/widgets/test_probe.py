from __future__ import annotations

import numpy as np
from napari.layers import Image

from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._probe import probe


def layer(values: np.ndarray, **fields: object) -> Image:
    data, keywords, _ = Cube.from_array(values, name="c", **fields).layer_data()
    return Image(data, **keywords)


VALUES = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)


def test_a_probe_reads_the_pixel_under_a_point_of_the_world() -> None:
    low = layer(VALUES, wavelengths=[400, 500, 600])
    low.scale, low.translate = (1, 4, 4), (0, 1.5, 1.5)
    curve = probe(low, (9.4, 5.6))
    assert curve is not None and curve.pixel == (2, 1) and curve.spectrum.unit == "nm"
    assert curve.spectrum.values.tolist() == VALUES[:, 2, 1].tolist()
    assert probe(low, (-1.0, 0.0)) is None


def test_bad_bands_are_gaps() -> None:
    curve = probe(layer(VALUES, good_bands=[True, False, True]), (0, 0))
    assert curve is not None and curve.spectrum.unit == "band"
    assert np.isnan(curve.spectrum.values).tolist() == [False, True, False]
