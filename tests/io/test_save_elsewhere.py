"""What is saved opens in programs that know nothing of this package."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_specfusion.data.cube import Cube
from napari_specfusion.io import open_cube

if TYPE_CHECKING:
    from pathlib import Path

VALUES = np.random.default_rng(1).integers(-5, 4000, (7, 40, 600)).astype("i2")
VALUES[:, 2:4, 5:9] = -9999
WAVELENGTHS = np.linspace(400, 1000, 7)
PLACE = (30.0, 0.0, 500000.0, 0.0, -30.0, 4.1e6)
CUBE = Cube.from_array(
    VALUES,
    wavelengths=WAVELENGTHS,
    fwhm=np.full(7, 9.5),
    good_bands=np.arange(7) != 3,
    nodata=-9999,
    scale=1e-4,
    affine=PLACE,
    pixel_size=(30.0, 30.0),
    crs="EPSG:32633",
    name="dunes",
)
TURNED = (26.0, 15.0, 500000.0, 15.0, -26.0, 4.1e6)


# --- ENVI ----------------------------------------------------------------------------------


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_envi_in_spy(interleave: str, dtype: str, tmp_path: Path) -> None:
    envi = pytest.importorskip("spectral.io.envi")
    values = np.abs(VALUES).astype(dtype)
    CUBE.replace(data=Cube.from_array(values).data).save(tmp_path / "x.hdr", interleave=interleave)
    # SPy closes its files when it is collected, and says so
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        image = envi.open(tmp_path / "x.hdr", tmp_path / "x.img")
        stored = np.array(image.open_memmap(interleave="bip"))
        np.testing.assert_array_equal(stored.transpose(2, 0, 1), values)
        assert stored.dtype == np.dtype(dtype)
        assert image.metadata["interleave"] == interleave
        np.testing.assert_allclose(image.bands.centers, WAVELENGTHS)
        np.testing.assert_allclose(image.bands.bandwidths, 9.5)
        assert image.bands.band_unit == "Nanometers"
        assert image.scale_factor == 10000
        assert [int(flag) for flag in image.metadata["bbl"]] == [1, 1, 1, 0, 1, 1, 1]
        del image


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:32733", "EPSG:4326", "EPSG:25832", "EPSG:3035", None])
@pytest.mark.parametrize("suffix", ["hdr", "tif"])
def test_place_in_rasterio(crs: str | None, suffix: str, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="GDAL comes with the extra geo")
    path = CUBE.replace(crs=crs).save(tmp_path / f"x.{suffix}").paths[0]
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(), VALUES)
        np.testing.assert_allclose(tuple(source.transform)[:6], PLACE)
        assert source.nodata == -9999
        if crs is not None:
            # two spellings of a system differ in names that mean the same
            assert source.crs.to_epsg(confidence_threshold=20) == int(
                crs[5:]
            ) or source.crs == rasterio.CRS.from_string(crs)


@pytest.mark.parametrize("suffix", ["hdr", "tif"])
def test_a_turned_image_in_rasterio(suffix: str, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="GDAL comes with the extra geo")
    size = float(np.hypot(26, 15))
    path = CUBE.replace(affine=TURNED, pixel_size=(size, size)).save(tmp_path / f"x.{suffix}").paths[0]
    with rasterio.open(path) as source:
        np.testing.assert_allclose(tuple(source.transform)[:6], TURNED, rtol=1e-9)


def test_tags_in_rasterio(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="GDAL comes with the extra geo")
    CUBE.replace(offset=0.25).save(tmp_path / "x.tif")
    with rasterio.open(tmp_path / "x.tif") as source:
        assert source.interleaving.value.lower() == "band"
        np.testing.assert_allclose(source.scales, 1e-4)
        np.testing.assert_allclose(source.offsets, 0.25)
        tags = [source.tags(band + 1) for band in range(7)]
        assert [float(tag["wavelength"]) for tag in tags] == WAVELENGTHS.tolist()
        assert {tag["wavelength_units"] for tag in tags} == {"Nanometers"}
        assert [tag["bbl"] for tag in tags] == list("1110111")


# --- TIFF ------------------------------------------------------------------------------------


def test_tiff_in_tifffile(tmp_path: Path) -> None:
    CUBE.save(tmp_path / "x.tif")
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        assert len(tiff.pages) == 1
        assert tiff.series[0].axes == "SYX"
        assert tiff.series[0].dataoffset is not None
        np.testing.assert_array_equal(tiff.asarray(), VALUES)


@pytest.mark.parametrize("shape", [(7, 40, 600), (1, 40, 600)])
def test_ome_tiff_in_tifffile(shape: tuple[int, int, int], tmp_path: Path) -> None:
    cube = CUBE.select(range(shape[0]))
    cube.save(tmp_path / "x.ome.tif")
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as tiff:
        assert tiff.is_ome
        assert len(tiff.pages) == shape[0]
        np.testing.assert_array_equal(tiff.asarray().reshape(shape), VALUES[: shape[0]])
        described = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    pixels = described["Pixels"]
    assert (pixels["SizeC"], pixels["SizeY"], pixels["SizeX"]) == shape
    assert described["Name"] == "dunes"
    channels = pixels["Channel"] if isinstance(pixels["Channel"], list) else [pixels["Channel"]]
    assert [channel["EmissionWavelength"] for channel in channels] == WAVELENGTHS[: shape[0]].tolist()


def test_a_large_tiff_has_large_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_specfusion.io.formats.tiff.writer._CLASSIC", 1000)
    CUBE.save(tmp_path / "x.tif")
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        assert tiff.is_bigtiff
        np.testing.assert_array_equal(tiff.asarray(), VALUES)


# --- NumPy and MATLAB -------------------------------------------------------------------------


def test_npz_in_numpy(tmp_path: Path) -> None:
    CUBE.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        assert archive.zip.testzip() is None
        np.testing.assert_array_equal(archive["data"], VALUES)
        np.testing.assert_array_equal(archive["wavelengths"], WAVELENGTHS)
        assert archive["nodata"] == -9999
        assert archive["crs"] == "EPSG:32633"


def test_mat_in_scipy(tmp_path: Path) -> None:
    from scipy.io import loadmat, whosmat

    CUBE.save(tmp_path / "x.mat")
    assert ("data", (40, 600, 7), "int16") in whosmat(tmp_path / "x.mat")
    held = loadmat(tmp_path / "x.mat")
    np.testing.assert_array_equal(held["data"], VALUES.transpose(1, 2, 0))
    np.testing.assert_array_equal(held["wavelengths"].ravel(), WAVELENGTHS)
    assert held["spectral_unit"].item() == "nm"


def test_large_mat_in_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 comes with the extra hdf")
    monkeypatch.setattr("napari_specfusion.io.formats.matlab.writer.LARGEST_V5", 1000)
    CUBE.save(tmp_path / "x.mat")
    head = (tmp_path / "x.mat").read_bytes()[:512]
    assert head.startswith(b"MATLAB 7.3 MAT-file") and head[124:128] == b"\x00\x02IM"
    with h5py.File(tmp_path / "x.mat") as file:
        np.testing.assert_array_equal(file["data"][()], VALUES.transpose(0, 2, 1))
        assert file["data"].attrs["MATLAB_class"] == b"int16"
        np.testing.assert_array_equal(file["wavelengths"][()].ravel(), WAVELENGTHS)
        assert bytes(file["spectral_unit"][()].astype("<u2")).decode("utf-16-le") == "nm"


# --- Zarr ----------------------------------------------------------------------------------------


def ome_image(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the image's metadata and those of its arrays, as plain JSON."""
    group = json.loads(
        (path / "zarr.json").read_text(encoding="utf-8"), parse_constant=lambda word: pytest.fail(f"{word} is no JSON")
    )
    assert (group["zarr_format"], group["node_type"], group["attributes"]["ome"]["version"]) == (3, "group", "0.5")
    [image] = group["attributes"]["ome"]["multiscales"]
    return image, [
        json.loads((path / entry["path"] / "zarr.json").read_text(encoding="utf-8")) for entry in image["datasets"]
    ]


def test_ome_zarr_as_its_specification_says(tmp_path: Path) -> None:
    CUBE.replace(nodata=float("nan")).save(tmp_path / "x.zarr")
    image, arrays = ome_image(tmp_path / "x.zarr")
    assert [(axis["name"], axis["type"]) for axis in image["axes"]] == [
        ("c", "channel"),
        ("y", "space"),
        ("x", "space"),
    ]
    assert [array["shape"] for array in arrays] == [[7, 40, 600], [7, 20, 300]]
    for array, entry, step in zip(arrays, image["datasets"], (1, 2), strict=True):
        assert array["dimension_names"] == ["c", "y", "x"]
        assert array["data_type"] == "int16"
        scale, move = entry["coordinateTransformations"]
        assert (scale["type"], scale["scale"]) == ("scale", [1, 30 * step, 30 * step])
        assert (move["type"], move["translation"]) == ("translation", [0, 15 * (step - 1), 15 * (step - 1)])


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_ome_zarr_has_few_files(interleave: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr

    values = np.random.default_rng(5).integers(0, 4000, (40, 700, 900)).astype("u2")
    header = Cube.from_array(values).save(tmp_path / "x.hdr", interleave=interleave).paths[-1]
    monkeypatch.setattr("napari_specfusion.memory.SAVED_BLOCK", 16 << 20)
    open_cube(header).save(tmp_path / "x.zarr")
    level = zarr.open_group(tmp_path / "x.zarr", mode="r")["0"]
    assert isinstance(level, zarr.Array)
    files = [path for path in (tmp_path / "x.zarr" / "0" / "c").rglob("*") if path.is_file()]
    # 50 MB in blocks of up to 16, most of them cut by the border
    assert len(files) <= 9 < level.nchunks / 3
    np.testing.assert_array_equal(level[:], values)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "u8", "f4", "f8"])
def test_ome_zarr_in_zarr(dtype: str, tmp_path: Path) -> None:
    import zarr

    values = np.abs(VALUES).astype(dtype)
    missing = values == values[0, 2, 5]
    assert missing[:, 2:4, 5:9].all()
    cube = Cube.from_array(values, nodata=float(values[0, 2, 5]))
    cube.save(tmp_path / "x.zarr")
    store = zarr.open_group(tmp_path / "x.zarr", mode="r")
    np.testing.assert_array_equal(store["0"][:], values)
    corners = np.where(missing, np.nan, values.astype("f8")).reshape(7, 20, 2, 300, 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")
        mean = np.nanmean(corners, axis=(2, 4))
    empty = np.isnan(mean)
    assert empty.any()
    halved = np.asarray(store["1"][:], "f8")
    assert (halved[empty] == cube.nodata).all()
    assert np.abs(halved - mean)[~empty].max() <= (0.5 if dtype[0] in "iu" else 1e-3)


@pytest.mark.parametrize("side", [(1025, 700), (600, 1031)])
@pytest.mark.parametrize("dtype", ["?", "u2", ">i2", "i8", "f4"])
def test_levels_are_means(side: tuple[int, int], dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr

    monkeypatch.setattr("napari_specfusion.memory.SAVED_BLOCK", 300_000)
    rng = np.random.default_rng(2)
    values = (
        rng.random((2, *side)).astype(dtype) if dtype == "f4" else rng.integers(0, 2 if dtype == "?" else 9, (2, *side))
    )
    Cube.from_array(values.astype(dtype)).save(tmp_path / "x.zarr")
    store = zarr.open_group(tmp_path / "x.zarr", mode="r")
    finer = np.asarray(store["0"][:])
    np.testing.assert_array_equal(finer, values.astype(dtype))
    for level in ("1", "2"):
        found = np.asarray(store[level][:])
        padded = np.pad(finer, [(0, 0), *((0, n % 2) for n in finer.shape[1:])], mode="edge").astype("f8")
        mean = padded.reshape(2, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2).mean(axis=(2, 4))
        assert found.shape == mean.shape
        if dtype == "?":
            np.testing.assert_array_equal(found, finer[:, ::2, ::2])
        else:
            assert np.abs(found - mean).max() <= (1e-6 if dtype == "f4" else 0.5)
        finer = found


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("block", [100_000, 500_000])
def test_levels_do_not_depend_on_the_blocks(
    interleave: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zarr

    # two groups of bands; in the smaller blocks, parts of the image share chunks of the coarsest level
    values = np.random.default_rng(3).integers(0, 65536, (20, 1031, 601)).astype("u2")
    header = Cube.from_array(values).save(tmp_path / "x.hdr", interleave=interleave).paths[-1]
    Cube.from_array(values).save(tmp_path / "whole.zarr")
    monkeypatch.setattr("napari_specfusion.memory.SAVED_BLOCK", block)
    open_cube(header).save(tmp_path / "blocks.zarr")
    whole, blocks = (zarr.open_group(tmp_path / f"{name}.zarr", mode="r") for name in ("whole", "blocks"))
    np.testing.assert_array_equal(blocks["0"][:], values)
    for level in ("1", "2"):
        np.testing.assert_array_equal(blocks[level][:], whole[level][:])


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_levels_of_the_largest_numbers(dtype: str, tmp_path: Path) -> None:
    import zarr

    # means with gaps are taken in floating point, which rounds up to what the type does not hold
    values = np.full((1, 1024, 1024), np.iinfo(dtype).max, dtype)
    values[0, ::2, ::2] = 0
    Cube.from_array(values, nodata=0).save(tmp_path / "x.zarr")
    level = np.asarray(zarr.open_group(tmp_path / "x.zarr", mode="r")["1"])
    assert np.all(level > 0.99 * np.iinfo(dtype).max)
