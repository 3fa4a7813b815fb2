"""Arrays in a file: which is the cube, and which its wavelengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from napari_specfusion.data.scene import cube_findings
from napari_specfusion.io import open_cube

if TYPE_CHECKING:
    from pathlib import Path

CUBE = np.arange(6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)


def save(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".mat":
        savemat(path, arrays)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    return path


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".h5"])
@pytest.mark.parametrize("name", ["wl", "wavelength", "wavelengths", "lambda", "bands", "Wavelength_um", "wvl"])
def test_micrometres_become_nanometres(name: str, suffix: str, tmp_path: Path) -> None:
    centres = np.linspace(0.4, 2.5, 8)
    cube = open_cube(save(tmp_path / f"x{suffix}", data=CUBE, **{name: centres}))
    assert cube.spectral_unit == "nm" and cube.shape == (8, 6, 7) and cube.wavelengths is not None
    np.testing.assert_allclose(cube.wavelengths, centres * 1e3)


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".h5"])
@pytest.mark.parametrize("name", ["wl", "wavelength", "bands"])
def test_a_count_of_bands_is_no_wavelength(name: str, suffix: str, tmp_path: Path) -> None:
    for values in (np.arange(8.0), np.arange(8.0) + 1, np.arange(8)):
        path = save(tmp_path / f"x{suffix}", data=CUBE, **{name: values})
        assert open_cube(path).wavelengths is None


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".h5"])
def test_a_cube_and_its_guide_in_one_file(suffix: str, tmp_path: Path) -> None:
    hsi, rgb = np.zeros((20, 24, 48), "f4"), np.ones((80, 96, 3), "f4")
    assert hsi.size == rgb.size, "the one with more numbers is no rule"
    path = tmp_path / f"x{suffix}"
    if suffix == ".mat":
        savemat(path, {"scene": {"HSI": hsi, "RGB": rgb}})
    else:
        save(path, HSI=hsi, RGB=rgb)
    cube = open_cube(path)
    assert cube.shape == (48, 20, 24)
    (finding,) = (f for f in cube_findings(cube) if f.level == "info")
    assert "also holds" in finding.message and "RGB (80 x 96 x 3)" in finding.message
    option, name = finding.message.split("open one with ")[1].rstrip(".").split("=")
    other = open_cube(path, **{option: name.strip('"')})
    assert other.shape == (3, 80, 96) and not [f for f in cube_findings(other) if f.level == "info"]


OVERLAPPING = np.concatenate([np.linspace(366, 677, 32), np.linspace(655, 1275, 64), np.linspace(1252, 1867, 64)])


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".h5"])
def test_wavelengths_step_back_where_detectors_overlap(suffix: str, tmp_path: Path) -> None:
    centres = OVERLAPPING
    cube = np.broadcast_to(centres.astype("f4"), (6, 7, len(centres)))
    found = open_cube(save(tmp_path / f"x{suffix}", data=cube, wavelengths=centres))
    assert found.wavelengths is not None
    np.testing.assert_allclose(found.wavelengths, np.sort(centres))
    np.testing.assert_allclose(found.read()[:, 0, 0], found.wavelengths)


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_other_numbers_out_of_order_are_no_wavelengths(suffix: str, tmp_path: Path) -> None:
    few = np.array([400.0, 500, 450, 600, 550, 700, 650, 800])
    assert open_cube(save(tmp_path / f"few{suffix}", data=CUBE, wavelengths=few)).wavelengths is None
    cube = np.zeros((6, 7, len(OVERLAPPING)), "f4")
    assert open_cube(save(tmp_path / f"vague{suffix}", data=cube, bands=OVERLAPPING)).wavelengths is None
