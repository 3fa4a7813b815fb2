"""Progress reports: all of them say how much is done, of how much, and what is being done."""

from __future__ import annotations

import inspect
import itertools
import math
import threading
import time
from typing import Any

import pytest

import napari_specfusion as sf
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.errors import Cancelled
from napari_specfusion.fusion.engine import FusionProgress
from napari_specfusion.io import SaveProgress, save_cube
from napari_specfusion.progress import LOOK_INTERVAL, Progress, Watch, look, stoppable
from napari_specfusion.training import FitProgress, TrainingProgress

EVENTS = [
    Progress(1, 4, "Trying glp"),
    FusionProgress(1, 4, None, 1.0, 3.0, None),
    FitProgress(7, 45.0, 3.0, 0.5, math.nan, "train"),
    TrainingProgress(100, 400, 20.0, 0.5, 40.0, 3.0, 39.0, 3.1),
    SaveProgress(25, 100, 1.0, 3.0),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_has_the_same_three(event: Any) -> None:
    assert event.done / event.total == 0.25
    assert isinstance(event.message, str)


@pytest.mark.parametrize("function", [sf.calibrate, sf.choose, sf.fit, sf.fuse, sf.train, save_cube])
def test_progress_and_should_stop_are_the_same_everywhere(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    for name in ("progress", "should_stop"):
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default is None
    if "device" in parameters:
        assert parameters["device"].default == "auto"


def test_a_watch_reports_and_stops() -> None:
    seen: list[Progress] = []
    Watch(seen.append).tell(1, 2, "Reading")
    assert seen == [Progress(1, 2, "Reading")]
    Watch().tell(1, 2, "Reading")
    with pytest.raises(Cancelled, match="nothing was written"):
        Watch(seen.append, lambda: True).tell(2, 2, "Reading")
    assert len(seen) == 1


def test_a_look_asks_seldom_and_only_in_its_block_and_thread() -> None:
    asked: list[float] = []
    end = time.monotonic() + 5 * LOOK_INTERVAL
    with stoppable(lambda: asked.append(time.monotonic())):
        other = threading.Thread(target=look)
        time.sleep(1.5 * LOOK_INTERVAL)
        other.start()
        other.join()
        assert not asked
        while time.monotonic() < end:
            look()
    look()
    assert 1 <= len(asked) <= 5
    assert all(later - earlier >= LOOK_INTERVAL for earlier, later in itertools.pairwise(asked))


def test_what_watches_a_calibration_is_looked_at_too() -> None:
    calibrated = CalibratedScene(sf.sample_scene(32, 4))
    with calibrated.watched(Watch(None, lambda: True)), pytest.raises(Cancelled):
        while True:
            look()
    look()


def test_a_look_stops_what_it_is_in() -> None:
    def check() -> None:
        raise Cancelled

    with pytest.raises(Cancelled), stoppable(check):
        while True:
            look()
