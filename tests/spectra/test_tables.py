from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.spectra import Spectrum
from napari_specfusion.spectra.tables import merged_spreads, read_table, table, with_spreads

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


@pytest.mark.parametrize(
    ("text", "waves", "unit"),
    [
        ("nm,a\n400,1\n500,2\n", [400, 500], "nm"),
        ("Wavelength (um);a\n0.4;1\n0.5;2\n", [400, 500], "nm"),
        ("wavelength\ta\n400\t1\n500\t2\n", [400, 500], "nm"),
        ("microns,a\n2.5,1\n0.4,2\n", [400, 2500], "nm"),
        ("cm-1,a\n400,1\n500,2\n", [400, 500], "cm-1"),
        ("\ufeffnm,a\r\n400,1\r\n\r\n500,2\r\n", [400, 500], "nm"),
    ],
)
def test_units_and_separators(text: str, waves: list[float], unit: str, tmp_path: Path) -> None:
    (found,) = read_table(written(tmp_path, text))
    assert found.wavelengths is not None and np.allclose(found.wavelengths, waves) and found.unit == unit
    assert found.name == "a" and found.metadata["file"] == "t.csv"


def test_empty_cells_are_no_bands_and_nan_is_a_missing_value(tmp_path: Path) -> None:
    first, second = read_table(written(tmp_path, "nm,a,,gone\n400,1,\n500,nan,7\n600,3,8,\n"))
    assert first.positions.tolist() == [400, 500, 600] and np.isnan(first.values[1])
    assert second.positions.tolist() == [500, 600] and second.name == "column 3"


def test_band_numbers(tmp_path: Path) -> None:
    for title in ("band", "nr"):
        (found,) = read_table(written(tmp_path, f"{title},a\n0,1\n1,2\n2,3\n"))
        assert found.wavelengths is None and found.values.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("nm\n400\n", "only one column"),
        ("400,1\n500,2\n", "no titles"),
        ("nm,a\n400,x\n", "line 2: 'x' is not a number"),
        ("nm,a\n,1\n", "without a wavelength"),
        ("nm,a\ninf,1\n", "without a wavelength"),
        ("nm,a\n", "without a wavelength"),
        ("nm,a\n400,\n", "no values"),
        ("THz,a\n1e9,1\n2e9,1\n", "implausible"),
        ("nm" + ",a" * 10_001 + "\n", "more than 10000 columns"),
        ('nm,a\n"400' + "0" * 200_000 + '",1\n', "cannot be read as a table"),
    ],
)
def test_what_is_no_table(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=words):
        read_table(written(tmp_path, text))


def test_a_table_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LARGEST_LIBRARY_TEXT", 10)
    with pytest.raises(ReadError, match="more than 10 bytes"):
        read_table(written(tmp_path, "nm,a\n400,1\n500,2\n"))


def test_cells_are_the_shortest_that_read_back() -> None:
    values = np.array([np.float32(0.1), 0.1, 1 / 3, 5.0, 1e-12])
    rows = table([Spectrum(values, np.arange(5.0) + 400)])
    assert [row[1] for row in rows[1:]] == ["0.1", "0.1", "0.3333333333333333", "5", "1e-12"]
    assert np.float32(rows[1][1]) == np.float32(0.1) and float(rows[2][1]) == 0.1


def test_a_spread_goes_into_a_column_of_its_own_and_back() -> None:
    spectra = [Spectrum([1.0, 2], spread=[3.0, 4], name="a"), Spectrum([5.0, 6], name="b")]  # type: ignore[arg-type]
    flat = with_spreads(spectra)
    assert [s.name for s in flat] == ["a", "a std", "b"] and all(s.spread is None for s in flat)
    first, second = merged_spreads(flat)
    assert first.spread is not None and first.spread.tolist() == [3, 4] and second.spread is None
