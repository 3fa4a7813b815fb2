"""The band in words, in the corner of the canvas; drawn so that it never holds up the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_specfusion.widgets._forms import single_timer

if TYPE_CHECKING:
    import napari

__all__ = ["BandText"]

# each text costs napari a shader and the whole canvas is drawn with it: no more often than the eye reads, in ms
PACE = 100
# napari draws a letter that is new to it slowly, with all its edges: so many in one go, and the next after so many ms
NEW_LETTERS, NEXT = 3, 20
SIZE, PLACE = 12, "top_left"


class BandText(QObject):
    """Writes into the corner of a viewer's canvas; of texts that come faster than it writes, the last one counts."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._wanted = ""
        # the letters that were drawn
        self._known: set[str] = set()
        self._timer = single_timer(self, PACE, self._write_more)

    def write(self, text: str) -> None:
        """Write this in place of what was there; nothing hides it."""
        self._wanted = text
        if not text:
            self.hide()
        elif not self._known and not self._timer.isActive():
            # not while a panel opens
            self._timer.start(NEXT)
        elif not self._timer.isActive():
            self._write()

    def hide(self) -> None:
        """Take the text away."""
        self._wanted = ""
        self._timer.stop()
        self._overlay().visible = False

    def _write_more(self) -> None:
        if self._overlay().text != self._wanted:
            self._write()

    def _write(self) -> None:
        overlay = self._overlay()
        overlay.text = now = self._start()
        overlay.font_size = SIZE
        overlay.position = PLACE
        overlay.visible = True
        self._known.update(now)
        self._timer.start(PACE if now == self._wanted else NEXT)

    def _start(self) -> str:
        """Return as much of the text as can be drawn at once."""
        new: set[str] = set()
        for at, letter in enumerate(self._wanted):
            if letter not in self._known:
                new.add(letter)
            if len(new) > NEW_LETTERS:
                return self._wanted[:at]
        return self._wanted

    def _overlay(self) -> Any:
        # napari before 0.9 has the overlay on the viewer itself
        return self._viewer.canvas.overlays.text if hasattr(self._viewer, "canvas") else self._viewer.text_overlay
