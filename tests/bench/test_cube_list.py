"""The list of cubes: what it says of files, and which bands are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_specfusion.bench.cube_list import LIST, open_listed_cubes
from napari_specfusion.errors import ReadError
from napari_specfusion.samples.scene import sample_reference


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two cubes, and one more in a folder below."""
    values = np.rint(4000 * sample_reference(48).read()).astype(np.int16)
    (tmp_path / "more").mkdir()
    for name in ("one", "two", "more/three"):
        np.savez(tmp_path / f"{name}.npz", data=values)
    return tmp_path


def test_files_without_a_list_are_opened_as_they_are(folder: Path) -> None:
    (folder / "more" / "three.npz").rename(folder / "three.npz")
    (folder / "more").rmdir()
    cubes = open_listed_cubes(folder)
    assert [(sharp.name, sharp.sensor) for sharp in cubes] == [(name, "unknown") for name in ("one", "three", "two")]
    assert cubes[0].cube.wavelengths is None


def test_the_first_pattern_that_matches_tells(folder: Path, tmp_path: Path) -> None:
    (folder / LIST).write_text(
        """
        ["two.npz"]
        skip = true
        ["*.npz"]
        sensor = "AVIRIS"
        wavelengths = [400, 2500]
        ["more/*.npz"]
        sensor = "HYDICE"
        wavelengths = "more/bands.txt"
        axes = "byx"
        """,
        encoding="utf-8",
    )
    np.savetxt(folder / "more" / "bands.txt", np.arange(31) * 10 + 400)
    one, three = open_listed_cubes(folder)
    assert (one.name, one.sensor, one.assumed) == ("one", "AVIRIS", True)
    assert one.cube.wavelengths is not None and three.cube.wavelengths is not None
    np.testing.assert_allclose(one.cube.wavelengths, np.linspace(400, 2500, 31))
    assert (three.name, three.sensor, three.assumed) == ("three", "HYDICE", False)
    np.testing.assert_allclose(three.cube.wavelengths[[0, -1]], [400, 700])


def test_values_are_scaled_by_their_percentile(folder: Path) -> None:
    (folder / LIST).write_text('["more/*"]\nskip = true', encoding="utf-8")
    values = open_listed_cubes(folder)[0].cube.read()
    assert np.percentile(values, 99.9) == pytest.approx(1, abs=1e-4)


def test_bands_without_an_image_are_left_out_with_the_reason(tmp_path: Path) -> None:
    values = np.tile(sample_reference(48).read(), (2, 1, 1))[:40]
    rng = np.random.default_rng(0)
    values[3], values[10], values[20:22] = np.nan, 0.5, rng.random((2, 48, 48))
    values[30:33] *= 1e-3
    good = np.arange(40) != 35
    np.savez(tmp_path / "cube.npz", data=values, good_bands=good)
    (sharp,) = open_listed_cubes(tmp_path)
    assert sharp.dropped["no data"] == (3,)
    assert sharp.dropped["one value"] == (10,)
    assert sharp.dropped["noise"] == (20, 21)
    assert sharp.dropped["dark"] == (30, 31, 32)
    assert sharp.stored == 40
    assert sharp.cube.bands == 40 - sum(map(len, sharp.dropped.values()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one.npz =", "not a list of cubes"),
        ('sensor = "AVIRIS"', "outside any table"),
        ('["four.npz"]', "holds no such file; correct or remove it"),
        ('["one.npz"]\nwhte = 4', "takes no option whte"),
        ('["one.npz"]\nwavelengths = ["a", "b"]', "the options of one.npz do not fit"),
        ('["*.npz"]\nskip = true\n["more/*"]\nskip = true', "holds no cube"),
    ],
)
def test_a_wrong_list_is_named(text: str, message: str, folder: Path) -> None:
    (folder / LIST).write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=message):
        open_listed_cubes(folder)


def test_the_list_in_the_pages_is_one(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text(encoding="utf-8")
    listed = folder / "listed.toml"
    listed.write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    with pytest.raises(ReadError, match=r"listed.toml names abu-\*.mat, but .* holds no such file"):
        open_listed_cubes(folder, listed)


def test_a_list_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(ReadError, match=r"other\.toml does not exist"):
        open_listed_cubes(folder, folder / "other.toml")


def test_a_cube_without_an_image_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.ones((5, 8, 9), np.float32))
    with pytest.raises(ReadError, match="flat holds 0 bands with an image"):
        open_listed_cubes(tmp_path)
