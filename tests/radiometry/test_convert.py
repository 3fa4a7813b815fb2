"""Counts to reflectance: the arithmetic, the forms of references, and what is found odd about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_specfusion import Cube, open_cube
from napari_specfusion.__main__ import main
from napari_specfusion.errors import CalibrationError
from napari_specfusion.radiometry.convert import check_references, reflectance
from napari_specfusion.radiometry.files import find_references

if TYPE_CHECKING:
    from pathlib import Path

BANDS, LINES, COLUMNS = 4, 6, 5
TRUTH = np.random.default_rng(3).uniform(0.05, 0.95, (BANDS, LINES, COLUMNS))
# A push-broom camera: each band and column of the sensor has its own gain and its own count in the dark.
GAIN = np.random.default_rng(4).uniform(800, 1200, (BANDS, 1, COLUMNS))
DARK = np.random.default_rng(5).uniform(20, 60, (BANDS, 1, COLUMNS))
RAW = TRUTH * GAIN + DARK
WHITE = np.repeat(GAIN + DARK, 9, axis=1)
DARKS = np.repeat(DARK, 7, axis=1)


def topics(raw: Any, white: Any, dark: Any = None, **options: Any) -> dict[str, str]:
    """Return what was found, level by topic."""
    return {f.topic: f.level for f in check_references(raw, white, dark, **options)}


def same_everywhere(cube: Cube, want: NDArray[np.float64], **tolerance: float) -> None:
    """Compare the lazy data, a window and a spectrum of a cube with `want`."""
    assert isinstance(cube.data, da.Array)
    assert cube.is_physical
    tolerance = {"rtol": 1e-9} | tolerance
    np.testing.assert_allclose(cube.values.compute(), want, **tolerance)
    np.testing.assert_allclose(cube.read(slice(1, 4), slice(2, 5)), want[:, 1:4, 2:5], **tolerance)
    np.testing.assert_allclose(cube.spectrum(2, 3), want[:, 2, 3], **tolerance)
    np.testing.assert_allclose(cube.crop(slice(2, 5), slice(1, 4)).spectrum(1, 2), want[:, 3, 3], **tolerance)


# --- forms ------------------------------------------------------------------------


def test_lines_of_a_push_broom_camera() -> None:
    assert topics(RAW, WHITE, DARKS) == {}
    same_everywhere(reflectance(RAW, WHITE, DARKS), TRUTH)


def test_lines_are_averaged() -> None:
    swing = np.linspace(-1, 1, 9)[None, :, None]
    same_everywhere(reflectance(RAW, WHITE + 50 * swing, DARKS), TRUTH)


def test_one_line() -> None:
    same_everywhere(reflectance(RAW, WHITE[:, :1], DARKS[:, :1]), TRUTH)
    same_everywhere(reflectance(RAW, WHITE[:, 0], DARKS[:, 0]), TRUTH)


def test_pixel_by_pixel() -> None:
    light = np.random.default_rng(6).uniform(0.5, 1, (1, LINES, COLUMNS))
    same_everywhere(reflectance(TRUTH * GAIN * light + DARK, GAIN * light + DARK, DARKS), TRUTH)
    whole_dark = np.broadcast_to(DARK, RAW.shape)
    same_everywhere(reflectance(TRUTH * GAIN * light + DARK, GAIN * light + DARK, np.array(whole_dark)), TRUTH)


def test_one_spectrum_and_one_number() -> None:
    gain = np.array([100.0, 200, 300, 400])
    raw = TRUTH * gain[:, None, None] + 7
    same_everywhere(reflectance(raw, gain + 7, 7), TRUTH)
    same_everywhere(reflectance(raw, (gain + 7)[:, None, None], np.full(BANDS, 7.0)), TRUTH)


def test_panel() -> None:
    same_everywhere(reflectance(RAW, WHITE, DARKS, panel=0.5), TRUTH / 2)
    panel = np.array([0.9, 0.8, 0.7, 0.6])
    same_everywhere(reflectance(RAW, WHITE, DARKS, panel=panel), TRUTH * panel[:, None, None])


def test_integration_times() -> None:
    raw = TRUTH * GAIN * 3 + DARK
    assert topics(raw, WHITE, DARKS, times=(30, 10)) == {"integration time": "info"}
    cube = reflectance(raw, WHITE, DARKS, times=(30, 10))
    same_everywhere(cube, TRUTH)
    assert cube.metadata["reflectance"]["time_factor"] == pytest.approx(1 / 3)


def test_a_dark_reference_of_the_white_one() -> None:
    white = np.repeat(GAIN + 3 * DARK, 9, axis=1)
    same_everywhere(reflectance(RAW, white, DARKS, white_dark=DARKS * 3), TRUTH)


def test_without_a_dark_reference() -> None:
    assert topics(RAW, WHITE) == {"dark reference": "warning"}
    same_everywhere(reflectance(RAW - DARK, WHITE - DARK), TRUTH)


def test_integers_become_float32() -> None:
    raw, white, dark = (np.round(v * 10).astype(np.uint16) for v in (RAW, WHITE, DARKS))
    cube = reflectance(raw, white, dark)
    assert cube.dtype == np.float32
    same_everywhere(cube, TRUTH, rtol=0, atol=2e-4)


def test_what_the_cube_was_stays_with_it() -> None:
    raw = Cube.from_array(
        RAW, wavelengths=[400, 500, 600, 700], fwhm=[5] * 4, pixel_size=(1, 2), name="leaf", metadata={"a": 1}
    )
    cube = reflectance(raw, WHITE, DARKS)
    np.testing.assert_array_equal(cube.wavelengths, raw.wavelengths)
    assert cube.pixel_size == (1, 2)
    assert cube.name == "leaf reflectance"
    assert cube.metadata["a"] == 1
    assert cube.metadata["findings"] == ()


def test_no_data_of_the_cube_stays_no_data() -> None:
    counts = np.round(RAW)
    counts[1, 2, 3] = 0
    cube = reflectance(Cube.from_array(counts, nodata=0), WHITE, DARKS)
    assert np.isnan(cube.spectrum(2, 3)).tolist() == [False, True, False, False]
    assert np.isnan(cube.values.compute()).sum() == 1


@settings(max_examples=30, deadline=None)
@given(
    bands=st.integers(1, 5),
    lines=st.integers(1, 5),
    columns=st.integers(1, 5),
    panel=st.floats(0.01, 1),
    form=st.sampled_from(["lines", "line", "pixels", "spectrum"]),
    fill=st.booleans(),
)
def test_counts_made_of_reflectance_give_it_back(
    bands: int, lines: int, columns: int, panel: float, form: str, fill: bool
) -> None:
    draw = np.random.default_rng(bands * 100 + lines * 10 + columns)
    truth = draw.uniform(0, 1, (bands, lines, columns))
    rows = {"lines": lines + 3, "line": 1, "pixels": lines, "spectrum": 1}[form]
    width = 1 if form == "spectrum" else columns
    gain = draw.uniform(500, 600, (bands, lines if form == "pixels" else 1, width))
    white = np.repeat(gain, rows, axis=1) if gain.shape[1] == 1 else gain
    cube = reflectance(truth / panel * gain + 9, white + 9, 9.0, panel=panel, dead="interpolate" if fill else "nan")
    np.testing.assert_allclose(cube.values.compute(), truth, atol=1e-9)
    np.testing.assert_allclose(cube.read(), truth, atol=1e-9)


# --- dead pixels ----------------------------------------------------------------------


def with_dead(*places: tuple[int, int]) -> NDArray[np.float64]:
    white = WHITE.copy()
    for band, column in places:
        white[band, :, column] = DARK[band, 0, column]
    return white


def test_dead_pixels_are_nan() -> None:
    white = with_dead((1, 2), (3, 0))
    assert topics(RAW, white, DARKS) == {"dead pixels": "warning"}
    want = TRUTH.copy()
    want[1, :, 2] = want[3, :, 0] = np.nan
    same_everywhere(reflectance(RAW, white, DARKS), want)


def test_dead_pixels_are_interpolated_on_request() -> None:
    want = TRUTH.copy()
    want[1, :, 2] = (TRUTH[1, :, 1] + TRUTH[1, :, 3]) / 2
    want[3, :, 0] = TRUTH[3, :, 1]
    want[0, :, 1] = TRUTH[0, :, 0] * 2 / 3 + TRUTH[0, :, 3] / 3
    want[0, :, 2] = TRUTH[0, :, 0] / 3 + TRUTH[0, :, 3] * 2 / 3
    white = with_dead((1, 2), (3, 0), (0, 1), (0, 2))
    same_everywhere(reflectance(RAW, white, DARKS, dead="interpolate"), want)


def test_dead_pixels_of_pixelwise_references_are_interpolated() -> None:
    white = np.array(np.broadcast_to(GAIN + DARK, RAW.shape))
    white[2, 3, 4] = DARK[2, 0, 4]
    want = TRUTH.copy()
    want[2, 3, 4] = TRUTH[2, 3, 3]
    same_everywhere(reflectance(RAW, white, DARKS, dead="interpolate"), want)


@pytest.mark.parametrize("dead", ["nan", "interpolate"])
def test_a_dead_band_is_marked_bad(dead: Any) -> None:
    white = with_dead(*((2, column) for column in range(COLUMNS)))
    cube = reflectance(RAW, white, DARKS, dead=dead)
    np.testing.assert_array_equal(cube.good, [True, True, False, True])
    assert np.isnan(cube.values[2].compute()).all()
    assert "1 of 4 bands" in str(cube.metadata["findings"])


# --- what is found ---------------------------------------------------------------------


def saturated(level: float, share: float = 0.2) -> NDArray[np.float64]:
    rough = np.random.default_rng(8).uniform(0.4, 0.9, (BANDS, 40, COLUMNS)) * level
    rough[np.random.default_rng(9).uniform(size=rough.shape) < share] = level
    return rough


@pytest.mark.parametrize("level", [255, 4095, 16383, 65535, 57351])
def test_a_saturated_white_reference(level: float) -> None:
    found = [f for f in check_references(RAW, saturated(level), 0) if f.topic == "white reference"]
    assert [f.level for f in found] == ["warning"]
    assert f"reach {level}" in found[0].message
    assert "in 4 of 4 bands" in found[0].message
    share = float((saturated(level) == level).mean())
    assert f"{share:.1%} of its values" in found[0].message


def test_a_white_reference_that_is_not_saturated() -> None:
    assert "white reference" not in topics(RAW, saturated(5000, share=0), DARKS)


def test_saturation_that_is_given() -> None:
    white = saturated(5000, share=0)
    found = check_references(RAW, white, DARKS, saturation=4000)
    assert f"{(white >= 4000).mean():.1%} of its values" in found[0].message
    assert "reach 4000" in found[0].message
    assert topics(RAW, white, DARKS, saturation=6000) == {}


def test_references_the_wrong_way_round() -> None:
    with pytest.raises(CalibrationError, match="the wrong way round"):
        reflectance(RAW, DARKS, WHITE)


@pytest.mark.parametrize(
    ("white", "words"),
    [
        (np.ones((3, 9, COLUMNS)), r"white reference has 3 bands, the cube 4"),
        (np.ones((BANDS, 9, 20)), r"9 lines of 20 columns, the cube 6 of 5.*4 times the other: was it binned"),
        (np.ones((BANDS, 9, 3)), r"9 lines of 3 columns, the cube 6 of 5; a reference must have the cube's columns"),
        (np.ones((BANDS, 9, 1)), r"9 lines of 1 columns"),
        (np.full((BANDS, 9, COLUMNS), np.nan), "hold no data"),
    ],
)
def test_sizes_that_differ(white: NDArray[np.float64], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        reflectance(RAW, white, DARKS)
    found = check_references(RAW, white, DARKS)
    assert found[0].level == "error"


def test_a_dark_reference_of_another_size() -> None:
    with pytest.raises(CalibrationError, match="dark reference has 9 lines of 3 columns"):
        reflectance(RAW, WHITE, np.ones((BANDS, 9, 3)))


def test_wavelengths_that_differ() -> None:
    raw = Cube.from_array(RAW, wavelengths=[400, 410, 420, 430])
    near = Cube.from_array(WHITE, wavelengths=[401, 411, 421, 431])
    far = Cube.from_array(WHITE, wavelengths=[406, 416, 426, 436])
    same_everywhere(reflectance(raw, near, DARKS), TRUTH)
    with pytest.raises(CalibrationError, match="lie up to 6 nm from the cube's, whose bands are 10 apart"):
        reflectance(raw, far, DARKS)


def test_values_of_a_reference_that_are_no_data() -> None:
    white = WHITE.copy()
    white[:, 0] = np.nan
    assert topics(RAW, white, DARKS) == {"white reference": "warning"}
    same_everywhere(reflectance(RAW, white, DARKS), TRUTH)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"panel": 99}, "0.99, not 99"),
        ({"panel": 0}, "0.99, not 99"),
        ({"panel": [0.9, 0.8]}, r"shape \(2,\) for 4 bands"),
        ({"panel": "white"}, "is not a number"),
        ({"times": (1, 0)}, "two numbers above 0"),
        ({"times": ("1 ms", "2 ms")}, "two numbers above 0"),
        ({"times": 5}, "two numbers above 0"),
        ({"saturation": "full"}, "saturation is 'full'"),
        ({"saturation": np.nan}, "saturation is nan"),
        ({"dead": "ignore"}, "one of nan, interpolate"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        reflectance(RAW, WHITE, DARKS, **options)


def test_a_header_that_is_none_has_no_time() -> None:
    cube = Cube.from_array(RAW, metadata={"header": 5})
    assert reflectance(cube, WHITE, DARKS).metadata["reflectance"]["time_factor"] == 1


def test_no_white_reference() -> None:
    with pytest.raises(CalibrationError, match="no white reference"):
        reflectance(RAW)


# --- files -------------------------------------------------------------------------------


def envi(path: Path, values: NDArray[np.float64], more: str = "") -> Path:
    bands, lines, samples = values.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".raw").write_bytes(np.round(values).astype("<u2").transpose(1, 0, 2).tobytes())
    path.write_text(
        f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = {bands}\ndata type = 12\ninterleave = bil\n"
        f"byte order = 0\nwavelength = {{400, 500, 600, 700}}\n{more}",
        encoding="utf-8",
    )
    return path


def capture(folder: Path, prefix: str = "", **more: str) -> Path:
    """Write a Specim capture: NAME/capture/NAME.hdr with its references."""
    inside = folder / "leaf" / "capture"
    envi(inside / f"{prefix}WHITEREF_leaf.hdr", WHITE * 10, more.get("white", ""))
    envi(inside / f"{prefix}DARKREF_leaf.hdr", DARKS * 10, more.get("dark", ""))
    return envi(inside / "leaf.hdr", RAW * 10, more.get("raw", ""))


def test_references_beside_a_capture(tmp_path: Path) -> None:
    header = capture(tmp_path)
    for path in (header, header.with_suffix(".raw"), header.parent, header.parent.parent):
        found = find_references(path)
        assert found.raw.stem == "leaf"
        assert found.white == header.parent / "WHITEREF_leaf.hdr"
        assert found.dark == header.parent / "DARKREF_leaf.hdr"
        same_everywhere(reflectance(path), TRUTH, rtol=0, atol=2e-4)
    assert open_cube(header).shape == RAW.shape


def test_references_under_another_name_serve_where_they_are_alone(tmp_path: Path) -> None:
    envi(tmp_path / "scan.hdr", RAW)
    one = envi(tmp_path / "whiteref_morning.HDR", WHITE)
    assert find_references(tmp_path / "scan.hdr").white == one
    assert find_references(tmp_path / "scan.hdr").dark is None
    envi(tmp_path / "WHITEREF_noon.hdr", WHITE)
    assert find_references(tmp_path / "scan.hdr").white is None


def test_a_folder_of_several_captures(tmp_path: Path) -> None:
    for name in ("a", "b"):
        envi(tmp_path / f"{name}.hdr", RAW)
    with pytest.raises(CalibrationError, match=r"holds 2 captures \(a.hdr, b.hdr\)"):
        find_references(tmp_path)


def test_integration_times_of_the_headers(tmp_path: Path) -> None:
    header = capture(tmp_path, raw="tint = 20.0\n", white="tint = 10.0 ms\n", dark="tint = 10\n")
    found = check_references(header)
    assert [(f.level, f.topic) for f in found] == [("warning", "integration time"), ("info", "integration time")]
    same_everywhere(reflectance(header), TRUTH / 2, rtol=0, atol=2e-4)
    same_everywhere(reflectance(header, times=(1, 1)), TRUTH, rtol=0, atol=2e-4)


def test_references_larger_than_the_lines_that_are_averaged(tmp_path: Path) -> None:
    long = np.repeat(WHITE[:, :1], 1300, axis=1)
    same_everywhere(reflectance(RAW, long, DARKS), TRUTH)


def test_nothing_is_read_of_the_cube_before_it_is_used() -> None:
    read: list[int] = []

    def count(block: NDArray[np.float64]) -> NDArray[np.float64]:
        read.append(block.size)
        return block

    lazy = da.from_array(RAW, chunks=(1, LINES, COLUMNS)).map_blocks(count, dtype=RAW.dtype, meta=RAW[:0])
    cube = reflectance(Cube.from_array(lazy), WHITE, DARKS)
    assert not read
    np.testing.assert_allclose(cube.values[2].compute(), TRUTH[2])
    assert read == [LINES * COLUMNS]


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = capture(tmp_path, raw="tint = 20.0\n", white="tint = 10.0\n")
    out = tmp_path / "leaf.hdr"
    assert main(["reflectance", str(raw.parent), "--out", str(out), "--panel", "0.5"]) == 0
    assert "info: The cube was taken with an integration time of 20" in capsys.readouterr().out
    np.testing.assert_allclose(open_cube(out).read(), TRUTH / 4, rtol=0, atol=2e-4)
    again = ["reflectance", str(raw), "--out", str(out), "--times", "1", "1"]
    assert main(again) == 2  # it is there already
    assert main([*again, "--overwrite"]) == 0
    np.testing.assert_allclose(open_cube(out).read(), TRUTH, rtol=0, atol=2e-4)
    swapped = ["--white", str(raw.parent / "DARKREF_leaf.hdr"), "--dark", str(raw.parent / "WHITEREF_leaf.hdr")]
    assert main([*again, *swapped, "--overwrite"]) == 2
    assert "wrong way round" in capsys.readouterr().err
