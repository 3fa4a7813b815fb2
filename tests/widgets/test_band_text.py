"""The text in the corner of the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtWidgets import QWidget

from napari_specfusion.widgets._band_text import NEW_LETTERS, BandText

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def texts(viewer: Any, qtbot: Any) -> Iterator[tuple[BandText, list[str]]]:
    """Give what writes, and what was seen in the canvas."""
    qtbot.addWidget(parent := QWidget())
    seen: list[str] = []
    viewer.canvas.overlays.text.events.text.connect(lambda event: seen.append(viewer.canvas.overlays.text.text))
    yield BandText(viewer, parent), seen


def test_letters_that_are_new_come_a_few_at_a_time(texts: Any, viewer: Any, qtbot: Any) -> None:
    text, seen = texts
    text.write("550.0 nm, band 3 of 7")
    qtbot.waitUntil(lambda: viewer.canvas.overlays.text.text == "550.0 nm, band 3 of 7")
    assert seen[0] == "550.0" and len(seen) > 3
    letters: set[str] = set()
    for part in seen:
        assert len(set(part) - letters) <= NEW_LETTERS
        letters |= set(part)
    assert viewer.canvas.overlays.text.visible


def test_of_many_texts_the_first_and_the_last_are_written(texts: Any, qtbot: Any) -> None:
    text, seen = texts
    text._known = set("band 0123456789")
    for number in range(20):
        text.write(f"band {number}")
    assert seen == ["band 0"]
    qtbot.waitUntil(lambda: seen[-1] == "band 19")
    assert len(seen) == 2


def test_no_text_comes_after_it_was_hidden(texts: Any, viewer: Any, qtbot: Any) -> None:
    text, _ = texts
    text._known = set("band 0123456789")
    for words in ("band 1", "band 2", ""):
        text.write(words)
    qtbot.wait(200)
    assert not viewer.canvas.overlays.text.visible
