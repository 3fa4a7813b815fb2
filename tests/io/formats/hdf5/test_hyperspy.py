"""HyperSpy's signals: written after the layout of the format, opened with their calibrated axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_specfusion.errors import AmbiguousArrayError, ReadError
from napari_specfusion.io import find_reader, open_cube

if TYPE_CHECKING:
    from pathlib import Path

MAP = np.random.default_rng(2).random((6, 7, 12)).astype("f4")
Y = {"name": "y", "units": "µm", "scale": 0.5, "offset": 3.0, "navigate": True}
X = {"name": "x", "units": "µm", "scale": 0.25, "offset": 0.0, "navigate": True}


def signal_axis(**fields: Any) -> dict[str, Any]:
    return {"name": "Wavelength", "units": "nm", "scale": 2.0, "offset": 400.0, "navigate": False} | fields


def write(path: Path, axes: list[dict[str, Any]], values: Any = MAP, title: str = "a map", name: str = "a map") -> Path:
    """Write a signal: data, one group per axis, and metadata with a dataset of its own, as HyperSpy leaves them."""
    with h5py.File(path, "a") as file:
        file.attrs["file_format"], file.attrs["file_format_version"] = "HyperSpy", "3.3"
        group = file.create_group(f"Experiments/{name}")
        group.create_dataset("data", data=values, chunks=True, compression="gzip")
        for number, (axis, size) in enumerate(zip(axes, np.shape(values), strict=True)):
            here = group.create_group(f"axis-{number}")
            points = axis.get("axis")
            if points is not None:
                here["axis"] = points
            for key, value in {"size": size, **axis}.items():
                if key != "axis":
                    here.attrs[key] = value
        group.create_group("metadata/General").attrs["title"] = title
        group["metadata/_sig_dark/data"] = np.zeros((3, 4, 5))
    return path


def test_a_map_with_its_axes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.hspy", [Y, X, signal_axis()])
    assert find_reader(path) == "hdf5"
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), MAP.transpose(2, 0, 1))
    np.testing.assert_array_equal(cube.spectrum(5, 6), MAP[5, 6])
    assert cube.wavelengths is not None and cube.spectral_unit == "nm"
    np.testing.assert_allclose(cube.wavelengths, 400 + 2.0 * np.arange(12))
    assert (cube.name, cube.pixel_size) == ("a map", (0.5, 0.25))
    assert cube.metadata["product"] == "HyperSpy" and cube.metadata["pixel_unit"] == "µm"
    assert "findings" not in cube.metadata


@pytest.mark.parametrize(
    ("axis", "want", "unit"),
    [
        ({"units": "µm", "scale": 0.01, "offset": 0.4}, 400 + 10.0 * np.arange(12), "nm"),
        ({"units": "Å", "scale": 10.0, "offset": 4000.0}, 400 + 1.0 * np.arange(12), "nm"),
        ({"units": "1/cm", "name": "Raman shift", "offset": 500.0}, 500 + 2.0 * np.arange(12), "cm-1"),
        ({"units": "cm$^{-1}$", "name": "Raman shift", "offset": 500.0}, 500 + 2.0 * np.arange(12), "cm-1"),
        ({"units": "_None_", "name": "Raman shift", "offset": 500.0}, 500 + 2.0 * np.arange(12), "cm-1"),
        ({"scale": -2.0, "offset": 422.0}, 400 + 2.0 * np.arange(12), "nm"),
    ],
)
def test_units(axis: dict[str, Any], want: Any, unit: str, tmp_path: Path) -> None:
    cube = open_cube(write(tmp_path / "x.hspy", [Y, X, signal_axis(**axis)]))
    assert cube.wavelengths is not None and cube.spectral_unit == unit
    np.testing.assert_allclose(cube.wavelengths, want)
    turned = axis.get("scale", 1) < 0
    np.testing.assert_array_equal(cube.data.compute(), MAP.transpose(2, 0, 1)[:: -1 if turned else 1])


def test_photon_energies_become_wavelengths(tmp_path: Path) -> None:
    energies = 1.5 + 0.1 * np.arange(12)
    path = write(tmp_path / "x.hspy", [Y, X, signal_axis(name="Energy", units="eV", scale=0.1, offset=1.5)])
    cube = open_cube(path)
    assert cube.wavelengths is not None
    np.testing.assert_allclose(cube.wavelengths, (1239.841984 / energies)[::-1])
    np.testing.assert_array_equal(cube.spectrum(1, 2), MAP[1, 2, ::-1])
    loss = open_cube(write(tmp_path / "y.hspy", [Y, X, signal_axis(name="Energy loss", units="eV", offset=-1.0)]))
    assert loss.wavelengths is None and "not all are above 0" in loss.metadata["notes"][0]


def test_values_of_an_axis_one_by_one(tmp_path: Path) -> None:
    centres = np.geomspace(400, 900, 12)
    axis = {"name": "Wavelength", "units": "nm", "navigate": False, "axis": centres}
    cube = open_cube(write(tmp_path / "x.hspy", [Y, X, axis]))
    np.testing.assert_allclose(cube.wavelengths, centres)  # type: ignore[arg-type]


def test_a_stack_of_images(tmp_path: Path) -> None:
    bands = {"name": "Wavelength", "units": "nm", "scale": 10.0, "offset": 500.0, "navigate": True}
    axes = [bands, Y | {"navigate": False}, X | {"navigate": False}]
    cube = open_cube(write(tmp_path / "x.hspy", axes))
    np.testing.assert_array_equal(cube.data.compute(), MAP)
    assert cube.wavelengths is not None and cube.wavelengths[-1] == 550 and cube.pixel_size == (0.5, 0.25)
    picture = open_cube(write(tmp_path / "y.hspy", axes[1:], MAP[0]))
    assert picture.shape == (1, 7, 12) and picture.pixel_size == (0.5, 0.25)


def test_several_signals(tmp_path: Path) -> None:
    path = write(tmp_path / "x.hspy", [Y, X, signal_axis()])
    write(path, [Y, X, signal_axis(offset=600.0)], MAP + 1, title="", name="other")
    with pytest.raises(AmbiguousArrayError, match=r"several signals: .*/a map/data \(6 x 7 x 12\), .*/other/data"):
        open_cube(path)
    cube = open_cube(path, array="/Experiments/other/data")
    assert cube.name == "x" and cube.wavelengths is not None and cube.wavelengths[0] == 600
    plain = open_cube(path, array="/Experiments/other/data", axes="byx")
    np.testing.assert_array_equal(plain.data.compute(), MAP + 1)


def test_what_is_no_image_or_says_nonsense(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="a line of spectra"):
        open_cube(write(tmp_path / "line.hspy", [X, signal_axis()], MAP[0]))
    odd = [
        signal_axis(scale=0.0),
        signal_axis(scale=np.inf),
        signal_axis(units="seconds"),
        signal_axis(units="_None_"),
        signal_axis(scale="two"),
        {"navigate": False, "units": "nm", "axis": np.zeros(3)},
        {"navigate": False, "units": "nm", "axis": np.full(12, np.nan)},
    ]
    for number, axis in enumerate(odd):
        path = write(tmp_path / f"{number}.hspy", [Y | {"scale": np.nan}, X, axis])
        cube = open_cube(path)
        assert cube.shape == (12, 6, 7) and cube.wavelengths is None and cube.pixel_size is None
        assert cube.metadata["notes"]
        assert open_cube(path, wavelengths=np.linspace(400, 900, 12)).wavelengths is not None
    with h5py.File(tmp_path / "link.hspy", "w") as file:
        file["Experiments"] = h5py.ExternalLink(str(tmp_path / "0.hspy"), "/Experiments")
    with pytest.raises(ReadError, match="no numeric dataset"):
        open_cube(tmp_path / "link.hspy")
