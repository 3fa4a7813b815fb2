"""Panels as one group that fits a small screen."""

from __future__ import annotations

from typing import Any

import pytest
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QDockWidget

from napari_specfusion.widgets._panel import open_panel

NAMES = ("Open cube", "Fuse", "Align by hand", "Spectra", "Quality", "Colour")
SMALL = (1024, 700)


def opened(viewer: Any, name: str) -> tuple[Any, Any]:
    """Open a panel as napari's menu does; return its dock and itself."""
    return viewer.window.add_plugin_dock_widget("napari-specfusion", name)  # type: ignore[no-any-return]


def test_panels_come_as_one_group_that_fits_a_small_screen(pair_in: Any, qtbot: Any) -> None:
    docks = [opened(pair_in, name)[0] for name in NAMES]
    window = docks[0].parent()
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(docks[0])) == len(NAMES) - 1)
    # the last one is in front
    qtbot.waitUntil(lambda: docks[-1].widget().isVisible())
    window.resize(*SMALL)
    qtbot.wait(50)
    hint = window.minimumSizeHint()
    assert (window.width(), window.height()) == SMALL
    assert hint.width() <= SMALL[0] and hint.height() <= SMALL[1]


def test_a_plot_leaves_the_window_to_the_picture(pair_in: Any, qtbot: Any) -> None:
    dock = opened(pair_in, "Spectra")[0]
    qtbot.wait(50)
    assert dock.width() < 420


@pytest.mark.parametrize("name", ["Spectra", "Quality"])
def test_a_plot_asks_for_no_more_than_it_needs(viewer: Any, name: str) -> None:
    # what it asks for, a scrolling panel gives it, and scrolls
    view = open_panel(viewer, name).plot.view
    assert view.sizeHint().height() <= view.minimumHeight() <= 250


def test_a_panel_that_was_taken_out_stays_out(pair_in: Any, qtbot: Any) -> None:
    fuse, spectra = opened(pair_in, "Fuse")[0], opened(pair_in, "Spectra")[0]
    window = fuse.parent()
    qtbot.waitUntil(lambda: window.tabifiedDockWidgets(fuse) == [spectra])
    spectra.setFloating(True)
    spectra.hide()
    spectra.show()
    qtbot.wait(50)
    assert spectra.isFloating()
    quality = opened(pair_in, "Quality")[0]
    qtbot.waitUntil(lambda: window.tabifiedDockWidgets(quality) == [fuse])


def test_docks_of_others_are_left_alone(pair_in: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QLabel

    other = pair_in.window.add_dock_widget(QLabel("other"), name="other", area="right")
    fuse = opened(pair_in, "Fuse")[0]
    qtbot.wait(50)
    assert isinstance(other, QDockWidget) and not fuse.parent().tabifiedDockWidgets(fuse)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_panels_open_in_both_themes(viewer: Any, qtbot: Any, name: str, theme: str) -> None:
    panel = open_panel(viewer, name)
    viewer.theme = theme
    dock = panel._dock()
    dock.hide()
    viewer.theme = "dark" if theme == "light" else "light"
    dock.show()
    qtbot.wait(20)
    plot = getattr(panel, "plot", None)
    if plot is not None:
        # the theme was changed while nobody saw it
        background = get_theme(viewer.theme).background.as_hex("long")
        assert plot.view.backgroundBrush().color().name() == background
