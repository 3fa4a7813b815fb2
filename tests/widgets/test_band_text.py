"""The text in the corner of the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtWidgets import QWidget

from napari_specfusion.widgets import _band_text
from napari_specfusion.widgets._band_text import NEW_LETTERS, BandText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def texts(viewer: Any, qtbot: Any) -> Iterator[tuple[Callable[[str], None], list[str]]]:
    """Give a function that writes, and what was seen in the canvas."""
    qtbot.addWidget(parent := QWidget())
    seen: list[str] = []
    viewer.canvas.overlays.text.events.text.connect(lambda event: seen.append(viewer.canvas.overlays.text.text))
    yield BandText(viewer, parent).write, seen


def test_letters_that_are_new_come_a_few_at_a_time(
    texts: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_band_text, "_known", set("nm "))
    write, seen = texts
    write("550.0 nm, band 3 of 7")
    qtbot.waitUntil(lambda: viewer.canvas.overlays.text.text == "550.0 nm, band 3 of 7")
    assert seen[0] == "550.0 nm, " and len(seen) > 2
    letters = set("nm ")
    for text in seen:
        assert len(set(text) - letters) <= NEW_LETTERS
        letters |= set(text)
    assert viewer.canvas.overlays.text.visible


def test_of_many_texts_the_first_and_the_last_are_written(
    texts: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_band_text, "_known", set("band 0123456789"))
    write, seen = texts
    for number in range(20):
        write(f"band {number}")
    assert seen == ["band 0"]
    qtbot.waitUntil(lambda: seen[-1] == "band 19")
    assert len(seen) == 2


def test_no_text_comes_after_it_was_hidden(
    texts: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_band_text, "_known", set("band 0123456789"))
    write, _ = texts
    for text in ("band 1", "band 2", ""):
        write(text)
    qtbot.wait(200)
    assert not viewer.canvas.overlays.text.visible
