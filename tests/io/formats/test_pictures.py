"""Pictures, and folders of one picture per band."""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING

import imagecodecs
import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

if TYPE_CHECKING:
    from pathlib import Path

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


def save_geotiff(path: Path, values: np.ndarray, wavelength: float, scale: float = 0.5, left: float = 1000) -> None:
    items = f'<Item name="wavelength" sample="0">{wavelength}</Item><Item name="fwhm" sample="0">0.01</Item>'
    xml = f'<GDALMetadata>{items}<Item name="SCALE" sample="0" role="scale">{scale}</Item></GDALMetadata>'
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        (42112, 2, len(xml) + 1, xml, True),
        (42113, 2, 3, "-1", True),
        (33550, 12, 3, (30.0, 20.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, left, 2000.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    tifffile.imwrite(path, values, metadata=None, extratags=tags)


def test_bands_in_geotiffs_keep_what_their_tags_say(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 255, (3, 4, 5)).astype(np.int16)
    values[:, 0, 0] = -1
    for name, band, wavelength, scale in zip("abc", values, (0.7, 0.5, 0.6), (1, 0.5, 0.1), strict=True):
        save_geotiff(tmp_path / f"{name}.tif", band, wavelength, scale)
    cube = open_cube(tmp_path)
    order = [1, 2, 0]
    np.testing.assert_allclose(cube.wavelengths, [500, 600, 700])
    np.testing.assert_allclose(cube.fwhm, 10)
    assert (cube.affine, cube.crs, cube.nodata) == ((30, 0, 1000, 0, -20, 2000), "EPSG:32633", -1)
    physical = np.where(values == -1, np.nan, values * np.array([1, 0.5, 0.1])[:, None, None])[order]
    np.testing.assert_allclose(cube.read(), physical, rtol=1e-6)
    np.testing.assert_allclose(cube.values.compute(), physical, rtol=1e-6)


def test_bands_in_different_places_have_none(tmp_path: Path) -> None:
    for left, name in enumerate(("450nm", "550nm")):
        save_geotiff(tmp_path / f"{name}.tif", np.zeros((4, 5), np.int16), 0.9, left=left)
    cube = open_cube(tmp_path)
    np.testing.assert_array_equal(cube.wavelengths, [450, 550])
    assert cube.affine is None and cube.fwhm is None
    assert cube.metadata["notes"] == ("the band files differ in their georeferencing, which was left out",)


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


def test_sixteen_bit_colours_keep_their_bits(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 65535, (6, 7, 3)).astype(np.uint16)
    (tmp_path / "guide.png").write_bytes(imagecodecs.png_encode(values))
    cube = open_cube(tmp_path / "guide.png")
    np.testing.assert_array_equal(cube.data.compute(), np.moveaxis(values, -1, 0))
    assert "transfer" not in cube.metadata


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(transparent: bool, tmp_path: Path) -> None:
    colours = Image.fromarray(RANDOM.integers(0, 255, (6, 7, 3)).astype(np.uint8)).quantize(16)
    colours.save(tmp_path / "guide.png", **({"transparency": 0} if transparent else {}))
    cube = open_cube(tmp_path / "guide.png")
    np.testing.assert_array_equal(cube.data.compute(), np.moveaxis(np.asarray(colours.convert("RGB")), -1, 0))


def test_printing_colours_become_red_green_blue(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "guide.jpg")
    np.testing.assert_allclose(open_cube(tmp_path / "guide.jpg").spectrum(8, 8), [0, 255, 255], atol=3)


def test_gamma_is_told_and_undone_on_request(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    imageio.imwrite(tmp_path / "guide.png", np.stack([ramp] * 3, -1))
    assert open_cube(tmp_path / "guide.png").metadata["transfer"] == "sRGB"
    light = open_cube(tmp_path / "guide.png", linear=True)
    assert light.dtype == np.float32
    assert light.metadata["transfer"] == "linear"
    found = light.read()[0, 0]
    assert (found[0], found[255]) == (0, 1)
    # half of the light is stored as 188, see any table of sRGB
    assert found[188] == pytest.approx(0.5029, abs=1e-4)
    assert found[10] == pytest.approx(10 / 255 / 12.92)
    np.testing.assert_array_equal(light.data[:, :, ::5].compute(), light.read()[:, :, ::5])
    np.testing.assert_array_equal(light.spectrum(2, 188), found[[188] * 3])


def test_a_picture_that_says_it_is_linear(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((4, 4, 3), 51, np.uint8))
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", 100_000))
    image.save(tmp_path / "guide.png", pnginfo=chunks)
    assert open_cube(tmp_path / "guide.png").metadata["transfer"] == "linear"
    np.testing.assert_allclose(open_cube(tmp_path / "guide.png", linear=True).spectrum(0, 0), 0.2)


def test_bomb(tmp_path: Path) -> None:
    # 60000 x 60000 grey pixels in 3.6 MB of zeros, and the same claim with nothing behind it
    for name, rows in (("bomb.png", 2000), ("claim.png", 1)):
        head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
        body = zlib.compress(bytes(60_001 * rows), 9)
        chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
        packed = b"".join(
            struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks
        )
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + packed)
        with pytest.raises(ReadError, match="more than images do"):
            open_cube(tmp_path / name)


@pytest.mark.parametrize(
    ("names", "wavelengths", "unit"),
    [
        (["450nm", "550nm", "1000nm"], [450, 550, 1000], "nm"),
        (["a 450.5 nm", "a 550.5 nm", "a 650 nm"], [450.5, 550.5, 650], "nm"),
        (["band_450", "band_550", "band_650"], [450, 550, 650], "nm"),
        (["450.5", "451.5", "460"], None, None),
        (["0.45um", "0.55um", "0.65um"], [450, 550, 650], "nm"),
        (["map 1003cm-1", "map 1450cm-1", "map 990cm-1"], [990, 1003, 1450], "cm-1"),
        (["band_1", "band_2", "band_10"], None, None),
        (["IMG_0450", "IMG_0451", "IMG_0452"], None, None),
        (["450nm", "450nm_b", "550nm"], None, None),
        (["450nm", "dark", "550nm"], None, None),
    ],
)
def test_wavelengths_in_names(
    names: list[str], wavelengths: list[float] | None, unit: str | None, tmp_path: Path
) -> None:
    for number, name in enumerate(names):
        imageio.imwrite(tmp_path / f"{name}.png", np.full((4, 5), number, np.uint8))
    cube = open_cube(tmp_path)
    if wavelengths is None:
        assert cube.wavelengths is None
    else:
        np.testing.assert_allclose(cube.wavelengths, wavelengths)
        assert cube.spectral_unit == unit
        order = np.argsort([float(re.findall(r"[\d.]+", name)[0]) for name in names])
        np.testing.assert_array_equal(cube.spectrum(0, 0), order)


def test_planes_of_colours_in_a_folder(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (3, 8, 9)).astype("u1")
    for name, picture, planes in (("450nm.tif", values, "separate"), ("550nm.tif", np.moveaxis(values, 0, -1), None)):
        tifffile.imwrite(tmp_path / name, picture, photometric="rgb", planarconfig=planes)
    cube = open_cube(tmp_path)
    np.testing.assert_array_equal(cube.data[0], cube.data[1])


def test_equal_wavelengths_in_names_are_told(tmp_path: Path) -> None:
    for name in ("a_450nm.png", "b_450nm.png"):
        imageio.imwrite(tmp_path / name, np.zeros((4, 5), "u1"))
    cube = open_cube(tmp_path)
    assert cube.wavelengths is None and "some are equal" in cube.metadata["notes"][0]
