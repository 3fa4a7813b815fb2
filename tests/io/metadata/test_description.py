"""What a cube says survives as plain data, of this version and of older ones."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_specfusion.data.cube import Cube
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io import open_cube
from napari_specfusion.io.metadata.description import from_attributes, own_entry, restored, to_attributes

VALUES = np.zeros((3, 4, 5), np.float32)
# as versions before this one wrote them: a fused result, and a saved cube
RESULT: dict[str, Any] = {
    "wavelengths": [400.0, 500.0, 600.0],
    "spectral_unit": "nm",
    "fwhm": [10.0, None, 12.0],
    "good_bands": [True, False, True],
    "name": "scene (subspace)",
    "affine": [2.0, 0.0, 500000.0, 0.0, -2.0, 4100000.0],
    "crs": "EPSG:32633",
    "pixel_size": [2.0, 2.0],
    "nodata": None,
    "scale": 1.0,
    "offset": 0.0,
    "metadata": {"method": "subspace", "choice": "it was best one scale down"},
}
SAVED: dict[str, Any] = {
    "wavelengths": None,
    "fwhm": None,
    "good_bands": None,
    "nodata": "nan",
    "affine": None,
    "crs": None,
    "pixel_size": None,
    "scale": [0.5, 1.0, 2.0],
    "offset": 0.25,
    "metadata": {"band_names": ["a", "b", "c"], "header": {"sensor type": "x"}},
    "spectral_unit": "cm-1",
    "name": "Düne 1",
}
FULL = Cube.from_array(
    VALUES,
    wavelengths=[400.0, 1500 / 3.1, 600.0],
    fwhm=[10.0, np.nan, np.inf],
    good_bands=[True, False, True],
    nodata=np.nan,
    scale=np.array([0.5, 1.0, 2.0]),
    offset=0.25,
    affine=(2.0, 0.0, 5e5, 0.0, -2.0, 4.1e6),
    pixel_size=(2.0, 2.0),
    crs="EPSG:32633",
    name="Düne 1",
    metadata={"sensor": "x", "gain": 2, "times": (1.0, 2.0), "more": {"a": [1, 2]}},
)


def assert_same(found: Cube, wanted: Cube) -> None:
    for key, value in wanted.describe().items():
        if key == "metadata":
            assert dict(found.metadata) == dict(value)
        else:
            np.testing.assert_array_equal(getattr(found, key), value, err_msg=key)


def test_every_field_of_a_cube_is_stored_but_the_pixels() -> None:
    attributes, notes = to_attributes(FULL.describe())
    assert set(attributes) == {field.name for field in fields(Cube)} - {"data", "source"}
    assert notes == []


@pytest.mark.parametrize("cube", [FULL, Cube.from_array(VALUES)], ids=["full", "plain"])
def test_there_and_back_through_json(cube: Cube) -> None:
    text = json.dumps(to_attributes(cube.describe())[0], allow_nan=False)
    assert_same(Cube.from_array(VALUES, **from_attributes(json.loads(text))), cube)


@pytest.mark.parametrize("cube", [FULL, Cube.from_array(VALUES)], ids=["full", "plain"])
def test_there_and_back_through_the_own_entry(cube: Cube) -> None:
    entry, notes = own_entry(cube)
    assert entry.isascii() and notes == []
    assert_same(restored(Cube.from_array(VALUES, metadata={"specfusion": entry})), cube)


def test_the_own_entry_says_only_what_the_format_does_not() -> None:
    told = json.loads(own_entry(FULL, {"wavelengths", "metadata", "name"})[0])
    assert set(told) == set(to_attributes({})[0]) - {"wavelengths", "metadata", "name"}
    assert json.loads(own_entry(Cube.from_array(VALUES))[0]) == {"spectral_unit": "nm", "name": "cube"}


def test_results_of_older_versions_open(tmp_path: Path) -> None:
    path = tmp_path / "old.zarr"
    ResultStore.create(path, VALUES.shape, core=(4, 5), tiles=1, fields={"name": "new"})
    zarr.open_group(path).attrs["specfusion"] = RESULT
    wanted = Cube.from_array(
        VALUES,
        **RESULT | {"fwhm": [10, np.nan, 12], "affine": tuple(RESULT["affine"]), "pixel_size": (2.0, 2.0)},
    )
    assert_same(open_cube(path), wanted)
    cube = ResultStore.open(path).cube()
    assert cube.metadata["store"] == str(path)
    assert_same(cube.replace(metadata=RESULT["metadata"]), wanted)


def test_stores_of_older_versions_open(tmp_path: Path) -> None:
    Cube.from_array(VALUES).save(tmp_path / "old.zarr")
    zarr.open_group(tmp_path / "old.zarr").attrs["specfusion"] = SAVED
    wanted = Cube.from_array(
        VALUES,
        nodata=np.nan,
        scale=np.array([0.5, 1, 2]),
        offset=0.25,
        spectral_unit="cm-1",
        name="Düne 1",
        metadata={"band_names": ("a", "b", "c"), "header": {"sensor type": "x"}},
    )
    assert_same(open_cube(tmp_path / "old.zarr"), wanted)


def test_the_names_in_stores_stay() -> None:
    for old in (RESULT, SAVED):
        assert set(to_attributes({})[0]) == set(old)


@pytest.mark.parametrize(
    "attributes",
    [
        {"wavelengths": 5},
        {"wavelengths": ["a"]},
        {"fwhm": [[1, 2]]},
        {"scale": None},
        {"scale": {}},
        {"offset": "x"},
        {"affine": [1, 2]},
        {"affine": None},
        {"pixel_size": "ab"},
        {"nodata": []},
        {"nodata": "much"},
        {"spectral_unit": "furlong"},
        {"crs": 32633},
        {"name": None},
        {"metadata": "x"},
        {"something new": 1},
    ],
    ids=str,
)
def test_what_is_damaged_says_nothing(attributes: dict[str, Any]) -> None:
    assert from_attributes(attributes) == {}


def test_metadata_that_json_cannot_hold_are_told() -> None:
    attributes, notes = to_attributes({"metadata": {"good": 1, "bad": object(), "deep": {"bad": {1, 2}}}})
    assert attributes["metadata"] == {"good": 1, "deep": {}}
    assert "left out because they are not plain text or numbers: bad, deep.bad" in notes[0]
