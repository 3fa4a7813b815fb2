from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.errors import OutputError, ReadError, SpectrumError
from napari_specfusion.spectra import SpectralLibrary, Spectrum, read_library, save_spectra

if TYPE_CHECKING:
    from pathlib import Path

WAVES = np.array([400.0, 500.5, 1234.5678, 2000.0])


def made(name: str = "a", **fields: Any) -> Spectrum:
    return Spectrum(np.array([0.1, np.nan, 1 / 3, 4]), **{"wavelengths": WAVES, "name": name} | fields)


def equal(one: Spectrum, other: Spectrum) -> bool:
    pairs = [(one.values, other.values), (one.wavelengths, other.wavelengths), (one.spread, other.spread)]
    return (
        one.name == other.name
        and one.unit == other.unit
        and all((a is b is None) or np.array_equal(a, b, equal_nan=True) for a, b in pairs)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("ending", ["csv", "sli", "hdr"])
@pytest.mark.parametrize("unit", ["nm", "cm-1", "band"])
def test_what_is_written_is_read_again(ending: str, unit: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"wavelengths": None} if unit == "band" else {"spectral_unit": unit}
    spectra = [
        made("Kaolinite, well ordered" if ending == "csv" else "Kaolinite", **fields),
        made("a region", spread=[1.0, np.nan, 2.5, 0.25], **fields),
        made("b", **fields),
    ]
    written = save_spectra(tmp_path / f"lib.{ending}", spectra)
    library = read_library(written[0] if ending == "csv" else tmp_path / f"lib.{ending}")
    assert library.name == "lib" and len(library) == 3
    assert all(equal(one, other) for one, other in zip(spectra, library, strict=True))
    with pytest.raises(OutputError, match="exists; save under another name"):
        save_spectra(tmp_path / f"lib.{ending}", spectra)
    save_spectra(tmp_path / f"lib.{ending}", spectra[:1], overwrite=True)
    assert len(read_library(written[-1])) == 1


def test_a_table_holds_spectra_of_different_bands(tmp_path: Path) -> None:
    spectra = [made(), Spectrum(np.array([5.0, 6.0]), np.array([450.0, 500.5]), name="b")]
    (path,) = save_spectra(tmp_path / "a.csv", spectra)
    assert path.read_text(encoding="utf-8").splitlines()[:3] == ["nm,a,b", "400,0.1,", "450,,5"]
    assert all(equal(one, other) for one, other in zip(spectra, read_library(path), strict=True))
    with pytest.raises(OutputError, match=r"different bands.*write a \.csv"):
        save_spectra(tmp_path / "a.sli", spectra)
    assert not (tmp_path / "a.hdr").exists()


def test_an_envi_library_is_one_for_spectral_python(tmp_path: Path) -> None:
    spectral = pytest.importorskip("spectral.io.envi")
    save_spectra(tmp_path / "a.sli", [made("first"), made("second, with a comma")])
    found = spectral.open(tmp_path / "a.hdr")
    assert found.names == ["first", "second with a comma"] and np.allclose(found.bands.centers, WAVES)
    assert np.array_equal(found.spectra[0], made().values.astype(found.spectra.dtype), equal_nan=True)


def test_an_image_is_no_library(tmp_path: Path) -> None:
    from napari_specfusion.io import as_cube

    as_cube(np.ones((3, 4, 5)), wavelengths=[1, 2, 3]).save(tmp_path / "a.hdr")
    with pytest.raises(ReadError, match="is an image"):
        read_library(tmp_path / "a.hdr")
    # and its header is not replaced by one
    with pytest.raises(OutputError, match=r"a\.hdr describes another file"):
        save_spectra(tmp_path / "a.sli", [made()], overwrite=True)


def test_search_looks_at_names_and_descriptions() -> None:
    library = SpectralLibrary((made("Kaolinite CM9"), made("Oak leaf", metadata={"class": "Vegetation"})), "lib")
    assert [s.name for s in library.search("cm9 KAOL")] == ["Kaolinite CM9"]
    assert [s.name for s in library.search("vegetation")] == ["Oak leaf"]
    assert len(library.search("")) == 2 and len(library.search("kaolinite leaf")) == 0
    assert library[0].name == "Kaolinite CM9" and len(library[:1]) == 1 and "2 spectra" in repr(library)


def test_a_folder_is_read_as_a_whole(tmp_path: Path) -> None:
    inner = tmp_path / "minerals" / "inner"
    inner.mkdir(parents=True)
    save_spectra(inner / "a.csv", [made("x"), made("y")])
    save_spectra(tmp_path / "minerals" / "b.sli", [made("z")])
    (inner / "notes.txt").write_text("no spectrum at all\n", encoding="utf-8")
    (inner / "picture.png").write_bytes(b"\x89PNG")
    library = read_library(tmp_path / "minerals")
    assert sorted(s.name for s in library) == ["x", "y", "z"] and library.name == "minerals"
    assert len(library.notes) == 1 and "notes.txt" in library.notes[0]
    with pytest.raises(ReadError, match="holds no spectra"):
        read_library(tmp_path / "minerals" / "inner").search("x") and read_library(_empty(tmp_path))


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize(
    ("spectra", "path", "words"),
    [
        ([], "a.csv", "no spectra to write"),
        ([made()], "a.xls", "unknown ending"),
        ([made(), made(wavelengths=None)], "a.csv", "in band and nm"),
        ([made()], "none/a.csv", "does not exist"),
        ([made()], "", "path is empty"),
    ],
)
def test_what_cannot_be_written(spectra: Any, path: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=words):
        save_spectra(tmp_path / path if path else "", spectra)


def test_what_is_no_library() -> None:
    for wrong in (3, [3], "text"):
        with pytest.raises(SpectrumError, match="give a SpectralLibrary"):
            save_spectra("a.csv", wrong)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(ReadError, match="is a pipe"):
        read_library(tmp_path / "a.csv")
