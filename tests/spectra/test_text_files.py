"""Files made after the layout that the libraries document, or that their users describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.spectra import read_library
from napari_specfusion.spectra.text_files import read_text_file

if TYPE_CHECKING:
    from pathlib import Path

ECOSTRESS = """Name: Kaolinite Al2Si2O5(OH)4
Type: mineral
Class: Silicate
Subclass: Phyllosilicate
Particle Size: fine
Sample No.: PS-1A
Owner: JPL
Wavelength Range: TIR
Description: Pure, from Macon: Georgia.
 Second line of it, 45\u00b5m.
Measurement: Hemispherical reflectance
First Column: X (Wavelength)
Second Column: Y
X Units: Wavelength (micrometers)
Y Units: Reflectance (percentage)
First X Value: 14.011
Last X Value: 0.4
Number of X Values: 3
Additional Information: none

14.011\t20.5
2.2\t50
0.4\t10.0
"""
SPLIB06 = """USGS Digital Spectral Library splib06a
Clark et.al. 2007, USGS Digital Data Series 231

For further information on spectrsocopy, see: http://speclab.cr.usgs.gov

ASCII Spectral Data file contents:
line 15 title
line 16 history
line 17 to end:  3-columns of data:
     wavelength    reflectance    standard deviation

(standard deviation of 0.000000 means not measured)
(      -1.23e34  indicates a deleted number)
----------------------------------------------------
Actinolite HS116.3B   W1R1Ba ABS REF
copy of splib05a r 309
      0.205100      -1.23e34      0.000000
      0.213100       0.252         0.001
      0.221100       0.26          0.002
"""


def test_ecostress(tmp_path: Path) -> None:
    (tmp_path / "mineral.kaolinite.spectrum.txt").write_bytes(ECOSTRESS.encode("latin-1"))
    (found,) = read_library(tmp_path / "mineral.kaolinite.spectrum.txt")
    assert found.name == "Kaolinite Al2Si2O5(OH)4" and found.unit == "nm"
    assert np.allclose(found.positions, [400, 2200, 14011]) and np.allclose(found.values, [0.1, 0.5, 0.205])
    assert found.metadata["class"] == "Silicate" and found.metadata["sample no."] == "PS-1A"
    assert "Macon: Georgia. Second line" in found.metadata["description"]


def test_splib06(tmp_path: Path) -> None:
    (tmp_path / "actinolite.asc").write_text(SPLIB06, encoding="utf-8")
    (found,) = read_library(tmp_path / "actinolite.asc")
    assert found.name == "Actinolite HS116.3B   W1R1Ba ABS REF" and np.allclose(found.positions, [205.1, 213.1, 221.1])
    assert np.array_equal(found.values, [np.nan, 0.252, 0.26], equal_nan=True)
    assert found.metadata["history"] == "copy of splib05a r 309"


def splib07(folder: Path) -> Path:
    """Write a chapter with two spectra, and wavelengths of two spectrometers above it."""
    chapter = folder / "ChapterM_Minerals"
    chapter.mkdir()
    waves = {"ASD": "0.35\n0.45\n0.55\n", "BECK": "0.2\n0.3\n0.4\n0.5\n", "NIC4": "1.2\n2\n3\n4\n"}
    for name, text in waves.items():
        title = f" splib07a Record={len(name)}: Wavelengths {name} range\n"
        (folder / f"splib07a_Wavelengths_{name}.txt").write_text(title + text, encoding="utf-8")
    (folder / "splib07a_Bandpass_(FWHM)_ASD.txt").write_text(
        " splib07a Record=9: Bandpass ASD\n1\n1\n1\n", encoding="utf-8"
    )
    for record, name, values in ((11, "Alunite GDS83 Na63 ASDFRb AREF", 3), (12, "Calcite WS272 NIC4aa RREF", 4)):
        text = f" splib07a Record={record}: {name}  \n" + "\n".join(
            ["-1.2300000e+034", *"0.25 0.5 0.75".split()][:values]
        )
        (chapter / f"splib07a_{name.split()[0]}.txt").write_text(text + "\n", encoding="utf-8")
    return chapter


def test_splib07_finds_its_wavelengths(tmp_path: Path) -> None:
    chapter = splib07(tmp_path)
    (alunite,) = read_text_file(chapter / "splib07a_Alunite.txt")
    assert alunite.name == "Alunite GDS83 Na63 ASDFRb AREF" and np.allclose(alunite.positions, [350, 450, 550])
    assert np.array_equal(alunite.values, [np.nan, 0.25, 0.5], equal_nan=True)
    # of two spectrometers with as many channels, the one that is named
    (calcite,) = read_text_file(chapter / "splib07a_Calcite.txt")
    assert np.allclose(calcite.positions, [1200, 2000, 3000, 4000])
    # the folder above holds wavelengths, too, which are no spectra
    assert sorted(s.name[:7] for s in read_library(tmp_path)) == ["Alunite", "Calcite"]


def test_splib07_without_wavelengths_is_told(tmp_path: Path) -> None:
    chapter = splib07(tmp_path)
    (tmp_path / "splib07a_Wavelengths_ASD.txt").unlink()
    with pytest.raises(ReadError, match="3 values without wavelengths"):
        read_text_file(chapter / "splib07a_Alunite.txt")


def test_two_columns(tmp_path: Path) -> None:
    (tmp_path / "leaf.txt").write_text("400 0.1\n500, 0.2\n600\t0.3\n", encoding="utf-8")
    (found,) = read_library(tmp_path / "leaf.txt")
    assert found.name == "leaf" and found.positions.tolist() == [400, 500, 600] and found.unit == "nm"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a\0b 1\n", "no text"),
        ("words only\n", "two columns"),
        ("1 2\n1 2 3\n", "two columns"),
        ("1 2 3 4\n", "two columns"),
        ("0.4 1\nx y\n", "line 2: 'x y' are not numbers"),
        ("nan 1\n0.5 2\n", "not finite"),
        ("X Units: Frequency (THz)\n0.4 1\n", "the unit must be a length"),
        (" splib07a Record=1: Title\n", "one number in each line"),
        (" splib07a Record=1: Title\n1 2\n", "one number in each line"),
    ],
)
def test_damaged_files(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=words):
        read_text_file(tmp_path / "a.txt")
