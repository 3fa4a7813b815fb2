"""TIFFs made to hang, to fill the memory or to lead elsewhere."""

from __future__ import annotations

import re
import signal
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 20
CUBE = np.arange(3 * 32 * 32, dtype=np.uint16).reshape(3, 32, 32)


@pytest.fixture(autouse=True)
def stopped_where_it_hangs() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")  # which would end as a ReadError of other words

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(path: Path) -> str:
    """Open a path, which must be refused, and return the words."""
    with pytest.raises(ReadError, match=re.escape(path.name)) as caught:
        open_cube(path).spectrum(0, 0)
    assert "TimeoutError" not in str(caught.value)
    return str(caught.value)


def page(order: str, big: bool, tags: list[tuple[int, int, int, int]], following: int) -> bytes:
    word = "Q" if big else "I"
    packed = b"".join(struct.pack(f"{order}HH{word}{word}", *tag) for tag in tags)
    return struct.pack(f"{order}{'Q' if big else 'H'}", len(tags)) + packed + struct.pack(f"{order}{word}", following)


def header(order: str, big: bool) -> bytes:
    name = b"II" if order == "<" else b"MM"
    return name + (struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("pages", [1, 2, 150])
def test_pages_in_a_circle(pages: int, order: str, big: bool, tmp_path: Path) -> None:
    data = header(order, big)
    first, length = len(data), len(page(order, big, [(256, 3, 1, 5)], 0))
    for number in range(pages):
        data += page(order, big, [(256, 3, 1, 5)], first + length * ((number + 1) % pages))
    (tmp_path / "a.tif").write_bytes(data + bytes(64))
    assert "form a loop" in refused(tmp_path / "a.tif")


def test_a_circle_through_the_header(tmp_path: Path) -> None:
    # a page of no tags at byte 6, behind which stands where the page of no tags at byte 256 begins, and back
    data = bytearray(512)
    data[:8] = b"II*\0" + struct.pack("<I", 256)
    data[258:262] = struct.pack("<I", 6)
    data[8:12] = struct.pack("<I", 256)
    (tmp_path / "a.tif").write_bytes(data)
    assert "form a loop" in refused(tmp_path / "a.tif")


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("cut", [1, 5, 12, 30])
def test_a_page_cut_short_whose_last_bytes_point_back(cut: int, big: bool, tmp_path: Path) -> None:
    data = header("<", big)
    last = len(data) + len(page("<", big, [(256, 3, 1, 5)], 0))
    data += page("<", big, [(256, 3, 1, 5)], last)
    data += (
        (page("<", big, [(256, 3, 1, 5)] * 3, 0)[:-cut])[: -8 if big else -4] + header("<", big)[-8 if big else -4 :]
    )
    (tmp_path / "a.tif").write_bytes(data)
    assert "ends inside the page" in refused(tmp_path / "a.tif")


@pytest.mark.parametrize("big", [False, True])
def test_pages_that_overlap(big: bool, tmp_path: Path) -> None:
    # each tag's place is the next page as well
    step, data = (8, bytearray(80_000)) if big else (4, bytearray(40_000))
    data[:16] = header("<", big).ljust(16, b"\0")
    kind = "<Q" if big else "<I"
    start = 16
    for at in range(start, len(data) - step, step):
        struct.pack_into(kind, data, at, at + step)
    if not big:
        struct.pack_into("<I", data, 4, start)
    (tmp_path / "a.tif").write_bytes(data)
    refused(tmp_path / "a.tif")


@pytest.mark.parametrize("big", [False, True])
def test_one_page_below_another_over_and_over(big: bool, tmp_path: Path) -> None:
    head = header("<", big)
    table = len(head) + len(page("<", big, [(330, 4, 9, 9)], 0))
    below = table + 4 * 60_000
    data = head + page("<", big, [(330, 4, 60_000, table)], 0) + struct.pack("<I", below) * 60_000
    data += page("<", big, [(256, 3, 1, 5), (257, 3, 1, 5)], 0)
    (tmp_path / "a.tif").write_bytes(data)
    assert "form a loop" in refused(tmp_path / "a.tif")


def test_values_told_over_and_over(tmp_path: Path) -> None:
    tags = [(60_000 + n, 4, 250_000, 60_000) for n in range(4000)]
    (tmp_path / "a.tif").write_bytes((header("<", False) + page("<", False, tags, 0)).ljust(1_100_000, b"\1"))
    assert "declare" in refused(tmp_path / "a.tif")


def test_fewer_strips_than_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, CUBE[0], compression="zlib", metadata=None, rowsperstrip=8)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["ImageLength"].overwrite(67_372_036)
    with pytest.raises(ReadError, match=r"a\.tif: a page has 4 strips or tiles, but its 67372036 x 32 pixels need"):
        open_cube(path)


OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="32" SizeY="32" SizeC="{c}" SizeZ="1" SizeT="1">
<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData {data}>{inside}</TiffData></Pixels></Image>{more}</OME>"""
MODULO = (
    '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="openmicroscopy.org/omero/dimension/modulo"><Value>'
    '<Modulo><ModuloAlongC Type="lambda" Start="0" End="1e12" Step="1"/></Modulo></Value></XMLAnnotation>'
    "</StructuredAnnotations>"
)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"c": 10**9}, "1000000000 planes"),
        ({"data": 'IFD="0" PlaneCount="4000000000"'}, "4000000000 planes"),
        ({"data": 'IFD="0" PlaneCount="many"'}, "'many'"),
        ({"data": 'FirstC="2000000000" PlaneCount="1"'}, "planes"),
        ({"more": MODULO}, "steps from"),
        ({"inside": '<UUID FileName="../b.tif">urn:uuid:1</UUID>'}, "outside its folder"),
        ({"inside": '<UUID FileName="link.tif">urn:uuid:1</UUID>'}, "out of the folder"),
        ({"inside": '<UUID FileName="circle.tif">urn:uuid:1</UUID>'}, "form a loop"),
    ],
)
def test_hostile_ome(fields: dict[str, Any], words: str, tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "b.tif", CUBE, photometric="minisblack")
    if "link.tif" in fields.get("inside", ""):
        link(folder / "link.tif", tmp_path / "b.tif")
    (folder / "circle.tif").write_bytes(header("<", False) + page("<", False, [(256, 3, 1, 5)], 8) + bytes(64))
    text = OME.format(**({"c": 3, "data": 'IFD="0" PlaneCount="3"', "inside": "", "more": ""} | fields))
    tifffile.imwrite(folder / "a.ome.tif", CUBE, photometric="minisblack", metadata=None, description=text)
    with pytest.raises(ReadError, match=words):
        open_cube(folder / "a.ome.tif")


def test_ome_over_several_files(tmp_path: Path) -> None:
    names = [f"c{number}.ome.tif" for number in range(3)]
    told = "".join(
        f'<TiffData FirstC="{n}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{n}</UUID></TiffData>'
        for n, name in enumerate(names)
    )
    text = OME.format(c=3, data="", inside="", more="").replace("<TiffData ></TiffData>", told)
    for number, name in enumerate(names):
        own = text.replace("<OME ", f'<OME UUID="urn:uuid:{number}" ')
        tifffile.imwrite(tmp_path / name, CUBE[number], photometric="minisblack", metadata=None, description=own)
    np.testing.assert_array_equal(open_cube(tmp_path / names[0]).data.compute(), CUBE)


# --- pictures inside of tiles -------------------------------------------------------------

PICTURES = {
    "jpeg": lambda a: imagecodecs.jpeg8_encode(a),
    "jpeg2000": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k"),
    "jpeg2000 in boxes": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="jp2"),
    "jpegxl": lambda a: imagecodecs.jpegxl_encode(a),
    "jpegxl in boxes": lambda a: imagecodecs.jpegxl_encode(a, usecontainer=True),
    "png": lambda a: imagecodecs.png_encode(a),
}
REFUSED = {
    "LERC": ((34887,), lambda a: imagecodecs.lerc_encode(a)),
    "WebP": ((50001, 34927), lambda a: imagecodecs.webp_encode(a)),
    "JPEG XR": ((34934, 22610), lambda a: imagecodecs.jpegxr_encode(a)),
}
CODES = {"jpeg": 7, "jpeg2000": 34712, "jpegxl": 50002, "png": 34933}


def tile_of(path: Path, picture: bytes, code: int, samples: int) -> Path:
    """Write a TIFF with one tile, 32 x 32, that holds `picture`."""
    bits = [(258, 3, 1, 8)] if samples == 1 else []
    tags = [
        (256, 3, 1, 32), (257, 3, 1, 32), *bits, (259, 3, 1, code), (262, 3, 1, 1 if samples == 1 else 2),
        (277, 3, 1, samples), (322, 3, 1, 32), (323, 3, 1, 32), (324, 4, 1, 512), (325, 4, 1, len(picture)),
    ]  # fmt: skip
    data = header("<", False)
    if samples == 3:
        tags.insert(2, (258, 3, 3, 400))
    data = (data + page("<", False, tags, 0)).ljust(400, b"\0") + struct.pack("<HHH", 8, 8, 8)
    path.write_bytes(data.ljust(512, b"\0") + picture)
    return path


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("samples", [1, 3])
def test_tiles_that_are_pictures(kind: str, samples: int, tmp_path: Path) -> None:
    values = np.full((32, 32) if samples == 1 else (32, 32, 3), 90, np.uint8)
    path = tile_of(tmp_path / "a.tif", PICTURES[kind](values), CODES[kind.split()[0]], samples)
    np.testing.assert_allclose(open_cube(path).spectrum(3, 5), [90] * samples, atol=3)


@pytest.mark.parametrize("kind", PICTURES)
def test_tiles_that_hold_far_larger_pictures(kind: str, tmp_path: Path) -> None:
    values = np.zeros((1500, 1200, 3), np.uint8)
    path = tile_of(tmp_path / "a.tif", PICTURES[kind](values), CODES[kind.split()[0]], 3)
    cube = open_cube(path)
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match="1500 x 1200"):
            cube.spectrum(3, 5)
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, (codes, _) in REFUSED.items() for code in codes])
def test_tiles_that_only_gdal_unpacks(name: str, code: int, tmp_path: Path) -> None:
    picture = REFUSED[name][1](np.full((32, 32, 3), 90, np.uint8))
    for number in (1, 2):
        tile_of(tmp_path / f"{number}.tif", picture, code, 3)
    with pytest.raises(ReadError, match=f"{name}.*reader='gdal'"):
        open_cube(tmp_path / "1.tif")
    with pytest.raises(ReadError, match=f"{name}.*reader='gdal'"):
        open_cube(tmp_path).spectrum(0, 0)


@pytest.mark.parametrize("name", ["LERC", "WebP"])
def test_gdal_unpacks_what_the_reader_of_tiff_does_not(name: str, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": 32,
        "height": 32,
        "count": 3,
        "dtype": "uint8",
        "compress": name.upper(),
    }
    profile["transform"] = rasterio.Affine(2, 0, 5, 0, -2, 6)
    extra = {"WEBP_LOSSLESS": True, "interleave": "pixel"} if name == "WebP" else {}
    values = np.arange(3 * 32 * 32).reshape(3, 32, 32).astype("u1")
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **extra) as file:
        file.write(values)
    with pytest.raises(ReadError, match=f"{name}.*reader='gdal'"):
        open_cube(tmp_path / "a.tif")
    np.testing.assert_array_equal(open_cube(tmp_path / "a.tif", reader="gdal").data, values)


def test_jpegxl_of_many_channels(tmp_path: Path) -> None:
    values = np.zeros((256, 32, 32), np.uint8)
    picture = imagecodecs.jpegxl_encode(values, planar=True, photometric="gray")
    path = tile_of(tmp_path / "a.tif", picture, CODES["jpegxl"], 1)
    with pytest.raises(ReadError, match="32 x 32 x 256"):
        open_cube(path).spectrum(0, 0)


@pytest.mark.parametrize("kind", PICTURES)
def test_tiles_cut_short(kind: str, tmp_path: Path) -> None:
    picture = PICTURES[kind](np.full((32, 32, 3), 90, np.uint8))
    for length in (1, 5, 11, 14, 20):
        path = tile_of(tmp_path / "a.tif", picture[:length], CODES[kind.split()[0]], 3)
        with pytest.raises(ReadError, match=r"a\.tif"):
            open_cube(path).spectrum(3, 5)


def test_pictures_of_a_folder_that_hold_far_larger_ones(tmp_path: Path) -> None:
    picture = PICTURES["jpegxl"](np.zeros((1500, 1200, 3), np.uint8))
    for number in (1, 2):
        tile_of(tmp_path / f"{number}.tif", picture, CODES["jpegxl"], 3)
    with pytest.raises(ReadError, match="1500 x 1200"):
        open_cube(tmp_path).spectrum(0, 0)


def test_depth_of_tiles_that_hold_far_larger_pictures(tmp_path: Path) -> None:
    picture = PICTURES["png"](np.zeros((1500, 1200), np.uint8))
    tags = [
        (256, 3, 1, 32), (257, 3, 1, 32), (258, 3, 1, 8), (259, 3, 1, CODES["png"]), (262, 3, 1, 1), (277, 3, 1, 1),
        (322, 3, 1, 32), (323, 3, 1, 32), (324, 4, 1, 512), (325, 4, 1, len(picture)), (32997, 4, 1, 2),
        (32998, 4, 1, 2),
    ]  # fmt: skip
    data = (header("<", False) + page("<", False, tags, 0)).ljust(512, b"\0")
    (tmp_path / "a.tif").write_bytes(data + picture)
    assert "1500 x 1200" in refused(tmp_path / "a.tif")
