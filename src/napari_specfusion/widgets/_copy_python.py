"""The button that puts a run on the clipboard as a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import QMenu, QToolButton

from napari_specfusion.errors import SpecFusionError
from napari_specfusion.widgets._origins import recipe_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_specfusion.fusion.recipe import Recipe

__all__ = ["CopyPython"]


class CopyPython(QToolButton):
    """A small button with a menu: copy what is chosen in a panel, or the run of the selected layer, as Python.

    Attributes
    ----------
    copied
        What was copied, in words.
    failed
        Why it was not.
    """

    copied = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, recipe: Callable[[], Recipe | None]) -> None:
        """Make the button; `recipe` returns what is chosen in the panel, None where there is no pair."""
        super().__init__()
        self._viewer, self._recipe = viewer, recipe
        self.setText("Python")
        self.setToolTip("Copy a script that makes the same result.")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        self.these, self.layers = QAction("Copy these settings as Python", menu), QAction(menu)
        menu.addActions([self.these, self.layers])
        menu.aboutToShow.connect(self.offer)
        self.these.triggered.connect(lambda _=False: self.copy_these())
        self.layers.triggered.connect(lambda _=False: self.copy_layer())
        self.setMenu(menu)
        # room for the menu's arrow
        self.setStyleSheet("QToolButton { padding-right: 14px; }")
        self.offer()

    def offer(self) -> None:
        """Enable what can be copied."""
        layer = self._selected()
        self.these.setEnabled(self._recipe() is not None)
        self.layers.setEnabled(layer is not None)
        name = "the selected result" if layer is None else str(layer.name).replace("&", "&&")
        self.layers.setText(f"Copy the run of {name} as Python")

    def copy_these(self) -> None:
        """Copy what is chosen."""
        self._copy(self._recipe(), "these settings")

    def copy_layer(self) -> None:
        """Copy the run that made the selected layer."""
        if (layer := self._selected()) is not None:
            self._copy(recipe_of(layer), f"the run of {layer.name}")

    def _selected(self) -> Any | None:
        layer = self._viewer.layers.selection.active
        return layer if layer is not None and recipe_of(layer) is not None else None

    def _copy(self, recipe: Recipe | None, what: str) -> None:
        if recipe is None:
            return
        try:
            script = recipe.script()
        except SpecFusionError as error:
            self.failed.emit(str(error))
            return
        if (clipboard := QGuiApplication.clipboard()) is not None:
            clipboard.setText(script)
        lacks = [
            name for name, origin in ((recipe.cube_name, recipe.cube), (recipe.guide_name, recipe.guide)) if not origin
        ]
        hint = f" It leaves {' and '.join(lacks)} to fill in, which no file is known for." if lacks else ""
        self.copied.emit(f"Copied {what} as Python.{hint}")
