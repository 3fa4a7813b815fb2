"""Questions that are asked before something is done that may be wrong, or lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_specfusion.widgets._plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qtpy.QtWidgets import QWidget

    from napari_specfusion.fusion.destination import State

__all__ = [
    "Answer",
    "ResultAnswer",
    "RoomAnswer",
    "ask",
    "ask_about_result",
    "ask_about_room",
    "ask_for_folder",
    "ask_to_run",
    "ask_to_stop",
]

Answer = Literal["run", "align", "cancel"]
ResultAnswer = Literal["open", "continue", "overwrite", "cancel"]
RoomAnswer = Literal["folder", "memory", "cancel"]

_THERE: Mapping[State, str] = {
    "finished": "It holds a finished result.",
    "unfinished": "It holds a result that is not complete. The same run on the same images continues it.",
    "other": "It holds another image.",
}


def ask(parent: QWidget, title: str, text: str, details: str, choices: Mapping[str, str]) -> str:
    """Ask a question with several answers.

    Parameters
    ----------
    parent
        The widget that asks.
    title, text, details
        Title of the box, the question, and what there is to know about it.
    choices
        Answers, and what their buttons say. A button *Cancel* is added.

    Returns
    -------
    str
        A key of `choices`, or ``"cancel"``.
    """
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(text)
    box.setInformativeText(plain(details))
    roles = [QMessageBox.ButtonRole.AcceptRole, *[QMessageBox.ButtonRole.ActionRole] * (len(choices) - 1)]
    buttons = [(key, box.addButton(words, role)) for (key, words), role in zip(choices.items(), roles, strict=True)]
    box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
    box.exec()
    pressed = box.clickedButton()
    box.deleteLater()
    return next((key for key, button in buttons if pressed is not None and pressed is button), "cancel")


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
    return ask(  # type: ignore[return-value]
        parent,
        "Fuse",
        "These two images may not belong together, or may not lie on each other.",
        "\n\n".join(reasons),
        {"run": "Run anyway", "align": "Align by hand"},
    )


def ask_about_result(parent: QWidget, path: Path, state: State) -> ResultAnswer:
    """Ask what to do about a result that is there already.

    Parameters
    ----------
    parent
        The widget that asks.
    path, state
        Where it is, and what `state_of` says about it.

    Returns
    -------
    ResultAnswer
        ``"open"``, ``"continue"`` (only where tiles are missing), ``"overwrite"`` or ``"cancel"``.
    """
    choices = {"continue": "Continue"} if state == "unfinished" else {}
    choices |= {"open": "Open", "overwrite": "Overwrite"}
    details = f"{_THERE[state]} If you overwrite it, it stays until the new one is complete."
    return ask(parent, "Fuse", f"{path.name} exists already.", details, choices)  # type: ignore[return-value]


def ask_about_room(parent: QWidget, size: int, free: int) -> RoomAnswer:
    """Ask where to put a result that memory may not hold.

    Parameters
    ----------
    parent
        The widget that asks.
    size, free
        Bytes of the result, and of free memory.

    Returns
    -------
    RoomAnswer
        ``"folder"``, ``"memory"`` or ``"cancel"``.
    """
    return ask(  # type: ignore[return-value]
        parent,
        "Fuse",
        f"The result takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free.",
        "In a folder it can be larger than the memory, and a run that is stopped can be continued.",
        {"folder": "Choose a folder \u2026", "memory": "Keep it in memory"},
    )


def ask_for_folder(parent: QWidget) -> Path | None:
    """Ask for the folder of a result; None if the user gave none."""
    chosen, _ = QFileDialog.getSaveFileName(
        parent,
        "Save the result in",
        "fused.zarr",
        "OME-Zarr (*.zarr)",
        # what is there is asked about by itself
        options=QFileDialog.Option.DontConfirmOverwrite,
    )
    if not chosen:
        return None
    path = Path(chosen)
    return path if path.suffix == ".zarr" else path.with_name(f"{path.name}.zarr")


def ask_to_stop(parent: QWidget, running: str) -> bool:
    """Ask whether to close a panel that is at work; `running` says at what."""
    text = f"{running} is not done."
    return ask(parent, "Close the panel", text, "Closing the panel stops it.", {"stop": "Stop it"}) == "stop"
