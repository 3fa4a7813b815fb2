from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.io import list_guides, open_cube

CUBE = np.arange(31 * 12 * 16, dtype=np.float32).reshape(31, 12, 16)
RGB, PAN = np.zeros((48, 64, 3), np.float32), np.zeros((96, 128), np.float32)
ARRAYS: dict[str, Any] = {
    "cube": CUBE,
    "rgb": RGB,
    "pan": PAN,
    # as large as the cube, of another outline, of as many bands, not numeric
    "labels": np.zeros((12, 16), np.int16),
    "strip": np.zeros((24, 200), np.float32),
    "truth": np.zeros((31, 48, 64), np.float32),
    "wavelengths": np.linspace(400, 700, 31),
}


@pytest.fixture(params=["npz", "mat", "h5", "zarr"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / f"pair.{request.param}"
    # without the sharp cube: which of two is the cube is for `array` to say
    arrays = {name: array for name, array in ARRAYS.items() if name != "truth"}
    if request.param == "npz":
        np.savez(path, **arrays)
    elif request.param == "mat":
        scipy = pytest.importorskip("scipy.io")
        scipy.savemat(path, arrays | {"cube": np.moveaxis(CUBE, 0, -1)})
    elif request.param == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    else:
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(path, mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=array)
    return path


def test_sharper_arrays_of_fewer_bands_are_guides(path: Path) -> None:
    found = list_guides(path)
    assert [variable.name.strip("/") for variable in found] == ["pan", "rgb"]
    guide = open_cube(path, array=found[1].name)
    assert guide.shape == (3, 48, 64)


def test_the_cube_may_be_another_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS)
    cube = open_cube(tmp_path / "a.npz", array="cube")
    assert [variable.name for variable in list_guides(tmp_path / "a.npz", cube)] == ["pan", "rgb"]
    assert [variable.name for variable in list_guides(tmp_path / "a.npz", CUBE)] == ["pan", "rgb"]
    # nothing of three bands is sharper than the sharp one
    assert [v.name for v in list_guides(tmp_path / "a.npz", ARRAYS["truth"])] == ["pan"]


def test_files_of_one_array_hold_no_guide(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CUBE)
    np.savez(tmp_path / "a.npz", cube=CUBE)
    assert list_guides(tmp_path / "a.npy") == list_guides(tmp_path / "a.npz") == ()
    with pytest.raises(ReadError, match=r"b\.npz"):
        list_guides(tmp_path / "b.npz")


def test_a_real_file_of_a_pair(data_dir: Path) -> None:
    found = list_guides(data_dir / "pairs" / "paris_data_hs_pan.mat")
    assert [str(variable) for variable in found] == ["PCim (216 x 174)"]
