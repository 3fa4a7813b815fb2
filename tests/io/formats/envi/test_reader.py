"""ENVI: every layout, and headers as people write them."""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

if TYPE_CHECKING:
    from pathlib import Path

CODES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}
LAYOUTS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
CORE = {"samples": 5, "lines": 4, "bands": 3, "data type": 2, "interleave": "bsq", "byte order": 0}


def write(folder: Path, entries: dict[str, object], data: bytes | None = None, ending: str = ".img") -> Path:
    header = folder / "scene.hdr"
    header.write_text("ENVI\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()), encoding="utf-8")
    if data is not None:
        (folder / f"scene{ending}").write_bytes(data)
    return header


def plain(folder: Path, without: str = "", **more: object) -> Path:
    """Write an image of 3 x 4 x 5 int16 with some entries more, changed or missing (underscores are blanks)."""
    entries = CORE | {key.replace("_", " "): value for key, value in more.items()}
    entries.pop(without, None)
    return write(folder, entries, np.arange(60, dtype="<i2").tobytes())


@pytest.mark.parametrize(
    ("layout", "order", "dtype", "offset"), list(itertools.product(LAYOUTS, (0, 1), CODES, (0, 129)))
)
def test_layouts(layout: str, order: int, dtype: str, offset: int, tmp_path: Path) -> None:
    values: NDArray[np.float64] = np.random.default_rng(1).integers(0, 120, (6, 4, 5)).astype(dtype)
    stored = values.transpose(LAYOUTS[layout]).astype(np.dtype(dtype).newbyteorder("<>"[order]))  # type: ignore[arg-type]
    entries = {
        "samples": 5,
        "lines": 4,
        "bands": 6,
        "data type": CODES[dtype],
        "interleave": layout,
        "byte order": order,
        "header offset": offset,
    }
    cube = open_cube(write(tmp_path, entries, b"\7" * offset + stored.tobytes()))
    assert cube.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(cube.data.compute(), values)
    np.testing.assert_array_equal(cube.spectrum(3, 2), values[:, 3, 2])
    np.testing.assert_array_equal(cube.read(slice(1, 3), slice(2, 5)), values[:, 1:3, 2:5])


def test_only_what_is_needed(tmp_path: Path) -> None:
    cube = open_cube(plain(tmp_path, without="byte order"))
    np.testing.assert_array_equal(cube.data.compute(), np.arange(60).reshape(3, 4, 5))
    assert "byte order" in cube.metadata["notes"][0]


def test_oddities_of_text(tmp_path: Path) -> None:
    header = tmp_path / "Scene.HDR"
    header.write_bytes(
        b"\xef\xbb\xbfENVI\r\n; a comment = 3\r\nDescription = {\r\n two\r\n lines, with = sign}\r\nSAMPLES=5\r\n"
        b"lines   =4\r\nbands = 3.0\r\ndata  type = 2\r\ninterleave = BIL\r\nwavelength units =\r\nbyte order =\r\n"
        b"file type = \r\nwavelength = {\r\n 500.5,\r\n; inside\r\n 600, 700 }\r\nbbl = { 1.0, 0.0, true }\r\n"
        b"band names = {a, b b, c}\r\nmajor frame offsets = {0, 0}\r\nnonsense\r\ndata ignore value = -9999\r\n"
    )
    (tmp_path / "SCENE.DAT").write_bytes(bytes(120))
    cube = open_cube(header)
    assert cube.name == "Scene"
    np.testing.assert_allclose(cube.wavelengths, [500.5, 600, 700])
    np.testing.assert_array_equal(cube.good, [True, False, True])
    assert cube.nodata == -9999
    assert cube.metadata["band_names"] == ("a", "b b", "c")
    assert cube.metadata["header"]["description"].startswith("two")


@pytest.mark.parametrize(
    ("unit", "given_", "want", "want_unit"),
    [
        ("Nanometers", "{400, 500, 600}", [400, 500, 600], "nm"),
        ("nm", "{400, 500, 600}", [400, 500, 600], "nm"),
        ("Micrometers", "{0.4, 0.5, 0.6}", [400, 500, 600], "nm"),
        ("um", "{0.4, 0.5, 0.6}", [400, 500, 600], "nm"),
        ("Angstroms", "{4000, 5000, 6000}", [400, 500, 600], "nm"),
        ("Wavenumber", "{400, 500, 600}", [400, 500, 600], "cm-1"),
        ("Unknown", "{0.4, 0.5, 0.6}", [400, 500, 600], "nm"),
        ("", "{400, 500, 600}", [400, 500, 600], "nm"),
    ],
)
def test_units(unit: str, given_: str, want: list[float], want_unit: str, tmp_path: Path) -> None:
    width = given_.strip("{}").split(",")[0]
    cube = open_cube(plain(tmp_path, wavelength_units=unit, wavelength=given_, fwhm=f"{{{width}, {width}, {width}}}"))
    np.testing.assert_allclose(cube.wavelengths, want)
    np.testing.assert_allclose(cube.fwhm, [400] * 3)
    assert cube.spectral_unit == want_unit
    guessed = any("no unit" in note for note in cube.metadata["notes"])
    assert guessed == (unit in {"", "Unknown"})


def test_units_that_are_no_wavelength(tmp_path: Path) -> None:
    cube = open_cube(plain(tmp_path, wavelength_units="GHz", wavelength="{1, 2, 3}"))
    assert cube.wavelengths is None
    assert "GHz" in cube.metadata["notes"][0]


def test_falling_wavelengths_are_turned(tmp_path: Path) -> None:
    cube = open_cube(
        plain(
            tmp_path,
            wavelength="{900, 800, 700}",
            fwhm="{3, 2, 1}",
            bbl="{0, 1, 1}",
            band_names="{a, b, c}",
            data_gain_values="{1, 2, 3}",
        )
    )
    np.testing.assert_allclose(cube.wavelengths, [700, 800, 900])
    np.testing.assert_allclose(cube.fwhm, [1, 2, 3])
    np.testing.assert_array_equal(cube.good, [True, True, False])
    np.testing.assert_allclose(cube.scale, [3, 2, 1])
    assert cube.metadata["band_names"] == ("c", "b", "a")
    np.testing.assert_array_equal(cube.data.compute(), np.arange(60).reshape(3, 4, 5)[::-1])
    np.testing.assert_allclose(cube.spectrum(0, 1), [3 * 41, 2 * 21, 1 * 1])


def test_physical_values(tmp_path: Path) -> None:
    cube = open_cube(plain(tmp_path, reflectance_scale_factor="10000.0", data_ignore_value="7"))
    values = cube.values.compute()
    assert values[0, 0, 6 - 5 + 1] == pytest.approx(2e-4)
    assert np.isnan(values[0, 1, 2])
    cube = open_cube(plain(tmp_path, data_gain_values="{1, 2, 3}", data_offset_values="{5, 5, 5}"))
    assert cube.offset == 5
    np.testing.assert_allclose(cube.spectrum(0, 0), [5, 2 * 20 + 5, 3 * 40 + 5])


def test_fill_value_that_the_type_cannot_hold_is_left_out(tmp_path: Path) -> None:
    cube = open_cube(plain(tmp_path, data_ignore_value="-3.4e38"))
    assert cube.nodata is None
    assert "-3.4e38" in cube.metadata["notes"][0]


def test_lists_of_another_length_are_left_out_except_wavelengths(tmp_path: Path) -> None:
    cube = open_cube(plain(tmp_path, fwhm="{1, 2}", bbl="{1}", wavelength="{400, 500, 600}"))
    assert cube.fwhm is None
    assert cube.good_bands is None
    assert len(cube.metadata["notes"]) == 3
    header = plain(tmp_path, wavelength="{400, 500}")
    with pytest.raises(ReadError, match="2 entries for 3 bands"):
        open_cube(header)
    np.testing.assert_allclose(open_cube(header, wavelengths=[1, 2, 3]).wavelengths, [1, 2, 3])


def test_spectral_library(tmp_path: Path) -> None:
    values = np.arange(20, dtype="<f4").reshape(4, 5)
    entries = CORE | {"bands": 1, "data type": 4, "file type": "ENVI Spectral Library"}
    cube = open_cube(write(tmp_path, entries | {"wavelength": "{1, 2, 3, 4, 5}"}, values.tobytes(), ".sli"))
    assert cube.shape == (5, 4, 1)
    np.testing.assert_array_equal(cube.spectrum(2, 0), values[2])


@pytest.mark.parametrize("ending", ["", ".img", ".dat", ".raw", ".bil", ".bsq", ".hyspex", ".RAW"])
def test_either_file_opens_the_pair(ending: str, tmp_path: Path) -> None:
    header = write(tmp_path, CORE, np.arange(60, dtype="<i2").tobytes(), ending)
    for path in (header, tmp_path / f"scene{ending}"):
        assert open_cube(path).shape == (3, 4, 5)
        assert open_cube(path).name == "scene"


def test_header_named_after_the_whole_data_file(tmp_path: Path) -> None:
    write(tmp_path, CORE).rename(tmp_path / "scene.raw.hdr")
    (tmp_path / "scene.raw").write_bytes(bytes(120))
    assert open_cube(tmp_path / "scene.raw").shape == (3, 4, 5)
    cube = open_cube(tmp_path / "scene.raw.hdr")
    assert cube.name == "scene"
    assert cube.shape == (3, 4, 5)


def test_file_of_the_right_size_wins(tmp_path: Path) -> None:
    header = write(tmp_path, CORE, np.full(60, 9, "<i2").tobytes(), ".dat")
    (tmp_path / "scene.img").write_bytes(bytes(500))
    assert open_cube(header).data.compute().max() == 9


def test_data_file_elsewhere(tmp_path: Path) -> None:
    header = write(tmp_path, CORE)
    with pytest.raises(ReadError, match=r"There is no data file next to .*scene\.hdr.*data="):
        open_cube(header)
    (tmp_path / "other.bin").write_bytes(bytes(120))
    assert open_cube(header, data=tmp_path / "other.bin").shape == (3, 4, 5)
    with pytest.raises(ReadError, match="does not exist"):
        open_cube(header, data=tmp_path / "nowhere.bin")


def test_data_without_header(tmp_path: Path) -> None:
    (tmp_path / "scene.raw").write_bytes(bytes(120))
    with pytest.raises(ReadError, match="no ENVI header next to it"):
        open_cube(tmp_path / "scene.raw")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"samples": None}, "'samples' is missing"),
        ({"lines": None}, "'lines' is missing"),
        ({"bands": ""}, "'bands' is missing"),
        ({"data type": None}, "'data type' is missing"),
        ({"samples": "five"}, "'five'"),
        ({"samples": -5}, "at least 1"),
        ({"samples": 0}, "at least 1"),
        ({"samples": 2.5}, "whole number"),
        ({"samples": "nan"}, "whole number"),
        ({"bands": "1e400"}, "whole number"),
        ({"lines": 10**15}, r"has 120 bytes, but its header describes 30000000000000000"),
        ({"lines": "9" * 200}, "has 120 bytes"),
        ({"header offset": 1}, "has 120 bytes, but its header describes 121"),
        ({"header offset": -1}, "at least 0"),
        ({"data type": 6}, "complex"),
        ({"data type": 9}, "complex"),
        ({"data type": 7}, "is unknown; ENVI's are"),
        ({"interleave": "bis"}, "must be bsq, bil or bip"),
        ({"interleave": None}, "must be bsq, bil or bip"),
        ({"byte order": 2}, "byte order = 2"),
        ({"file compression": 1}, "compressed"),
        ({"major frame offsets": "{0, 8}"}, "frame offsets"),
        ({"minor frame offsets": "{8, 0}"}, "frame offsets"),
        ({"wavelength": "{400, many, 600}"}, "not a number"),
        ({"wavelength": "{400, nan, 600}"}, "not a number"),
        ({"wavelength": "{400, 500"}, "not closed"),
        ({"file type": "TIFF"}, "another format"),
    ],
)
def test_header_that_lies(entries: dict[str, object], words: str, tmp_path: Path) -> None:
    changed = {key: value for key, value in (CORE | entries).items() if value is not None}
    with pytest.raises(ReadError, match=words):
        open_cube(write(tmp_path, changed, bytes(120)))


def test_file_gone_after_opening(tmp_path: Path) -> None:
    cube = open_cube(plain(tmp_path))
    (tmp_path / "scene.img").write_bytes(bytes(10))
    with pytest.raises(ReadError, match="moved or truncated"):
        cube.spectrum(0, 0)


@pytest.mark.parametrize("ending", [".float", ".spe", ".001"])
def test_any_ending_will_do_where_the_size_is_right(ending: str, tmp_path: Path) -> None:
    header = write(tmp_path, CORE, np.full(60, 9, "<i2").tobytes(), ending)
    assert open_cube(header).data.compute().max() == 9
    (tmp_path / f"scene{ending}").write_bytes(bytes(121))
    with pytest.raises(ReadError, match="There is no data file next to"):
        open_cube(header)


def test_upper_case_pair_with_the_header_named_after_the_data(tmp_path: Path) -> None:
    write(tmp_path, CORE).rename(tmp_path / "SCENE.IMG.HDR")
    (tmp_path / "SCENE.IMG").write_bytes(bytes(120))
    for name in ("SCENE.IMG.HDR", "SCENE.IMG"):
        assert open_cube(tmp_path / name).name == "SCENE"


def test_a_file_longer_than_its_header_says(tmp_path: Path) -> None:
    cube = open_cube(write(tmp_path, CORE, np.arange(64, dtype="<i2").tobytes()))
    np.testing.assert_array_equal(cube.data.compute(), np.arange(60).reshape(3, 4, 5))
    assert cube.metadata["notes"] == ("8 bytes after the image were left out",)


def test_a_file_shorter_than_its_header_says(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"has 119 bytes, but its header describes 120 \(shape \(3, 4, 5\), <i2"):
        open_cube(write(tmp_path, CORE, bytes(119)))


REAL = {
    "aviris_ng/ang20170323t202244_rdn_7000-7010.hdr": ((425, 10, 10), "<f4"),
    "specim_rock/image.hdr": ((450, 38, 23), "<u2"),
    "wiser/caltech_425_7_7_nm.hdr": ((425, 7, 7), "<f4"),
    "wiser/caltech_4_100_150_nm.hdr": ((4, 150, 150), "<f4"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_as_spectral_python_reads_them(name: str, data_dir: Path) -> None:
    from spectral.io import envi as spy

    shape, dtype = REAL[name]
    path = data_dir / "formats" / name
    cube = open_cube(path)
    assert cube.shape == shape
    assert cube.dtype == np.dtype(dtype)
    data = path.with_suffix(".dat" if path.with_suffix(".dat").exists() else "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of capital letters in keys
        there = spy.open(path, data)
    stored = cube.data.compute() * cube.scale  # it scales, but knows no fill value
    np.testing.assert_allclose(stored, np.asarray(there[:, :, :]).transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(cube.wavelengths, there.bands.centers)
    if there.bands.bandwidths is not None:
        np.testing.assert_allclose(cube.fwhm, there.bands.bandwidths)


def test_a_real_file_that_names_no_byte_order(data_dir: Path) -> None:
    folder = data_dir / "formats" / "corn_kernel"
    cube = open_cube(folder / "corn-kernel-hyperspectral.hdr")
    assert cube.shape == (580, 31, 43)
    assert cube.wavelengths is not None
    assert cube.wavelengths[0] == pytest.approx(366.551)
    assert "byte order" in cube.metadata["notes"][0]
    raw = np.fromfile(folder / "corn-kernel-hyperspectral.raw", "<u2").reshape(31, 580, 43)
    np.testing.assert_array_equal(cube.data.compute(), raw.transpose(1, 0, 2))


def test_the_scale_factor_of_a_real_file(data_dir: Path) -> None:
    cube = open_cube(data_dir / "formats" / "specim_rock" / "image.hdr")
    assert cube.scale == pytest.approx(1 / 65535)
    assert cube.nodata == 0
    values = cube.read()
    assert 0 < np.nanmin(values) < np.nanmax(values) <= 1


def test_two_files_that_could_be_the_data_are_told(tmp_path: Path) -> None:
    header = plain(tmp_path)
    assert not open_cube(header).metadata["notes"]
    (tmp_path / "scene.dat").write_bytes(np.zeros(60, "<i2").tobytes())
    assert "scene.dat was read as the data, though scene.img" in str(open_cube(header).metadata["notes"])
    assert not open_cube(tmp_path / "scene.img").metadata["notes"]
    (tmp_path / "scene.dat").write_bytes(b"\0")
    assert not open_cube(header).metadata["notes"]
