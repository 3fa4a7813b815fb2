"""The pages of the API: every public name has its place, without an edit."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_specfusion

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("api_pages")


def test_every_public_name_has_one_place(pages: ModuleType) -> None:
    names = pages.names()
    assert len(names) == len(set(names))
    assert {f"napari_specfusion.{name}" for name in napari_specfusion.__all__} <= set(names)
    assert "napari_specfusion.fusion.FusionProgress" in names
    assert "napari_specfusion.errors.ReadError" in names


def test_every_name_is_described(pages: ModuleType) -> None:
    assert not [name for name in pages.names() if not pages.summary(name)]


def test_a_new_part_of_the_package_gets_a_page(
    pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "fresh"
    part.mkdir()
    (part / "__init__.py").write_text(
        'from typing import Final\n\n__all__ = ["LIMIT", "make"]\n\n\ndef make():\n    """Make it."""\n',
        encoding="utf-8",
    )
    with (part / "__init__.py").open("a", encoding="utf-8") as file:
        file.write('\n\nLIMIT: Final = 3\n"""The most."""\n')
    monkeypatch.setattr(napari_specfusion, "__path__", [*napari_specfusion.__path__, str(tmp_path)])
    monkeypatch.setattr(pages, "SOURCES", (*pages.SOURCES, tmp_path))
    for cached in (pages.names, pages.texts_of_data):
        cached.cache_clear()
    try:
        pages.write(tmp_path / "api")
    finally:
        for cached in (pages.names, pages.texts_of_data):
            cached.cache_clear()
        sys.modules.pop("napari_specfusion.fresh", None)
        vars(napari_specfusion).pop("fresh", None)
    text = (tmp_path / "api" / "fresh.rst").read_text(encoding="utf-8")
    assert ".. autofunction:: napari_specfusion.fresh.make" in text
    assert ".. py:data:: LIMIT\n   :module: napari_specfusion.fresh\n\n   The most." in text
    assert "   fresh\n" in (tmp_path / "api" / "index.rst").read_text(encoding="utf-8")


def test_pages_that_stay_the_same_are_left_alone_and_old_ones_go(pages: ModuleType, tmp_path: Path) -> None:
    pages.write(tmp_path)
    (tmp_path / "gone.rst").write_text("gone", encoding="utf-8")
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    pages.write(tmp_path)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == {
        name: time for name, time in before.items() if name != "gone.rst"
    }
