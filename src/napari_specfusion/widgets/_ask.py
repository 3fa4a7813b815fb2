"""Questions that are asked before something is done that may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtWidgets import QWidget

__all__ = ["Answer", "ask_to_run"]

Answer = Literal["run", "align", "cancel"]


def ask_to_run(parent: QWidget, reasons: Iterable[str]) -> Answer:
    """Ask whether to fuse two images that may not belong together.

    Parameters
    ----------
    parent
        The widget that asks.
    reasons
        What was found.

    Returns
    -------
    Answer
        ``"run"``, ``"align"`` (by hand, first) or ``"cancel"``.
    """
    box = QMessageBox(parent)
    box.setWindowTitle("Fuse")
    box.setIcon(QMessageBox.Icon.Warning)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText("These two images may not belong together, or may not lie on each other.")
    box.setInformativeText("\n\n".join(reasons))
    run = box.addButton("Run anyway", QMessageBox.ButtonRole.AcceptRole)
    align = box.addButton("Align by hand", QMessageBox.ButtonRole.ActionRole)
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(cancel)
    box.exec()
    pressed = box.clickedButton()
    box.deleteLater()
    if pressed is not None and pressed is run:
        return "run"
    return "align" if pressed is not None and pressed is align else "cancel"
