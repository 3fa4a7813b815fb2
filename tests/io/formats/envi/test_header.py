"""ENVI headers as text: encodings, line ends, comments, braces, keys, lists, and what the bands are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube
from napari_specfusion.io.formats.envi.header import header_fields

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

CORE = "samples = 5\nlines = 4\nbands = 3\ndata type = 2\ninterleave = bsq\nbyte order = 0\n"


def cube(folder: Path, more: str, core: str = CORE, encoding: str = "utf-8") -> Cube:
    header = folder / "scene.hdr"
    header.write_bytes(("ENVI\n" + core + more).encode(encoding))
    (folder / "scene.img").write_bytes(np.arange(60, dtype="<i2").tobytes())
    return open_cube(header)


def notes(found: Cube) -> str:
    return " | ".join(found.metadata["notes"])


# --- text ---------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    found = cube(
        tmp_path,
        "description = {Würfel}\nwavelength units = µm\nwavelength = {0.4, 0.5, 0.6}\n",
        encoding=encoding,
    )
    np.testing.assert_allclose(found.wavelengths, [400, 500, 600])
    assert found.metadata["header"]["description"] == "Würfel"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str, tmp_path: Path) -> None:
    text = "ENVI\n" + CORE + "wavelength = {\n400,\n500,\n600}\nbbl = {1,\n0, 1}\nwavelength units = nm\n"
    (tmp_path / "scene.hdr").write_bytes(text.replace("\n", end).encode())
    (tmp_path / "scene.img").write_bytes(bytes(120))
    found = open_cube(tmp_path / "scene.hdr")
    np.testing.assert_allclose(found.wavelengths, [400, 500, 600])
    np.testing.assert_array_equal(found.good, [True, False, True])


def test_only_line_ends_end_a_line(tmp_path: Path) -> None:
    # Unicode knows more of them; in Latin-1 they are letters of other code pages.
    found = cube(tmp_path, "description = a\x85b\x0bc\n", encoding="latin-1")
    assert found.metadata["header"]["description"] == "a\x85b\x0bc"


def test_comments(tmp_path: Path) -> None:
    found = cube(
        tmp_path,
        "; samples = 7\n  ; lines = 9\nwavelength = {400,\n; 450,\n500, 600}\n",
        core=CORE.replace("bands = 3", "bands = 3 ; as ordered").replace("bsq", "bsq ; by band"),
    )
    assert found.shape == (3, 4, 5)
    np.testing.assert_allclose(found.wavelengths, [400, 500, 600])


def test_comments_after_a_value(tmp_path: Path) -> None:
    found = cube(
        tmp_path,
        "wavelength units = Micrometers ; as calibrated\nwavelength = {0.4, 0.5, 0.6} ; rounded\n"
        "data ignore value = 7 ; none\nreflectance scale factor = 100 ; percent\nfile compression = 0 ; off\n",
    )
    np.testing.assert_allclose(found.wavelengths, [400, 500, 600])
    assert (found.nodata, found.scale) == (7, 0.01)


def test_a_value_keeps_its_equal_signs_and_braces(tmp_path: Path) -> None:
    found = cube(tmp_path, "description = {gain=2, offset = 3\n k = {1} }\nsensor type = a = b\nbbl = {1, 0, 1}\n")
    assert found.metadata["header"]["description"] == "gain=2, offset = 3\n k = {1}"
    assert found.metadata["header"]["sensor type"] == "a = b"
    assert found.good_bands is not None


def test_a_list_may_begin_on_the_next_line(tmp_path: Path) -> None:
    np.testing.assert_allclose(cube(tmp_path, "wavelength =\n{400, 500,\n600}\n").wavelengths, [400, 500, 600])


def test_a_list_that_is_not_closed(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="'band names' is not closed by a brace"):
        cube(tmp_path, "band names = {a,\nb,\n")


def test_keys_in_any_case_with_underscores_or_run_together(tmp_path: Path) -> None:
    core = "SAMPLES=5\nLines=4\nBANDS = 3\ndata_type = 2\nInterleave = BSQ\nByte   Order = 0\nheaderoffset = 0\n"
    found = cube(tmp_path, "Wavelength_Units = nm\nWavelengths = {400, 500, 600}\nMy_Key = 1\n", core=core)
    assert found.shape == (3, 4, 5)
    np.testing.assert_allclose(found.wavelengths, [400, 500, 600])
    assert notes(found) == ""
    assert found.metadata["header"]["my_key"] == "1"


def test_keys_that_stand_twice(tmp_path: Path) -> None:
    found = cube(tmp_path, "samples = 4\nlines = 5\nlines = 5\nbands =\n")
    assert found.shape == (3, 5, 4)
    assert notes(found) == (
        "'samples' occurs twice in the header; the last value was used | "
        "'lines' occurs twice in the header; the last value was used"
    )


def test_blank_values_are_as_good_as_missing_ones(tmp_path: Path) -> None:
    blanks = (
        "header offset, file type, wavelength units, data ignore value, reflectance scale factor, map info, "
        "coordinate system string, file compression, pixel size"
    )
    lists = "wavelength, fwhm, bbl, band names, data gain values, data offset values, major frame offsets"
    more = "".join(f"{key} =\n" for key in blanks.split(", ")) + "".join(
        f"{key} = {{ }}\n" for key in lists.split(", ")
    )
    found = cube(tmp_path, more)
    assert notes(found) == ""
    assert (found.wavelengths, found.fwhm, found.good_bands, found.nodata, found.crs) == (None,) * 5
    assert (found.scale, found.offset, found.affine, found.pixel_size) == (1, 0, None, None)


def test_what_is_no_header(tmp_path: Path) -> None:
    for text in (b"", b"BSQ\n", b"\x00" * 40, b"samples = 5\n"):
        (tmp_path / "scene.hdr").write_bytes(text)
        with pytest.raises(ReadError, match="is not an ENVI header"):
            header_fields(tmp_path / "scene.hdr")


# --- the axis of the bands --------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "want", "kind"),
    [
        ("Nanometers", [400, 500, 600], "nm"),
        ("Wavelength (nm)", [400, 500, 600], "nm"),
        ("Micrometers", [4e5, 5e5, 6e5], "nm"),
        ("um", [4e5, 5e5, 6e5], "nm"),
        ("Millimeters", [4e8, 5e8, 6e8], "nm"),
        ("Angstroms", [40, 50, 60], "nm"),
        ("Wavenumber", [400, 500, 600], "cm-1"),
        ("cm-1", [400, 500, 600], "cm-1"),
        ("1/cm", [400, 500, 600], "cm-1"),
        ("GHz", None, "nm"),
        ("MHz", None, "nm"),
        ("Index", None, "nm"),
    ],
)
def test_units(unit: str, want: list[float] | None, kind: str, tmp_path: Path) -> None:
    found = cube(tmp_path, f"wavelength units = {unit}\nwavelength = {{400, 500, 600}}\nfwhm = {{4, 5, 6}}\n")
    assert found.spectral_unit == kind
    if want is None:
        assert found.wavelengths is None
        assert found.fwhm is None
        assert unit in notes(found)
    else:
        np.testing.assert_allclose(found.wavelengths, want)
        np.testing.assert_allclose(found.fwhm, np.array(want) / 100)


@pytest.mark.parametrize("listed", ["400 500 600", "400; 500; 600", "400\t500\n600", "400, 500, 600,", "400\n500\n600"])
def test_lists_without_commas(listed: str, tmp_path: Path) -> None:
    np.testing.assert_allclose(cube(tmp_path, f"wavelength = {{{listed}}}\n").wavelengths, [400, 500, 600])


@pytest.mark.parametrize(
    ("names", "want", "kind"),
    [
        ("450 nm, 550 nm, 650 nm", [450, 550, 650], "nm"),
        ("Band 1 (450.5 Nanometers), Band 2 (550.5 Nanometers), Band 3 (650 Nanometers)", [450.5, 550.5, 650], "nm"),
        ("B1: 0.45 Micrometers, B2: 0.55 Micrometers, B3: 0.65 Micrometers", [450, 550, 650], "nm"),
        ("1: 0.45um, 2: 0.55um, 3: 0.65um", [450, 550, 650], "nm"),
        ("500 cm-1, 600 cm-1, 700 cm-1", [500, 600, 700], "cm-1"),
        ("450.1, 550.2, 650.3", [450.1, 550.2, 650.3], "nm"),
        ("0.45, 0.55, 0.65", [450, 550, 650], "nm"),
    ],
)
def test_wavelengths_in_the_band_names_alone(names: str, want: list[float], kind: str, tmp_path: Path) -> None:
    found = cube(tmp_path, f"band names = {{{names}}}\n")
    assert found.wavelengths is not None
    np.testing.assert_allclose(found.wavelengths, want)
    assert found.spectral_unit == kind
    assert "from the band names" in notes(found)


@pytest.mark.parametrize(
    "names",
    [
        "red, green, blue",
        "Band 1, Band 2, Band 3",
        "1, 2, 3",
        "0, 1, 2",
        "450, 650, 550",
        "450 nm, 0.55 um, 650 nm",
        "450 nm, red, 650 nm",
        "450 nm, 550 nm",
    ],
)
def test_band_names_that_tell_no_wavelengths(names: str, tmp_path: Path) -> None:
    assert cube(tmp_path, f"band names = {{{names}}}\n").wavelengths is None


def test_the_list_wins_over_the_names_and_own_ones_over_both(tmp_path: Path) -> None:
    more = "band names = {1 nm, 2 nm, 3 nm}\nwavelength = {400, 500, 600}\n"
    np.testing.assert_allclose(cube(tmp_path, more).wavelengths, [400, 500, 600])
    own = open_cube(tmp_path / "scene.hdr", wavelengths=[7, 8, 9])
    np.testing.assert_allclose(own.wavelengths, [7, 8, 9])


def test_units_beside_the_numbers(tmp_path: Path) -> None:
    found = cube(tmp_path, "wavelength = {0.4 um, 0.5 um, 0.6 um}\n")
    np.testing.assert_allclose(found.wavelengths, [400, 500, 600])


@pytest.mark.parametrize("flags", ["1.0, 0.0, 1.0", "1, 0, 1", "true, False, TRUE", "0.7, 0, 3"])
def test_bad_bands_as_numbers_or_words(flags: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(cube(tmp_path, f"bbl = {{{flags}}}\n").good, [True, False, True])


# --- what the numbers mean ---------------------------------------------------------


def test_reflectance_gains_come_before_radiance_gains(tmp_path: Path) -> None:
    found = cube(
        tmp_path,
        "data gain values = {2, 2, 2}\ndata offset values = {1, 2, 3}\n"
        "data reflectance gain values = {0.1, 0.2, 0.3}\ndata reflectance offset values = {0, 0, 0}\n",
    )
    np.testing.assert_allclose(found.scale, [0.1, 0.2, 0.3])
    assert found.offset == 0


def test_the_scale_factor_comes_before_gains(tmp_path: Path) -> None:
    found = cube(
        tmp_path, "reflectance scale factor = 10000\ndata gain values = {2, 2, 2}\ndata offset values = {1, 1, 1}\n"
    )
    assert (found.scale, found.offset) == (1e-4, 0)


def test_gains_of_zero_are_left_out(tmp_path: Path) -> None:
    found = cube(tmp_path, "data gain values = {2, 0, 2}\ndata offset values = {1, 2, 3}\n")
    assert (found.scale, found.offset) == (1, 0)
    assert "a gain of 0" in notes(found)


@pytest.mark.parametrize("factor", ["0", "-1", "nan", "many", "1e-320"])
def test_a_scale_factor_that_is_none(factor: str, tmp_path: Path) -> None:
    found = cube(tmp_path, f"reflectance scale factor = {factor}\n")
    assert found.scale == 1
    assert "reflectance scale factor" in notes(found)


def test_the_lowest_float_rounded_down_is_a_fill_value(tmp_path: Path) -> None:
    lowest = np.finfo("f4").min
    (tmp_path / "scene.img").write_bytes(np.array([lowest, 1, 2], "<f4").tobytes())
    (tmp_path / "scene.hdr").write_text(
        "ENVI\nsamples = 3\nlines = 1\nbands = 1\ndata type = 4\nbyte order = 0\ndata ignore value = -3.4028235e+38\n",
        encoding="utf-8",
    )
    found = open_cube(tmp_path / "scene.hdr")
    np.testing.assert_array_equal(found.values.compute()[0, 0], [np.nan, 1, 2])
    np.testing.assert_array_equal(found.read()[0, 0], [np.nan, 1, 2])


# --- what is refused, in words --------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("file compression = 1\n", "compressed .* export them uncompressed"),
        ("major frame offsets = {4, 0}\n", "gaps between frames"),
        ("minor frame offsets = {0, 4}\n", "gaps between frames"),
        ("file type = TIFF\n", "describes another format"),
        ("file type = ENVI Virtual Mosaic\n", "describes another format"),
        ("data_type = 6\n", "complex"),
        ("data type = 9\n", "complex"),
        ("data type = 11\n", "is unknown; ENVI's are"),
    ],
)
def test_refused_in_words(more: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=words):
        cube(tmp_path, more)


@pytest.mark.parametrize(
    "more",
    ["file compression = 0\n", "major frame offsets = {0, 0}\n", "file type = ENVI Standard\n", "file type = envi\n"],
)
def test_not_refused(more: str, tmp_path: Path) -> None:
    assert cube(tmp_path, more).shape == (3, 4, 5)


@pytest.mark.parametrize(
    "text", ["450, ; blue\n550, ; green\n650 ; red", "; nm\n450, 550,\n; and\n650", "450, 550, 650 ; all"]
)
def test_comments_within_lists_of_numbers(text: str, tmp_path: Path) -> None:
    found = cube(tmp_path, f"wavelength units = nm\nwavelength = {{{text}\n}}\nband names = {{a;1, b;2, c;3}}\n")
    np.testing.assert_array_equal(found.wavelengths, [450, 550, 650])
    assert found.metadata["band_names"] == ("a;1", "b;2", "c;3")
