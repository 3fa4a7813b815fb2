"""Pictures, and folders of one picture per band."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

RANDOM = np.random.default_rng(5)


def save_cave(folder: Path, scene: str = "beads", dtype: str = "u2", bands: int = 31) -> np.ndarray:
    """Write bands as the CAVE data base does; its 8-bit scenes repeat the band in R, G and B, and are opaque."""
    folder.mkdir(parents=True, exist_ok=True)
    values = RANDOM.integers(0, np.iinfo(dtype).max, (bands, 8, 9)).astype(dtype)
    for number, band in enumerate(values, 1):
        picture = band if dtype == "u2" else np.stack([band, band, band, np.full_like(band, 255)], -1)
        imageio.imwrite(folder / f"{scene}_ms_{number:02d}.png", picture)
    imageio.imwrite(folder / f"{scene}_RGB.bmp", np.zeros((8, 9, 3), np.uint8))
    (folder / "Thumbs.db").write_bytes(b"x")
    return values


@pytest.mark.parametrize("dtype", ["u2", "u1"])
@pytest.mark.parametrize("nested", ["", "beads_ms"])
def test_cave(dtype: str, nested: str, tmp_path: Path) -> None:
    values = save_cave(tmp_path / "beads_ms" / nested, dtype=dtype)
    cube = open_cube(tmp_path / "beads_ms")
    assert cube.name == "beads"
    assert cube.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(cube.data.compute(), values)
    np.testing.assert_allclose(cube.wavelengths, np.arange(400, 701, 10))
    np.testing.assert_allclose(cube.spectrum(3, 4), values[:, 3, 4] / np.iinfo(dtype).max, rtol=1e-6)


def test_incomplete_cave_has_no_wavelengths(tmp_path: Path) -> None:
    save_cave(tmp_path / "a", bands=30)
    assert open_cube(tmp_path / "a").wavelengths is None


def test_two_scenes_in_a_folder(tmp_path: Path) -> None:
    save_cave(tmp_path / "a", "beads", bands=2)
    save_cave(tmp_path / "a", "cloth", bands=2)
    with pytest.raises(ReadError, match="several scenes \\(beads, cloth\\)"):
        open_cube(tmp_path / "a")


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_names_give_order_and_wavelengths(ending: str, tmp_path: Path) -> None:
    values = RANDOM.integers(0, 255, (3, 4, 5)).astype(np.uint8)
    for band, name in zip(values, ["x_1000nm", "x_450nm", "x_9.5nm"], strict=True):
        imageio.imwrite(tmp_path / f"{name}.{ending}", band)
    cube = open_cube(tmp_path)
    np.testing.assert_allclose(cube.wavelengths, [9.5, 450, 1000])
    np.testing.assert_array_equal(cube.data.compute(), values[::-1])


def test_colours_give_luminance(tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "1.png", np.full((4, 5, 3), (255, 0, 0), np.uint8))
    imageio.imwrite(tmp_path / "2.png", np.full((4, 5, 3), 77, np.uint8))
    np.testing.assert_array_equal(open_cube(tmp_path).spectrum(0, 0), [54, 77])


@pytest.mark.parametrize("odd", [np.zeros((4, 6), np.uint8), np.zeros((4, 5), np.uint16)], ids=["size", "type"])
def test_pictures_differ(odd: np.ndarray, tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "1.png", np.zeros((4, 5), np.uint8))
    imageio.imwrite(tmp_path / "2.png", odd)
    with pytest.raises(ReadError, match=r"2\.png is 4 x \d uint.*must be alike"):
        open_cube(tmp_path)


def test_damaged_band(tmp_path: Path) -> None:
    save_cave(tmp_path)
    (tmp_path / "beads_ms_05.png").write_bytes(b"no picture")
    with pytest.raises(ReadError, match=r"beads_ms_05\.png cannot be read as a picture"):
        open_cube(tmp_path)


def test_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="holds no pictures"):
        open_cube(tmp_path)
    for name in ("a", "b"):
        save_cave(tmp_path / name)
    with pytest.raises(ReadError, match="Open one of: a, b"):
        open_cube(tmp_path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_picture(channels: int, tmp_path: Path) -> None:
    values = RANDOM.integers(0, 255, (6, 7, channels)).astype(np.uint8)
    imageio.imwrite(tmp_path / "guide.png", values if channels > 1 else values[..., 0])
    cube = open_cube(tmp_path / "guide.png")
    np.testing.assert_array_equal(
        cube.data.compute(), np.moveaxis(values, -1, 0)[: {2: 1, 4: 3}.get(channels, channels)]
    )


def test_jpeg(tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "guide.JPG", np.full((16, 16, 3), 90, np.uint8))
    cube = open_cube(tmp_path / "guide.JPG")
    assert cube.shape == (3, 16, 16)
    assert abs(cube.spectrum(8, 8) - 90).max() < 3
