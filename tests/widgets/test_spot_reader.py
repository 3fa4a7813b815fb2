"""Spectra are read in the background, the newest request first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import ReadError
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._readout import step_to_band
from napari_specfusion.widgets._spot_reader import SpotReader, spots_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

VALUES = np.arange(4 * 8 * 8, dtype=np.float32).reshape(4, 8, 8)


class Slow:
    """A file that notes who reads a spectrum of it, and waits until it may."""

    def __init__(self) -> None:
        self.read: list[tuple[int, int]] = []
        self.threads: set[threading.Thread] = set()
        self.may = threading.Event()
        self.may.set()
        self.error = ""

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        self.read.append((y, x))
        self.threads.add(threading.current_thread())
        assert self.may.wait(10)
        if self.error:
            raise ReadError(self.error)
        return VALUES[:, y, x]

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        return VALUES[:, rows, columns]


@pytest.fixture
def slow(viewer: Any) -> Slow:
    """Return the file of a cube in the window."""
    source = Slow()
    show_in(viewer, Cube.from_array(VALUES, name="slow").replace(source=source))
    return source


def at(viewer: Any, row: int, column: int) -> Any:
    return spots_at([viewer.layers["slow"]], (row, column))


def test_no_spectrum_is_read_by_the_window(slow: Slow, viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    spectra.pins.add((1.0, 2.0))
    spectra.point_at((3.0, 4.0))
    qtbot.waitUntil(lambda: set(spectra.plot.curve_data()) == {"slow", "slow pin 1"})
    assert slow.threads and threading.main_thread() not in slow.threads
    assert spectra.plot.curve_data()["slow"][1].tolist() == VALUES[:, 3, 4].tolist()
    assert spectra.info.text() == "Row 3, column 4 of slow"


def test_of_many_moves_the_last_one_is_read(slow: Slow, viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    reader = SpotReader(panel := Panel(viewer))
    qtbot.addWidget(panel)
    slow.may.clear()
    for column in range(8):
        reader.ask(at(viewer, 0, column))
    slow.may.set()
    qtbot.waitUntil(lambda: not reader.busy)
    # the first one was begun at once
    assert slow.read == [(0, 0), (0, 7)]
    assert [curve.pixel for curve in reader.curves(["slow"])] == [(0, 7)]
    assert reader.curves(["slow"]) is reader.curves(["slow", "other"]) and not reader.curves(["other"])


def test_what_is_known_is_not_read_again(slow: Slow, viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    spectra.point_at((3.0, 4.0))
    qtbot.waitUntil(lambda: "slow" in spectra.plot.curve_data())
    for band in (2, 0, 1):
        step_to_band(viewer, viewer.layers["slow"], band)
        qtbot.waitUntil(lambda band=band: f"{VALUES[band, 3, 4]:.4g}" in spectra.plot.legend.text())
    assert slow.read == [(3, 4)]


def test_what_is_no_longer_wanted_does_not_appear(slow: Slow, viewer: Any, qtbot: Any) -> None:
    reader = SpotReader(panel := Panel(viewer))
    qtbot.addWidget(panel)
    slow.may.clear()
    reader.ask(at(viewer, 1, 1))
    reader.ask([])
    slow.may.set()
    qtbot.waitUntil(lambda: not reader.busy)
    assert not reader.curves(["slow"])


def test_a_panel_may_go_while_it_reads(slow: Slow, viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    slow.may.clear()
    spectra.point_at((1.0, 1.0))
    qtbot.waitUntil(lambda: slow.read == [(1, 1)])
    spectra.point_at((2.0, 2.0))
    viewer.window.remove_dock_widget(spectra)
    slow.may.set()
    qtbot.wait(100)
    assert slow.read == [(1, 1)]


def test_trouble_is_said(slow: Slow, viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    slow.error = "The file is gone; open it again."
    spectra.point_at((1.0, 1.0))
    qtbot.waitUntil(lambda: spectra.status.text() == slow.error)
    slow.error = ""
    spectra.point_at((2.0, 1.0))
    qtbot.waitUntil(lambda: "slow" in spectra.plot.curve_data())
