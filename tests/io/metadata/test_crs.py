"""Names and codes of reference systems."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_specfusion.io import open_cube
from napari_specfusion.io.metadata.crs import esri_wkt, named_system, wgs84_zone


@pytest.mark.parametrize(
    ("datum", "zone", "south", "code"),
    [
        ("WGS-84", None, False, "EPSG:4326"),
        ("WGS 84", 33, False, "EPSG:32633"),
        ("WGS-84", 60, True, "EPSG:32760"),
        ("WGS-84", 0, False, None),
        ("WGS-84", 61, False, None),
        ("somewhere", 33, False, None),
    ],
)
def test_wgs84_needs_no_package(
    datum: str, zone: int | None, south: bool, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyproj", None)
    notes: list[str] = []
    assert named_system(datum, zone, south, notes) == code
    assert notes == []


@pytest.mark.parametrize(
    ("datum", "zone", "south", "code"),
    [
        ("North America 1983", 11, False, "EPSG:26911"),
        # this zone lies apart from the others
        ("NAD83", 59, False, "EPSG:3372"),
        ("NAD83", 11, True, None),
        ("North America 1927", None, False, "EPSG:4267"),
        ("ETRS89", 32, False, "EPSG:25832"),
        ("ETRS89", 12, False, None),
        ("WGS-72", 10, True, "EPSG:32310"),
        ("European 1950", 32, False, "EPSG:23032"),
    ],
)
def test_others_come_from_proj(datum: str, zone: int | None, south: bool, code: str | None) -> None:
    pytest.importorskip("pyproj")
    assert named_system(datum, zone, south, []) == code


def test_zones_of_wgs84() -> None:
    assert wgs84_zone("EPSG:4326") == (0, False)
    assert wgs84_zone("epsg:32601") == (1, False)
    assert wgs84_zone("EPSG:32760") == (60, True)
    for other in (
        "EPSG:32600",
        "EPSG:32661",
        "EPSG:32700",
        "EPSG:32761",
        "EPSG:25832",
        "",
        "EPSG:",
        "EPSG:\u0663",
        "x",
    ):
        assert wgs84_zone(other) is None


def test_esri_s_words_mean_the_same_system() -> None:
    pyproj = pytest.importorskip("pyproj")
    for code in ("EPSG:25832", "EPSG:3035", "EPSG:4269"):
        text = esri_wkt(code)
        assert text is not None and "\n" not in text
        assert pyproj.CRS(text).to_epsg(min_confidence=20) == int(code[5:])
        assert esri_wkt(text) == text


@pytest.mark.parametrize("crs", ["Mars 2000", "local grid {1}, x", "EPSG:1", "PROJCS[", "EPSG:\ud800", ""])
def test_what_is_no_system_has_no_words(crs: str) -> None:
    assert esri_wkt(crs) is None


def test_an_image_opens_without_pyproj_and_tells_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.img").write_bytes(np.zeros(12, "u1").tobytes())
    lines = [
        "ENVI", "samples = 3", "lines = 2", "bands = 2", "data type = 1", "interleave = bsq",
        "map info = {UTM, 1, 1, 300000, 4000000, 30, 30, 11, North, North America 1983}",
    ]  # fmt: skip
    (tmp_path / "x.hdr").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "pyproj", None)
    cube = open_cube(tmp_path / "x.hdr")
    assert cube.crs is None
    assert cube.affine == (30, 0, 300000, 0, -30, 4000000)
    notes = " ".join(cube.metadata["notes"])
    assert "NAD83 / UTM zone 11N" in notes
    assert 'pip install "napari-specfusion[geo]"' in notes
