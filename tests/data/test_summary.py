"""What a terminal and a notebook show of cubes and scenes."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf

WKT = 'PROJCS["WGS 84 / UTM zone 32N",GEOGCS["WGS 84",DATUM["' + 2000 * "x" + '"]]]'


class Unreadable:
    """A source, and an array, that may be described but not read."""

    def spectrum(self, y, x):
        raise AssertionError("a summary read pixels")

    window = spectrum


def unread(shape, dtype="u2", **fields):
    def fail(block):
        raise AssertionError("a summary read pixels")

    data = da.zeros(shape, dtype=dtype, chunks=shape).map_blocks(fail, dtype=dtype)
    return Cube(data, source=Unreadable(), **fields)


BARE = unread((3, 5, 6), name="bare")
FULL = unread(
    (200, 10000, 20000),
    name="field\n<b>" * 50,
    wavelengths=np.linspace(400, 2500, 200),
    good_bands=np.arange(200) > 9,
    nodata=65535,
    scale=1e-4,
    offset=np.arange(200),
    pixel_size=(30, 30),
    crs=WKT,
)
PAIR = Scene(unread((3, 5, 6)), unread((1, 20, 24)), shift=(0.25, -1.0), psf=Psf(1.7), reference=unread((3, 20, 24)))


def lines_of(thing):
    return repr(thing).splitlines()


@pytest.mark.parametrize("thing", [BARE, FULL, PAIR, Scene(FULL, unread((4, 40000, 80000), name="x" * 500))])
def test_five_lines_without_reading_a_pixel(thing):
    assert len(lines_of(thing)) <= 5
    assert max(map(len, lines_of(thing))) <= 100
    assert "<table>" in thing._repr_html_() and "<b>" not in thing._repr_html_()


def test_a_cube_says_what_is_known():
    assert lines_of(BARE) == ["Cube 'bare': 3 bands x 5 rows x 6 columns, uint16", "  Spectrum  wavelengths unknown"]
    title, spectrum, pixel, values = lines_of(FULL)
    assert title.endswith("200 bands x 10000 rows x 20000 columns, uint16")
    assert spectrum == "  Spectrum  400-2500 nm, 190 of 200 bands good"
    assert pixel == "  Pixel     30 x 30, WGS 84 / UTM zone 32N"
    assert values == "  Values    stored values x 0.0001 + one number per band, no-data 65535"


def test_a_scene_says_what_is_known():
    title, cube, guide, known = lines_of(PAIR)
    assert title == "Scene: ratio 4, 3 bands fuse to 20 x 24 pixels"
    assert cube == "  Cube   'cube': 3 bands x 5 rows x 6 columns, uint16"
    assert guide == "  Guide  'cube': 1 band x 20 rows x 24 columns, uint16"
    assert known == "  Known  shift (+0.25, -1.00) px, PSF Gaussian, sigma 1.70 px, sharp reference"
    boxed = PAIR.replace(psf=Psf.box(4), srf=Srf(np.ones((1, 3)) / 3))
    assert "PSF box 4 px wide, SRF" in repr(boxed)
    assert "nothing yet" in repr(Scene(PAIR.hsi, PAIR.guide))
