"""Rasters through GDAL, and what both readers make of the same GeoTIFF."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io import find_reader, open_cube

rasterio = pytest.importorskip("rasterio", reason="GDAL comes with the extra geo")
from rasterio.errors import NotGeoreferencedWarning  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BANDS, HEIGHT, WIDTH = 5, 40, 60
VALUES = np.random.default_rng(3).integers(0, 60000, (BANDS, HEIGHT, WIDTH)).astype(np.uint16)


def save(path: Path, values: NDArray[Any] = VALUES, driver: str = "GTiff", **options: Any) -> Path:
    items, scales = options.pop("items", {}), options.pop("scales", None)
    bands, height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        kind = {"driver": driver, "dtype": values.dtype.name, "count": bands, "height": height, "width": width}
        with rasterio.open(path, "w", **kind, **options) as target:
            target.write(values)
            if scales is not None:
                target.scales, target.offsets = scales
            for (band, domain), tags in items.items():
                target.update_tags(band, ns=domain, **tags)
    return path


GEO: dict[str, Any] = {
    "crs": "EPSG:32633",
    "transform": rasterio.Affine(30.0, 0.0, 1000.0, 0.0, -20.0, 2000.0),
    "nodata": 65535,
}


@pytest.mark.parametrize("reader", ["gdal", "tiff"])
@pytest.mark.parametrize(
    "packing",
    [
        {"interleave": "band"},
        {"interleave": "pixel", "compress": "deflate", "predictor": 2},
        {"interleave": "band", "compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 32},
        {"interleave": "pixel", "tiled": True, "blockxsize": 32, "blockysize": 16, "BIGTIFF": "YES"},
        {"interleave": "band", "SPARSE_OK": True, "compress": "zstd"},
    ],
    ids=["planar", "pixel", "tiles", "pixel tiles", "zstd"],
)
def test_geotiff(reader: str, packing: dict[str, Any], tmp_path: Path) -> None:
    items = {
        (band + 1, None): {
            "wavelength": 0.9 - 0.1 * band,
            "wavelength_units": "um",
            "fwhm": 0.01,
            "bbl": int(band != 2),
        }
        for band in range(BANDS)
    }
    scales = ((0.5,) * BANDS, (1.0,) * BANDS)
    path = save(tmp_path / "s.tif", items=items, scales=scales, **GEO, **packing)
    cube = open_cube(path, reader=reader)
    np.testing.assert_allclose(cube.wavelengths, [500, 600, 700, 800, 900])
    np.testing.assert_allclose(cube.fwhm, 10)
    np.testing.assert_array_equal(cube.good, [True, True, False, True, True])
    assert (cube.scale, cube.offset, cube.nodata, cube.crs) == (0.5, 1.0, 65535, "EPSG:32633")
    assert cube.affine == (30, 0, 1000, 0, -20, 2000)
    assert cube.pixel_size == (20, 30)
    np.testing.assert_array_equal(cube.data.compute(), VALUES[::-1])
    np.testing.assert_array_equal(cube.spectrum(33, 44), VALUES[::-1, 33, 44] * np.float32(0.5) + 1)
    np.testing.assert_array_equal(cube.read(slice(3, 9), slice(5, 50)), VALUES[::-1, 3:9, 5:50] * np.float32(0.5) + 1)


@pytest.mark.parametrize("reader", ["gdal", "tiff"])
@pytest.mark.parametrize(
    "scales",
    [((0.1, 1.0, 0.01, 1.0, 1.0), (0.0,) * BANDS), ((1.0,) * BANDS, (0.0, 5.0, 0.0, 0.0, -3.0))],
    ids=["scales", "offsets"],
)
def test_some_bands_are_scaled(scales: tuple[tuple[float, ...], ...], reader: str, tmp_path: Path) -> None:
    cube = open_cube(save(tmp_path / "s.tif", scales=scales), reader=reader)
    factors, summands = (np.float32(column)[:, None, None] for column in scales)
    np.testing.assert_allclose(cube.read(), VALUES * factors + summands)


@pytest.mark.parametrize("reader", ["gdal", "tiff"])
@pytest.mark.parametrize(
    "items",
    [
        {(0, None): {f"Band_{i + 1}": f"{400.5 + 10 * i} Nanometers" for i in range(BANDS)}},
        {(i + 1, "IMAGERY"): {"CENTRAL_WAVELENGTH_UM": f"{0.4005 + 0.01 * i:.4f}"} for i in range(BANDS)},
        {(0, "ENVI"): {"wavelength": "{400.5,410.5,420.5,430.5,440.5}", "wavelength_units": "nm"}},
    ],
    ids=["Band_1", "IMAGERY", "ENVI"],
)
def test_styles_as_gdal_writes_them(items: dict[Any, Any], reader: str, tmp_path: Path) -> None:
    cube = open_cube(save(tmp_path / "s.tif", items=items), reader=reader)
    np.testing.assert_allclose(cube.wavelengths, 400.5 + 10 * np.arange(BANDS))


@pytest.mark.parametrize("driver", ["PCIDSK", "HFA", "ENVI", "RST"])
def test_other_formats(driver: str, tmp_path: Path) -> None:
    values = VALUES if driver != "RST" else VALUES[:1].astype(np.int16)
    path = save(tmp_path / {"PCIDSK": "s.pix", "RST": "s.rst"}.get(driver, "s.img"), values, driver)
    if driver == "PCIDSK":
        assert find_reader(path) == "gdal"
    cube = open_cube(path, reader="gdal")
    np.testing.assert_array_equal(cube.data.compute(), values)
    assert cube.metadata["driver"] == driver


@pytest.mark.parametrize("reader", ["gdal", "tiff"])
@pytest.mark.parametrize("bands", [2, 4])
def test_transparency_is_dropped_and_told(bands: int, reader: str, tmp_path: Path) -> None:
    kind = "RGB" if bands == 4 else "MINISBLACK"
    path = save(tmp_path / "s.tif", VALUES[:bands].astype(np.uint8), photometric=kind, ALPHA="YES")
    cube = open_cube(path, reader=reader)
    assert cube.shape == (bands - 1, HEIGHT, WIDTH)
    assert f"marks band {bands} as transparency" in cube.metadata["notes"][-1]
    assert open_cube(path, reader=reader, wavelengths=range(400, 400 + bands)).bands == bands


@pytest.mark.parametrize("reader", ["gdal", "tiff"])
def test_a_band_with_a_wavelength_is_no_transparency(reader: str, tmp_path: Path) -> None:
    # GDAL calls any fourth band of 8 bits transparency unless told otherwise.
    items = {(band + 1, None): {"wavelength": 900 - 100 * band, "wavelength_units": "nm"} for band in range(4)}
    values = VALUES[:4].astype(np.uint8)
    cube = open_cube(save(tmp_path / "s.tif", values, items=items), reader=reader)
    np.testing.assert_array_equal(cube.wavelengths, [600, 700, 800, 900])
    np.testing.assert_array_equal(cube.data.compute(), values[::-1])


def test_missing_values(tmp_path: Path) -> None:
    values = VALUES.astype("f4")
    values[:, 3, 4] = -9999
    cube = open_cube(save(tmp_path / "s.tif", values, nodata=-9999), reader="gdal")
    assert np.isnan(cube.spectrum(3, 4)).all()
    assert np.isnan(cube.read()).sum() == BANDS
    nan = open_cube(save(tmp_path / "n.tif", values, nodata=np.nan), reader="gdal").nodata
    assert nan is not None and np.isnan(nan)


def test_cut_short_pcidsk(tmp_path: Path) -> None:
    path = save(tmp_path / "s.pix", driver="PCIDSK")
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ReadError, match="its header says"):
        open_cube(path)


def test_files_that_point_elsewhere(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    save(tmp_path / "s.tif")
    inside = (
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><VRTRasterBand dataType="UInt16" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">s.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for name in ("s.vrt", "disguised.jp2"):
        (tmp_path / name).write_text(inside, encoding="utf-8")
        with pytest.raises(ReadError, match="points to data elsewhere"):
            open_cube(tmp_path / name)
    folder = tmp_path / "inner"
    folder.mkdir()
    save(folder / "s.img", driver="HFA")
    link(folder / "s.img.aux.xml", tmp_path / "s.tif")
    with pytest.raises(ReadError, match="out of the folder"):
        open_cube(folder / "s.img", reader="gdal")


def test_several_images(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["left"] = VALUES
        file["right"] = VALUES
    with pytest.raises(ReadError, match=r"not hold a single image, but .*left"):
        open_cube(tmp_path / "s.h5", reader="gdal")


def test_pages_are_images_to_gdal(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", VALUES, photometric="minisblack", metadata=None)
    cube = open_cube(tmp_path / "s.tif", reader="gdal")
    assert cube.shape == (1, HEIGHT, WIDTH)
    assert cube.metadata["notes"] == ("the file holds 5 images; GDAL opened the first",)


def test_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "s.pix", driver="PCIDSK")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ReadError, match=r"napari-specfusion\[geo\]"):
        open_cube(path)


@pytest.mark.parametrize(
    "name",
    [
        "cubes/enmap_potsdam_tile_96_32.tif",
        "cubes/enmap_potsdam_tile_96_96.tif",
        "formats/wiser/caltech_4_100_150_nm_epsg4087.tif",
        "pairs/neon/MLBS_4_hsi.tif",
        "pairs/neon/MLBS_4_rgb.tif",
        "pairs/harv_misregistered/hsi.tif",
    ],
)
def test_both_readers_see_the_same(name: str, data_dir: Path) -> None:
    ours, theirs = open_cube(data_dir / name), open_cube(data_dir / name, reader="gdal")
    assert ours.shape == theirs.shape
    for key in ("wavelengths", "fwhm", "good_bands", "scale", "offset"):
        mine, other = getattr(ours, key), getattr(theirs, key)
        assert (mine is None) == (other is None), key
        if mine is not None:
            np.testing.assert_allclose(mine, other)
    assert ours.crs == theirs.crs
    assert (ours.nodata is None) == (theirs.nodata is None)
    if ours.nodata is not None:
        # GDAL tells what the file's own type holds
        assert np.float32(ours.nodata) == np.float32(theirs.nodata)
    np.testing.assert_allclose(ours.affine, theirs.affine)
    np.testing.assert_array_equal(ours.read(), theirs.read())
