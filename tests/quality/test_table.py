from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np

from napari_specfusion.quality.table import Measure, best_of, format_rows, plain_values

MEASURES = (Measure("up", "Up", "dB", "higher", 1), Measure("down", "Down", "", "lower", 2))


def result(up: float, down: float) -> SimpleNamespace:
    bands = {"up": np.array([up, math.nan, math.inf])}
    return SimpleNamespace(up=up, down=down, bands=bands, wavelengths=None, spectral_unit="nm", coverage=1.0)


def test_the_best_follows_the_direction() -> None:
    up, down = MEASURES
    assert best_of(up, [1.0, 3.0, math.nan]) == 3
    assert best_of(down, [1.0, 3.0, math.nan]) == 1
    # one alone is not the best of anything
    assert best_of(up, [1.0, math.nan]) is None


def test_a_star_marks_the_best_and_a_dash_what_is_not_known() -> None:
    lines = format_rows({"one": result(1, 2), "two": result(3, math.nan)}, MEASURES).splitlines()
    assert [line.split() for line in lines] == [
        ["method", "Up", "[dB]", "Down"],
        [lines[1]],
        ["one", "1.0", "2.00"],
        ["two", "3.0*", "-"],
    ]


def test_plain_values_are_json() -> None:
    text = json.dumps(plain_values(result(3, math.nan), MEASURES), allow_nan=False)
    assert json.loads(text) == {
        "up": 3.0,
        "down": None,
        "bands": {"up": [3.0, None, None]},
        "wavelengths": None,
        "spectral_unit": "nm",
        "coverage": 1.0,
    }
