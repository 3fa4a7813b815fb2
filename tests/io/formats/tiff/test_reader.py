"""TIFF: where the bands lie, how the pixels are packed, what the tags say."""

from __future__ import annotations

import itertools
import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

if TYPE_CHECKING:
    from pathlib import Path

Values = NDArray[np.uint16]
BANDS, HEIGHT, WIDTH = 5, 50, 70


@pytest.fixture
def stack() -> Values:
    return np.random.default_rng(3).integers(0, 60000, (BANDS, HEIGHT, WIDTH)).astype(np.uint16)


def same(path: Path, values: NDArray[Any], **options: Any) -> None:
    cube = open_cube(path, **options)
    assert cube.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(cube.data.compute(), values)
    np.testing.assert_array_equal(cube.read(slice(3, 40), slice(20, 69)), values[:, 3:40, 20:69])
    np.testing.assert_array_equal(cube.spectrum(47, 33), values[:, 47, 33])


@pytest.mark.parametrize(
    ("layout", "compression", "packing", "order"),
    list(
        itertools.product(
            ["pages", "planar", "contig"], [None, "zlib", "lzw"], [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}], "<>"
        )
    ),
)
def test_packings(
    layout: str, compression: str | None, packing: dict[str, Any], order: str, stack: Values, tmp_path: Path
) -> None:
    keywords: dict[str, Any] = {"photometric": "minisblack", "compression": compression, "byteorder": order, **packing}
    data = stack
    if layout == "planar":
        keywords["planarconfig"] = "separate"
    elif layout == "contig":
        data, keywords["planarconfig"] = stack.transpose(1, 2, 0), "contig"
    tifffile.imwrite(tmp_path / "s.tif", data, metadata=None if layout != "pages" else {}, **keywords)
    same(tmp_path / "s.tif", stack)


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_types(dtype: str, predictor: bool, stack: Values, tmp_path: Path) -> None:
    values = (stack % 200).astype(dtype)
    tifffile.imwrite(
        tmp_path / "s.tif", values, photometric="minisblack", compression="zlib", predictor=predictor, metadata=None
    )
    same(tmp_path / "s.tif", values)


def test_imagej_with_wavelengths_in_its_labels(stack: Values, tmp_path: Path) -> None:
    labels = [f"scene {400 + 10 * i} nm" for i in range(BANDS)]
    tifffile.imwrite(tmp_path / "s.tif", stack, imagej=True, metadata={"axes": "CYX", "Labels": labels})
    same(tmp_path / "s.tif", stack)
    np.testing.assert_allclose(open_cube(tmp_path / "s.tif").wavelengths, 400 + 10 * np.arange(BANDS))


def test_ome(stack: Values, tmp_path: Path) -> None:
    channel = {"EmissionWavelength": [500.0, 510.0, 520.0, 530.0, 540.0], "EmissionWavelengthUnit": ["nm"] * BANDS}
    tifffile.imwrite(tmp_path / "s.ome.tif", stack[None], metadata={"axes": "TCYX", "Channel": channel})
    same(tmp_path / "s.ome.tif", stack)
    np.testing.assert_allclose(open_cube(tmp_path / "s.ome.tif").wavelengths, [500, 510, 520, 530, 540])


def test_one_band_and_colours(stack: Values, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "grey.tif", stack[0])
    same(tmp_path / "grey.tif", stack[:1])
    tifffile.imwrite(tmp_path / "rgb.tif", stack[:3].transpose(1, 2, 0), photometric="rgb")
    same(tmp_path / "rgb.tif", stack[:3])
    tifffile.imwrite(
        tmp_path / "rgba.tif", stack[:4].transpose(1, 2, 0), photometric="rgb", extrasamples=["unassalpha"]
    )
    same(tmp_path / "rgba.tif", stack[:3])


def test_printing_colours_are_four_bands(stack: Values, tmp_path: Path) -> None:
    colours = (stack[:4] % 256).astype(np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", colours.transpose(1, 2, 0), photometric="separated", planarconfig="contig")
    same(tmp_path / "s.tif", colours)


def test_wavelengths_find_the_band_axis(stack: Values, tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    description = {"wavelength_nm": list(range(400, 400 + BANDS)), "full_scale": 65535}
    tifffile.imwrite(path, stack.transpose(1, 2, 0), photometric="minisblack", metadata=description)
    cube = open_cube(path)
    assert cube.shape == stack.shape
    assert cube.scale == pytest.approx(1 / 65535)
    np.testing.assert_array_equal(cube.data.compute(), stack)
    tifffile.imwrite(path, stack.transpose(1, 2, 0), photometric="minisblack", compression="zlib")
    assert open_cube(path).shape == (HEIGHT, WIDTH, BANDS)
    same(path, stack, band_axis=-1)
    same(path, stack, wavelengths=range(BANDS))
    with pytest.raises(ReadError, match="band_axis=3 is not an axis"):
        open_cube(path, band_axis=3)


def gdal(items: str) -> tuple[int, int, int, str, bool]:
    xml = f"<GDALMetadata>{items}</GDALMetadata>"
    return (42112, 2, len(xml) + 1, xml, True)


def test_gdal_tags(stack: Values, tmp_path: Path) -> None:
    per_band = "".join(
        f'<Item name="wavelength" sample="{i}">{(900 - 100 * i) / 1000}</Item>'
        f'<Item name="wavelength_units" sample="{i}">Micrometers</Item><Item name="fwhm" sample="{i}">0.0{i + 1}</Item>'
        f'<Item name="bbl" sample="{i}">{int(i != 2)}</Item>'
        f'<Item name="SCALE" sample="{i}" role="scale">{i + 1}</Item>'
        for i in range(BANDS)
    )
    keys = (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        gdal(per_band),
        (42113, 2, 6, "65535", True),
        (33550, 12, 3, (30.0, 20.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", planarconfig="separate", metadata=None, extratags=tags)
    cube = open_cube(path)
    np.testing.assert_allclose(cube.wavelengths, [500, 600, 700, 800, 900])
    np.testing.assert_allclose(cube.fwhm, [50, 40, 30, 20, 10])
    np.testing.assert_array_equal(cube.good, [True, True, False, True, True])
    np.testing.assert_allclose(cube.scale, [5, 4, 3, 2, 1])
    assert cube.nodata == 65535
    assert cube.affine == (30, 0, 1000, 0, -20, 2000)
    assert cube.pixel_size == (20, 30)
    assert cube.crs == "EPSG:32633"
    np.testing.assert_array_equal(cube.data.compute(), stack[::-1])


def test_band_items_and_point_pixels(stack: Values, tmp_path: Path) -> None:
    items = "".join(f'<Item name="Band_{i + 1}">{400 + i} Nanometers</Item>' for i in range(BANDS))
    keys = (1, 1, 0, 2, 1025, 0, 1, 2, 2048, 0, 1, 4326)
    transform = (2.0, 0, 0, 10, 0, -2.0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 1)
    tags = [
        gdal(items + '<Item name="BAD_BANDS">1,1,0,1,1</Item>'),
        (34264, 12, 16, tuple(map(float, transform)), True),
        (34735, 3, len(keys), keys, True),
    ]
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", planarconfig="separate", metadata=None, extratags=tags)
    cube = open_cube(path)
    np.testing.assert_allclose(cube.wavelengths, 400 + np.arange(BANDS))
    assert cube.good.sum() == 4
    assert cube.affine == (2, 0, 9, 0, -2, 21)
    assert cube.crs == "EPSG:4326"


@pytest.mark.parametrize(
    "xml",
    [
        "<GDALMetadata><Item",
        "no xml",
        '<a><Item sample="-1" name="wavelength">x</Item></a>',
        '<a><Item sample="99999999999999999999" name="wavelength">1</Item></a>',
        "<a>" * 100_000,
    ],
    ids=["cut", "text", "negative", "huge", "deep"],
)
def test_damaged_metadata_do_no_harm(xml: str, stack: Values, tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tags = [(42112, 2, len(xml) + 1, xml, True), (42113, 2, 6, "-3e38", True)]
    tifffile.imwrite(path, stack, photometric="minisblack", metadata=None, extratags=tags)
    cube = open_cube(path)
    assert cube.wavelengths is None
    assert cube.nodata is None


STYLES = {
    "ENVI domain": '<Item name="wavelength" domain="ENVI">{0.40, 0.41, 0.42, 0.43, 0.44}</Item>'
    '<Item name="fwhm" domain="ENVI">{0.01, 0.01, 0.01, 0.01, 0.01}</Item>'
    '<Item name="wavelength_units" domain="ENVI">Micrometers</Item><Item name="bbl" domain="ENVI">{1,1,0,1,1}</Item>',
    "IMAGERY domain": "".join(
        f'<Item name="CENTRAL_WAVELENGTH_UM" sample="{i}" domain="IMAGERY">{0.4 + 0.01 * i:.2f}</Item>'
        f'<Item name="FWHM_UM" sample="{i}" domain="IMAGERY">0.01</Item>'
        for i in range(BANDS)
    ),
    "one list in nm": '<Item name="wavelengths_nm">400, 410, 420, 430, 440</Item>'
    '<Item name="fwhm">10 10 10 10 10</Item>',
    "descriptions": "".join(
        f'<Item name="DESCRIPTION" sample="{i}" role="description">band {i + 1} ({400 + 10 * i}.0 Nanometers)</Item>'
        for i in range(BANDS)
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_styles_of_wavelengths(style: str, stack: Values, tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", metadata=None, extratags=[gdal(STYLES[style])])
    cube = open_cube(path)
    np.testing.assert_allclose(cube.wavelengths, 400 + 10 * np.arange(BANDS))
    assert cube.spectral_unit == "nm"
    if style == "descriptions":
        assert cube.fwhm is None
    else:
        np.testing.assert_allclose(cube.fwhm, 10)
    assert cube.good.sum() == (4 if "bbl" in STYLES[style] else 5)


@pytest.mark.parametrize(
    ("unit", "want", "kind"),
    [({"wavelength_units": "cm-1"}, 1, "cm-1"), ({"wavelength_unit": "um"}, 1000, "nm"), ({}, 1, "nm")],
    ids=["Raman", "micrometres", "by size"],
)
def test_units_in_a_json_description(
    unit: dict[str, str], want: float, kind: str, stack: Values, tmp_path: Path
) -> None:
    centres = [500.0, 600, 700, 900, 1800]
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", metadata={"wavelengths": centres} | unit)
    cube = open_cube(tmp_path / "s.tif")
    assert cube.spectral_unit == kind
    np.testing.assert_allclose(cube.wavelengths, np.multiply(centres, want))


@pytest.mark.parametrize(
    ("keys", "system"),
    [
        ((1024, 0, 1, 2, 2048, 0, 1, 4326), "EPSG:4326"),
        ((1024, 0, 1, 1, 2048, 0, 1, 4326, 3072, 0, 1, 32633), "EPSG:32633"),
        ((1024, 0, 1, 1, 2048, 0, 1, 4326, 3072, 0, 1, 32767), None),
        ((1024, 0, 1, 1, 2048, 0, 1, 4326, 3074, 0, 1, 32767), None),
    ],
    ids=["degrees", "projected", "own projection", "no projected key"],
)
def test_reference_systems(keys: tuple[int, ...], system: str | None, stack: Values, tmp_path: Path) -> None:
    header = (1, 1, 0, len(keys) // 4)
    tags = [
        (33550, 12, 3, (30.0, 20.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0), True),
        (34735, 3, len(header + keys), header + keys, True),
    ]
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", metadata=None, extratags=tags)
    cube = open_cube(tmp_path / "s.tif")
    assert cube.crs == system
    assert cube.affine == (30, 0, 1000, 0, -20, 2000)
    assert any("no EPSG code" in note for note in cube.metadata["notes"]) == (system is None)


def test_raman_shifts(stack: Values, tmp_path: Path) -> None:
    items = "".join(f'<Item name="Band_{i + 1}">{1000 + i} cm-1</Item>' for i in range(BANDS))
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", metadata=None, extratags=[gdal(items)])
    cube = open_cube(tmp_path / "s.tif")
    assert cube.spectral_unit == "cm-1"
    np.testing.assert_allclose(cube.wavelengths, 1000 + np.arange(BANDS))


def test_some_bands_without_wavelength(stack: Values, tmp_path: Path) -> None:
    xml = gdal('<Item name="wavelength" sample="0">400</Item><Item name="wavelength" sample="3">500</Item>')
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", metadata=None, extratags=[xml])
    cube = open_cube(tmp_path / "s.tif")
    assert cube.wavelengths is None
    assert cube.metadata["notes"] == ("wavelengths were left out: only 2 of 5 bands have one",)


@pytest.mark.parametrize("place", ["GDAL", "OME"])
def test_entities_are_not_expanded(place: str, stack: Values, tmp_path: Path) -> None:
    lines = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
    bomb = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY e0 "x">{lines}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    path = tmp_path / "s.tif"
    if place == "GDAL":
        xml = f'{bomb}<GDALMetadata><Item name="a">&e9;&f;</Item></GDALMetadata>'
        tags = [(42112, 2, len(xml) + 1, xml, True)]
        tifffile.imwrite(path, stack, photometric="minisblack", metadata=None, extratags=tags)
    else:
        xml = f'{bomb}<OME xmlns="o"><Image><Channel EmissionWavelength="&e9;"/></Image></OME>'
        tifffile.imwrite(path, stack, photometric="minisblack", metadata=None, description=xml)
    cube = open_cube(path)
    assert cube.wavelengths is None
    assert cube.metadata["gdal"] == {}


def test_fill_value_is_not_logged(stack: Values, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(
        path, stack[0].astype("f4"), compression="zlib", metadata=None, extratags=[(42113, 2, 9, "-3.4e+38", True)]
    )
    with caplog.at_level(logging.WARNING):
        cube = open_cube(path)
        cube.spectrum(0, 0)
    assert cube.nodata == -3.4e38
    assert not caplog.records


def test_too_many_axes(stack: Values, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", np.stack([stack, stack]), photometric="minisblack")
    with pytest.raises(ReadError, match=r"\(2, 5, 50, 70\); a cube has two image axes and one band axis"):
        open_cube(tmp_path / "s.tif")


def test_series(stack: Values, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        writer.write(stack[0, :10, :10])
        writer.write(stack, photometric="minisblack")
    same(tmp_path / "s.tif", stack)
    assert open_cube(tmp_path / "s.tif", series=0).shape == (1, 10, 10)
    with pytest.raises(ReadError, match="series=2 must be from 0 to 1"):
        open_cube(tmp_path / "s.tif", series=2)


def test_levels_below_each_page(stack: Values, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.ome.tif") as writer:
        packing: dict[str, Any] = {"tile": (16, 16), "photometric": "minisblack"}
        writer.write(stack, subifds=2, metadata={"axes": "CYX"}, **packing)
        for step in (2, 4):
            writer.write(stack[:, ::step, ::step], subfiletype=1, **packing)
    same(tmp_path / "s.ome.tif", stack)


def test_a_mask_is_no_second_image(stack: Values, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        writer.write(stack[0], metadata=None)
        writer.write(stack[0] > 9, metadata=None, subfiletype=4)
    same(tmp_path / "s.tif", stack[:1])
    assert not open_cube(tmp_path / "s.tif").metadata["notes"]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("metadata", [{}, None])
def test_pages_written_one_by_one_are_bands(
    compression: str | None, metadata: dict[str, Any] | None, stack: Values, tmp_path: Path
) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        for plane in stack:
            writer.write(plane, compression=compression, metadata=metadata)
    same(tmp_path / "s.tif", stack)
    notes = open_cube(tmp_path / "s.tif").metadata["notes"]
    assert notes == (
        ()
        if metadata is None
        else (f"its {BANDS} pages were written one by one and were read as the bands of one image",)
    )


def test_one_of_several_alike_is_told(stack: Values, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        for _ in range(2):
            writer.write(stack, photometric="minisblack")
    cube = open_cube(tmp_path / "s.tif")
    np.testing.assert_array_equal(cube.data.compute(), stack)
    assert cube.metadata["notes"] == ("the file holds 2 images of this shape; series=0 was opened",)
    assert not open_cube(tmp_path / "s.tif", series=1).metadata["notes"]


@pytest.mark.parametrize("name", ["s.tfw", "s.TFW", "s.tifw", "s.wld"])
def test_world_files(name: str, stack: Values, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    (tmp_path / name).write_text("2.0\n0.5\n0.25\n-3.0\n101.0\n198.5\n", encoding="utf-8")
    cube = open_cube(tmp_path / "s.tif")
    assert cube.affine == pytest.approx((2, 0.25, 101 - 1.125, 0.5, -3, 198.5 + 1.25))
    for broken in ("2.0\n0.5", "1\n1\n1\n1\n0\n0", "a\nb\nc\nd\ne\nf", "nan\n0\n0\n1\n0\n0"):
        (tmp_path / name).write_text(broken, encoding="utf-8")
        assert open_cube(tmp_path / "s.tif").affine is None


def test_world_files_as_gdal_reads_them(stack: Values, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    turn = rasterio.Affine(2, 0.25, 100, 0.5, -3, 200)
    profile = {"width": 5, "height": 4, "count": 1, "dtype": "uint8", "TFW": "YES", "PROFILE": "BASELINE"}
    with rasterio.open(tmp_path / "s.tif", "w", transform=turn, **profile) as file:
        file.write(np.zeros((1, 4, 5), "u1"))
    assert open_cube(tmp_path / "s.tif").affine == pytest.approx(tuple(turn)[:6])


@pytest.mark.parametrize("unit", ["cm\u22121", "cm^{-1}", "$cm^{-1}$", "cm\u207b\u00b9", "1/cm"])
def test_wavenumbers_however_they_are_written(unit: str, stack: Values, tmp_path: Path) -> None:
    words = json.dumps({"wavelengths": np.linspace(500, 1800, BANDS).tolist(), "wavelength_units": unit})
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", description=words, metadata=None)
    assert open_cube(tmp_path / "s.tif").spectral_unit == "cm-1"


def test_a_unit_that_was_guessed_is_told(stack: Values, tmp_path: Path) -> None:
    words = json.dumps({"wavelengths": np.linspace(0.4, 0.9, BANDS).tolist()})
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", description=words, metadata=None)
    cube = open_cube(tmp_path / "s.tif")
    assert cube.wavelengths is not None and cube.wavelengths[-1] == pytest.approx(900)
    assert "read as micrometres" in cube.metadata["notes"][0]


def test_complex(stack: Values, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", stack.astype("c8"), photometric="minisblack")
    with pytest.raises(ReadError, match="complex"):
        open_cube(tmp_path / "s.tif")


def test_missing_codec_names_the_remedy(stack: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def __getitem__(self, key: int) -> None:
            raise KeyError(key)

    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", compression="zlib")
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", Nothing())
    with pytest.raises(ReadError, match="pip install imagecodecs"):
        open_cube(tmp_path / "s.tif")


def test_gamma_is_told_and_undone_on_request(tmp_path: Path) -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3) * 4
    tifffile.imwrite(tmp_path / "rgb.tif", picture, photometric="rgb")
    assert open_cube(tmp_path / "rgb.tif").metadata["transfer"] == "sRGB"
    light = open_cube(tmp_path / "rgb.tif", linear=True)
    assert light.metadata["transfer"] == "linear"
    np.testing.assert_allclose(light.spectrum(3, 3)[0], ((picture[3, 3, 0] / 255 + 0.055) / 1.055) ** 2.4, rtol=1e-6)
    np.testing.assert_array_equal(light.data.compute(), light.read())
    tifffile.imwrite(tmp_path / "f.tif", picture.astype("f4"), photometric="rgb")
    assert "transfer" not in open_cube(tmp_path / "f.tif").metadata
    with pytest.raises(ReadError, match="float32 values; linear=True undoes"):
        open_cube(tmp_path / "f.tif", linear=True)


@pytest.mark.parametrize("tags", [{"ImageWidth": 60_000, "ImageLength": 60_000, "RowsPerStrip": 60_000}])
def test_claims_without_pixels(tags: dict[str, int], stack: Values, tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack[0].repeat(2, 0), compression="zlib", metadata=None, rowsperstrip=100)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name, value in tags.items():
            tiff.pages.first.tags[name].overwrite(value)
    with pytest.raises(ReadError, match=r"s\.tif"):
        open_cube(path).spectrum(0, 0)
