from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.widgets._map_layer import map_limits


def test_odd_pixels_do_not_stretch_the_limits() -> None:
    values = np.linspace(0, 1, 10_001)
    values[0], values[1] = 1e9, np.nan
    low, high = map_limits(values.reshape(73, 137))
    assert low == pytest.approx(0.01, abs=1e-3) and high == pytest.approx(0.99, abs=1e-3)


def test_values_of_either_sign_are_shown_around_zero() -> None:
    low, high = map_limits(np.linspace(-3, 1, 1001), both=True)
    assert low == -high and high == pytest.approx(2.96, abs=0.01)


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        (np.full(4, np.nan), (0.0, 1.0)),
        (np.full(4, 2.0), (2.0, 3.0)),
        # a few pixels that are not 0 are what the map is for
        (np.array([*[0.0] * 999, 5.0]), (0.0, 5.0)),
    ],
)
def test_limits_always_span_something(values: np.ndarray, limits: tuple[float, float]) -> None:
    assert map_limits(values) == limits
