"""ENVI's 'map info': places, turns and reference systems, against GDAL and a real scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_specfusion.data.cube import Cube
from napari_specfusion.io import open_cube
from napari_specfusion.io.formats.envi.map_info import map_fields

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "ENVI\nsamples = 5\nlines = 4\nbands = 1\ndata type = 1\ninterleave = bsq\nbyte order = 0\n"


def place(info: str, **more: str) -> dict[str, object]:
    notes: list[str] = []
    fields = map_fields({"map info": info} | {key.replace("_", " "): value for key, value in more.items()}, notes)
    return fields | {"notes": notes}


def test_reference_pixel_counts_from_one_at_the_corner() -> None:
    found = place("UTM, 2, 1, 1000, 2000, 30, 20, 33, North, WGS-84, units=Meters")
    assert found["affine"] == pytest.approx((30, 0, 970, 0, -20, 2000))
    assert found["pixel_size"] == (20, 30)
    assert found["crs"] == "EPSG:32633"


@pytest.mark.parametrize(
    "info",
    [
        "UTM, 1, 1, 395591.275, 3778292.25, 2, 2, 11, North, WGS-84, rotation=-2",
        "UTM, 1, 1, 1000, 2000, 30, 30, 33, South, WGS-84, units=Meters, rotation=30",
        "Geographic Lat/Lon, 1.5, 1.5, 10, 50, 0.1, 0.2, WGS-84, units=Degrees",
        "UTM, 1, 1, 1000, 2000, 30, -20, 33, North, WGS-84, units=Meters",
        "UTM, 3, 2, 1000, 2000, 30, 20, 11, North, North America 1983, units=Meters",
        "UTM, 3, 2, 1000, 2000, 30, 20, 60, South, WGS-84",
        "Arbitrary, 1, 1, 0, 0, 2, 2, 0, North, rotation=90",
    ],
)
def test_as_gdal_reads_it(info: str, tmp_path: Path) -> None:
    # GDAL leaves the turn out of a reference pixel that is not the first, and mixes the sizes of turned oblong
    # pixels: such cases are tested below.
    import rasterio

    (tmp_path / "scene.img").write_bytes(bytes(20))
    (tmp_path / "scene.hdr").write_text(f"{HEADER}map info = {{{info}}}\n", encoding="utf-8")
    cube = open_cube(tmp_path / "scene.hdr")
    with rasterio.open(tmp_path / "scene.img") as there:
        assert cube.affine == pytest.approx(tuple(there.transform)[:6])
        if cube.crs is not None:
            # GDAL builds some systems by hand; what they call themselves is then no code
            code = there.crs.to_epsg(confidence_threshold=20)
            assert code is None or cube.crs == f"EPSG:{code}"


def test_turn_agrees_with_a_north_up_copy_of_the_same_scene(data_dir: Path) -> None:
    import rasterio
    from rasterio.transform import Affine
    from rasterio.warp import reproject

    folder = data_dir / "formats" / "wiser"
    cube = open_cube(folder / "caltech_4_100_150_nm.hdr")
    assert cube.affine is not None
    with rasterio.open(folder / "caltech_4_100_150_nm_epsg4087.tif") as there:
        upright, transform, system = there.read(1), there.transform, there.crs
    warped = np.full(upright.shape, np.nan, np.float32)
    reproject(
        cube.read()[0],
        warped,
        src_transform=Affine(*cube.affine),
        src_crs="EPSG:32611",
        dst_transform=transform,
        dst_crs=system,
        dst_nodata=np.nan,
    )
    both = np.isfinite(warped) & (upright > 0)
    assert both.sum() > 20_000
    # turned the other way it is 0.51
    assert np.corrcoef(warped[both], upright[both])[0, 1] > 0.98


def corner(affine: tuple[float, ...], x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = affine
    return a * x + b * y + c, d * x + e * y + f


@given(
    turn=st.floats(-360, 360),
    column=st.floats(-500, 500),
    row=st.floats(-500, 500),
    width=st.floats(0.1, 100),
    height=st.floats(0.1, 100),
)
def test_any_turn_keeps_the_reference_pixel_sizes_and_right_angle(
    turn: float, column: float, row: float, width: float, height: float
) -> None:
    found = place(f"UTM, {column}, {row}, 1000, 2000, {width}, {height}, 33, North, WGS-84, rotation={turn}")
    affine = found["affine"]
    assert isinstance(affine, tuple)
    assert corner(affine, column - 1, row - 1) == pytest.approx((1000, 2000), abs=1e-6)
    a, b, _, d, e, _ = affine
    assert (math.hypot(b, e), math.hypot(a, d)) == pytest.approx((height, width))
    assert a * b + d * e == pytest.approx(0, abs=1e-6)
    # x' runs counter-clockwise from east by the turn
    assert math.atan2(d, a) == pytest.approx(math.remainder(math.radians(turn), math.tau), abs=1e-6) or abs(
        abs(math.atan2(d, a)) - math.pi
    ) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ("UTM, 1, 1, 0, 0, 1, 1, 33, North, WGS-84", "EPSG:32633"),
        ("UTM, 1, 1, 0, 0, 1, 1, 7, South, WGS 84", "EPSG:32707"),
        ("UTM, 1, 1, 0, 0, 1, 1, 11, North, North America 1983", "EPSG:26911"),
        ("UTM, 1, 1, 0, 0, 1, 1, 11, South, NAD83", None),
        ("UTM, 1, 1, 0, 0, 1, 1, 32, North, ETRS89", "EPSG:25832"),
        ("UTM, 1, 1, 0, 0, 1, 1, 61, North, WGS-84", None),
        ("UTM, 1, 1, 0, 0, 1, 1, 33.5, North, WGS-84", None),
        ("UTM, 1, 1, 0, 0, 1, 1, 33, North, Pulkovo 1942", None),
        ("Geographic Lat/Lon, 1, 1, 0, 0, 1, 1, WGS-84, units=Degrees", "EPSG:4326"),
        ("Geographic Lat/Lon, 1, 1, 0, 0, 1, 1, North America 1927", "EPSG:4267"),
        ("Arbitrary, 1, 1, 0, 0, 1, 1, 0, North", None),
    ],
)
def test_reference_systems(info: str, code: str | None) -> None:
    assert place(info).get("crs") == code


def test_feet_are_not_the_metres_of_a_code() -> None:
    found = place("UTM, 1, 1, 0, 0, 1, 1, 11, North, NAD27, units=Feet")
    assert "crs" not in found
    assert "feet" in str(found["notes"])
    assert found["affine"] == pytest.approx((1, 0, 0, 0, -1, 0))


def test_a_written_out_system_wins_over_the_code() -> None:
    found = place("UTM, 1, 1, 0, 0, 1, 1, 33, North, WGS-84", coordinate_system_string='PROJCS["mine"]')
    assert found["crs"] == 'PROJCS["mine"]'


@pytest.mark.parametrize("info", ["UTM, x", "UTM, 1, 1, 0, 0, 0, 1", "UTM, 1, 1, 0, 0, 1, nan", "UTM", ","])
def test_a_map_info_that_makes_no_grid_is_left_out(info: str) -> None:
    found = place(info)
    assert "affine" not in found
    assert found["notes"] == [] if info == "," else "map info" in str(found["notes"])


def test_a_turn_that_is_no_number_is_left_out() -> None:
    found = place("UTM, 1, 1, 0, 0, 1, 1, 33, North, WGS-84, rotation=steep")
    assert found["affine"] == pytest.approx((1, 0, 0, 0, -1, 0))
    assert "rotation=steep" in str(found["notes"])


def test_pixel_size_without_a_place() -> None:
    assert place("", pixel_size="0.25, 0.5, units=Meters")["pixel_size"] == (0.5, 0.25)
    assert "pixel_size" not in place("", pixel_size="0, 1")
    assert "pixel_size" not in place("", pixel_size="wide, 1")


@pytest.mark.parametrize("sizes", [(2.0, -2.0), (2.0, 2.0), (2.0, 3.0)])
def test_gdal_agrees_on_rows_from_south_to_north(sizes: tuple[float, float], tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    turn = rasterio.Affine(sizes[0], 0, 100, 0, sizes[1], 200)
    profile = {"driver": "ENVI", "width": 5, "height": 4, "count": 2, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "x.img", "w", transform=turn, **profile) as file:
        file.write(np.zeros((2, 4, 5), "u2"))
    cube = open_cube(tmp_path / "x.hdr")
    assert cube.affine == pytest.approx(tuple(turn)[:6])
    assert ("south" in str(cube.metadata.get("notes"))) == (sizes[1] > 0)


@pytest.mark.parametrize("sizes", [(2.0, -3.0), (2.0, 3.0), (-2.0, 3.0), (-2.0, -3.0)])
def test_gdal_agrees_on_mirrored_images_that_are_written(sizes: tuple[float, float], tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    affine = (sizes[0], 0.0, 100.0, 0.0, sizes[1], 200.0)
    Cube.from_array(np.zeros((2, 4, 5), "u2"), crs="EPSG:32633", affine=affine).save(tmp_path / "x.hdr")
    with rasterio.open(tmp_path / "x.img") as file:
        assert tuple(file.transform)[:6] == pytest.approx(affine)
    assert open_cube(tmp_path / "x.hdr").affine == affine
