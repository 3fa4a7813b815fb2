from __future__ import annotations

import numpy as np
from napari.layers import Image

from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._probe import spot_at


def layer(values: np.ndarray, **fields: object) -> Image:
    data, keywords, _ = Cube.from_array(values, name="c", **fields).layer_data()
    return Image(data, **keywords)


VALUES = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)


def test_a_spot_is_the_pixel_under_a_point_of_the_world() -> None:
    low = layer(VALUES, wavelengths=[400, 500, 600])
    low.scale, low.translate = (1, 4, 4), (0, 1.5, 1.5)
    spot = spot_at(low, (9.4, 5.6))
    assert spot is not None and spot == spot_at(low, (9.6, 5.4)) != spot_at(low, (9.4, 5.6), "pin 1")
    curve = spot.read()
    assert curve.pixel == (2, 1) and curve.spectrum.unit == "nm" and curve.spectrum.name == "c (2, 1)"
    assert curve.spectrum.values.tolist() == VALUES[:, 2, 1].tolist()
    assert spot_at(low, (-1.0, 0.0)) is None


def test_a_place_names_the_spectrum() -> None:
    spot = spot_at(layer(VALUES), (0, 0), "pin 1", "#ff0000")
    assert spot is not None
    curve = spot.read()
    assert (curve.cube, curve.place, curve.colour, curve.spectrum.name) == ("c", "pin 1", "#ff0000", "c pin 1")


def test_bad_bands_are_gaps() -> None:
    spot = spot_at(layer(VALUES, good_bands=[True, False, True]), (0, 0))
    assert spot is not None
    curve = spot.read()
    assert curve.spectrum.unit == "band"
    assert np.isnan(curve.spectrum.values).tolist() == [False, True, False]
