"""One entry in the tables is enough: names, dialogs and documents follow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_specfusion.io import find_reader
from napari_specfusion.io.registry import PRODUCTS, READERS, WRITERS
from napari_specfusion.io.save import find_writer

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return the part of the reference under a heading of any level."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", REFERENCE, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


@pytest.mark.parametrize("key", READERS)
def test_a_file_of_each_name_finds_its_reader(key: str, tmp_path: Path) -> None:
    # a folder of pictures has no name of its own
    for pattern in READERS[key].patterns:
        path = tmp_path / pattern.replace("*", "x").replace("?", "1")
        path.touch()
        assert find_reader(path) == key


@pytest.mark.parametrize("key", WRITERS)
def test_each_ending_finds_its_writer(key: str) -> None:
    for suffix in WRITERS[key].suffixes:
        assert find_writer(f"x{suffix}") == find_writer(f"X{suffix.upper()}") == key


@pytest.mark.parametrize("key", WRITERS)
def test_the_reference_lists_every_writer(key: str) -> None:
    rows = [line for line in section("Writing").splitlines() if f"`{WRITERS[key].suffixes[0]}`" in line]
    assert len(rows) == 1
    assert all(f"`{suffix}`" in rows[0] for suffix in WRITERS[key].suffixes)


@pytest.mark.parametrize("key", PRODUCTS)
def test_the_reference_lists_every_product(key: str) -> None:
    assert f"| {PRODUCTS[key].title.split()[0]}" in section("Products")


@pytest.mark.parametrize("key", sorted(READERS.keys() - {"enmap", "npy", "npz", "picture", "folder"}))
def test_the_reference_lists_every_reader(key: str) -> None:
    assert f"\n| {READERS[key].title}" in section("Formats")


def test_products_are_not_an_option_of_their_reader() -> None:
    assert set(READERS["hdf5"].options) == {"array", "axes", "wavelengths"}
