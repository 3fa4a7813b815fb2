"""What napari gets when a file is dropped on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
import zarr
from scipy.io import savemat

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import ReadError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.io.formats.zarr import pyramid
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets._console import open_in
from napari_specfusion.widgets._origins import origin_of
from napari_specfusion.widgets._plot import AXIS_LABELS
from napari_specfusion.widgets._probe import spot_at
from napari_specfusion.widgets._reader import get_reader
from napari_specfusion.widgets._readout import band_shown


def test_cube_becomes_one_layer(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((4, 8, 9)).astype("<f4")
    values.tofile(tmp_path / "scene.img")
    header = tmp_path / "scene.hdr"
    header.write_text(
        "ENVI\nsamples = 9\nlines = 8\nbands = 4\ndata type = 4\ninterleave = bsq\nwavelength units = nm\n"
        "wavelength = {400, 500, 600, 700}\n",
        encoding="utf-8",
    )
    for path in (str(header), [str(header)]):
        read = get_reader(path=path)
        assert read is not None
        [(data, keywords, kind)] = read(path)
        assert kind == "image"
        assert data.shape == values.shape
        assert keywords["rgb"] is False
        assert 0 <= keywords["contrast_limits"][0] < keywords["contrast_limits"][1] <= 1
        described = keywords["metadata"]["specfusion"]
        np.testing.assert_array_equal(described["wavelengths"], [400, 500, 600, 700])
        assert isinstance(described["cube"], Cube)


def test_pictures_and_strangers_stay_with_napari(tmp_path: Path) -> None:
    for name in ("photo.png", "photo.jpg", "letter.txt"):
        (tmp_path / name).write_bytes(b"x")
        assert get_reader(path=str(tmp_path / name)) is None
    assert get_reader(path=["a.hdr", "b.hdr"]) is None


def test_errors_are_words(tmp_path: Path) -> None:
    path = str(tmp_path / "scene.hdr")
    Path(path).write_text("ENVI\n", encoding="utf-8")
    read = get_reader(path=path)
    assert read is not None
    with pytest.raises(ReadError, match="'bands' is missing"):
        read(path)


def test_which_of_several_is_asked_elsewhere(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"a": np.zeros((2, 3, 4)), "b": np.zeros((2, 3, 4))})
    read = get_reader(path=str(tmp_path / "x.mat"))
    assert read is not None
    with pytest.raises(ReadError, match="under Array in Open cube"):
        read(str(tmp_path / "x.mat"))


def test_a_folder_of_bands_opens_in_the_window(viewer: Any, tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3")
    folder = tmp_path / "toy_ms"
    folder.mkdir()
    for band in range(1, 32):
        imageio.imwrite(folder / f"toy_ms_{band:02d}.png", np.full((6, 5), 100 * band, np.uint16))
    [layer] = viewer.open(folder, plugin="napari-specfusion")
    cube = Cube.from_layer(layer)
    assert cube.shape == (31, 6, 5)
    np.testing.assert_allclose(cube.wavelengths, np.arange(400, 701, 10))


def test_a_result_can_be_dropped_again(viewer: Any, tmp_path: Path) -> None:
    pair = sample_scene(64, 4)
    fused = fuse(pair, model="bicubic", out=tmp_path / "fused.zarr")
    [layer] = viewer.open(tmp_path / "fused.zarr", plugin="napari-specfusion")
    cube = Cube.from_layer(layer)
    np.testing.assert_array_equal(cube.read(), fused.read())
    np.testing.assert_array_equal(cube.wavelengths, pair.hsi.wavelengths)


def test_a_large_cube_is_shown_as_coarse_as_the_window_needs(
    viewer: Any, dock: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "COARSEST_SIDE", 16)
    monkeypatch.setattr(memory, "SHOWN_WHOLE", 100)
    values = np.random.default_rng(0).random((5, 64, 48), np.float32)
    Cube.from_array(values, wavelengths=[400, 500, 600, 700, 800]).save(tmp_path / "large.zarr")
    (layer,) = viewer.open(tmp_path / "large.zarr", plugin="napari-specfusion")
    assert layer.multiscale and len(layer.data) == 3
    assert origin_of(layer).path == tmp_path / "large.zarr"
    np.testing.assert_array_equal(Cube.from_layer(layer).read(), values)
    spectra = dock("Spectra")
    spectra.point_at((20.0, 30.0))
    qtbot.waitUntil(lambda: layer.name in spectra.plot.curve_data(), timeout=30_000)
    viewer.dims.set_current_step(0, 3)
    assert band_shown(viewer, layer) == 3
    # the other way into the window
    other = open_in(viewer, tmp_path / "large.zarr")
    assert other.multiscale and origin_of(other).path == tmp_path / "large.zarr"


def test_a_product_with_a_sharper_image_opens_as_both(viewer: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "PRS_L2D.he5", "w") as file:
        for name, ends in (("VNIR", (900, 400)), ("SWIR", (2400, 1000))):
            file[f"HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/{name}_Cube"] = np.full((4, 5, 3), 7, "u2")
            file.attrs[f"List_Cw_{name.title()}"] = np.linspace(*ends, 5)
        file["HDFEOS/SWATHS/PRS_L2D_PCO/Data Fields/Cube"] = np.arange(1, 24 * 18 + 1, dtype="u2").reshape(24, 18)
    pan, cube = viewer.open(tmp_path / "PRS_L2D.he5", plugin="napari-specfusion")
    assert pan.data.shape == (24, 18)
    assert cube.data.shape == (10, 4, 3)
    np.testing.assert_allclose(cube.data_to_world((0, 0, 0))[1:], (2.5, 2.5))
    np.testing.assert_allclose(Cube.from_layer(cube).wavelengths[[0, -1]], (400, 2400))
    np.testing.assert_array_equal(cube.scale[1:], (6, 6))


def test_netcdf_of_anyone(viewer: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "scan.nc", "w") as file:
        file["cube"], file["wavelength"] = np.ones((4, 5, 6), "f4"), np.linspace(400, 900, 6)
    [layer] = viewer.open(tmp_path / "scan.nc", plugin="napari-specfusion")
    assert layer.data.shape == (6, 4, 5)


def write(path: Path, values: np.ndarray) -> Path:
    """Write ``(bands, y, x)`` in the format of the path's ending."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack")
    elif path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, cube=values)
    elif path.suffix == ".png":
        imageio.imwrite(path, np.moveaxis(values[:3], 0, -1))
    elif path.suffix == ".mat":
        savemat(path, {"cube": values.transpose(1, 2, 0)})
    elif path.suffix == ".zarr":
        zarr.create_array(path, data=values)
    else:
        path.mkdir()
        for number, band in enumerate(values):
            imageio.imwrite(path / f"band_{450 + 50 * number}.png", band)
    return path


@pytest.mark.parametrize("name", ["c.tif", "c.npy", "c.npz", "c.png", "c.mat", "c.zarr", "bands"])
def test_every_format_opens_from_the_console(name: str, viewer: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 255, (5, 8, 9)).astype(np.uint8)
    layer = open_in(viewer, write(tmp_path / name, values))
    want = np.moveaxis(values[:3], 0, -1) if name == "c.png" else values
    np.testing.assert_array_equal(np.asarray(layer.data), want)
    if name in {"c.mat", "c.zarr", "bands"}:  # those that the manifest claims
        [again] = viewer.open(tmp_path / name, plugin="napari-specfusion")
        np.testing.assert_array_equal(np.asarray(again.data), values)


def test_a_generic_name_cannot_be_forced_on_the_plugin(viewer: Any, tmp_path: Path) -> None:
    # Should npe2 let a plugin read on demand what it does not claim, this is the place to say so in the docs.
    path = write(tmp_path / "c.tif", np.zeros((5, 8, 9), np.uint8))
    with pytest.raises(ValueError, match="not a compatible reader"):
        viewer.open(path, plugin="napari-specfusion")


def test_raman_shifts_arrive_as_such(viewer: Any, tmp_path: Path) -> None:
    savemat(
        tmp_path / "r.mat", {"map": np.zeros((6, 7, 4), np.float32), "wavenumbers": [600.0, 1003.0, 1450.0, 2900.0]}
    )
    [layer] = viewer.open(tmp_path / "r.mat", plugin="napari-specfusion")
    cube = Cube.from_layer(layer)
    assert cube.spectral_unit == "cm-1"
    assert cube.band_at(1000) == 1
    assert "cm-1" in repr(cube)
    spot = spot_at(layer, (1, 2))
    assert spot is not None
    curve = spot.read()
    assert curve.spectrum.unit == "cm-1"
    assert AXIS_LABELS[curve.spectrum.unit][0] == "Raman shift"


def test_a_guessed_axis_is_told_when_a_file_is_dropped(viewer: Any, tmp_path: Path) -> None:
    from napari.utils.notifications import notification_manager

    savemat(tmp_path / "guess.mat", {"cube": np.zeros((30, 10, 12))})
    before = len(notification_manager.records)
    viewer.open(tmp_path / "guess.mat", plugin="napari-specfusion")
    told = [record.message for record in notification_manager.records[before:]]
    assert any("holds the bands" in message and "under Axes in Open cube" in message for message in told)
