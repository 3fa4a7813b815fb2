"""Text files of wavelengths: lists and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.io import as_cube, open_cube
from napari_specfusion.io.metadata.wavelength_file import read_wavelengths

if TYPE_CHECKING:
    from pathlib import Path

WANT = [400.0, 500.5, 610.0]

TABLES = {
    "a list": "400\n500.5\n610\n",
    "a wrapped list": "400 500.5\n610 700\n",
    "named and with other columns": "band,wavelength_nm,red\n1,400,0.1\n2,500.5,0.2\n3,610,0.1\n",
    "in micrometres": "band;Wavelength (µm);fwhm\n1;0.4;0.01\n2;0.5005;0.01\n3;0.61;0.01\n",
    "a comment as title": "# band0,neon_band0,wavelength_nm (NEON; derived)\n0,0,400\n1,1,500.5\n2,2,610\n",
    "wl, without a unit": "no\twl\n1\t0.4\n2\t0.5005\n3\t0.61\n",
    "centre before width": "fwhm_nm centre_nm\n5 400\n5 500.5\n6 610\n",
    "only a unit": "i,nm,response\n1,400,0\n2,500.5,1\n3,610,0\n",
    "nm before um": "wavelength_um,wavelength_nm\n0.4,400\n0.5005,500.5\n0.61,610\n",
    "without titles": "1 400 5.2\n2 500.5 5.1\n3 610 5.3\n",
    "titles that say nothing": "a,b,c\n0,400,3\n1,500.5,3\n2,610,3\n",
    "one column in micrometres": "wavelength (um)\n0.4\n0.5005\n0.61\n",
    "with a byte order mark": "\ufeffLambda,x\n400,1\n500.5,0\n610,2\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_lists_and_tables(kind: str, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(TABLES[kind], encoding="utf-8")
    values, unit = read_wavelengths(tmp_path / "w.csv")
    np.testing.assert_allclose(values, WANT if "wrapped" not in kind else [400, 500.5, 610, 700])
    assert unit in {"nm", None}
    assert (unit is None) == (kind in {"a list", "a wrapped list"})


def test_wavenumbers_keep_their_unit(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("index,Raman shift (cm-1)\n0,520\n1,1000\n2,1600\n", encoding="utf-8")
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 5)))
    for cube in (
        open_cube(tmp_path / "x.npy", wavelengths=tmp_path / "w.csv"),
        as_cube(tmp_path / "x.npy", wavelengths=tmp_path / "w.csv"),
        as_cube(np.zeros((3, 4, 5)), wavelengths=tmp_path / "w.csv"),
    ):
        assert cube.spectral_unit == "cm-1" and cube.wavelengths is not None
        assert cube.wavelengths.tolist() == [520, 1000, 1600]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n400,500\n401,502\n402,504\n", r"2 columns \(a, b\), of which 2 could be"),
        ("a,b\n1,5\n2,5\n3,5\n", r"2 columns \(a, b\), of which none could be"),
        ("400,1\n401,2\n399,3\n", r"2 columns \(column 1, column 2\), of which none could be"),
        ("wavelength,x\nfour,1\n", "more than numbers"),
    ],
)
def test_what_cannot_be_told_names_the_columns(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=words):
        read_wavelengths(tmp_path / "w.csv")


@pytest.mark.parametrize(
    ("name", "count", "ends"),
    [("pairs/neon/wavelengths_nm.csv", 369, (383.5343, None)), ("srf/nikon_d700_cave.csv", None, (400, None))],
)
def test_real_files(name: str, count: int | None, ends: tuple[float, float | None], data_dir: Path) -> None:
    if not (data_dir / name).is_file():
        pytest.skip(f"{name} is not there")
    values, unit = read_wavelengths(data_dir / name)
    assert unit == "nm" and values[0] == ends[0] and np.all(np.diff(values) > 0)
    assert count is None or values.size == count
