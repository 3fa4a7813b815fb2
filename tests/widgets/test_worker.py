from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import notification_manager

from napari_specfusion.errors import Cancelled, SceneError
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    import pytest


def run(qtbot: Any, job: Job) -> dict[str, list[Any]]:
    seen: dict[str, list[Any]] = {"reported": [], "succeeded": [], "failed": []}
    for name, values in seen.items():
        getattr(job, name).connect(values.append)
    with qtbot.waitSignal(job.ended, timeout=5000):
        job.start()
    return seen


def test_a_result_comes_back_to_the_main_thread(qtbot: Any) -> None:
    threads = []

    def work(report: Any, should_stop: Any) -> int:
        threads.append(threading.current_thread())
        report("half")
        return 7

    seen = run(qtbot, Job("working", work))
    assert seen == {"reported": ["half"], "succeeded": [7], "failed": []}
    assert threads != [threading.main_thread()]


def test_an_error_is_left_to_the_panel_in_words(qtbot: Any) -> None:
    def work(report: Any, should_stop: Any) -> None:
        raise SceneError("The ratio is 1; it must lie above 1.")

    before = len(notification_manager.records)
    seen = run(qtbot, Job("failing", work))
    assert seen["failed"] == ["The ratio is 1; it must lie above 1."] and not seen["succeeded"]
    # no message that goes away
    assert len(notification_manager.records) == before


def test_torch_that_does_not_load_after_qt_is_told_with_a_remedy(qtbot: Any) -> None:
    def work(report: Any, should_stop: Any) -> None:
        # as Windows says it
        error = OSError('[WinError 1114] A DLL initialization routine failed. Error loading "torch\\lib\\c10.dll"')
        error.winerror = 1114  # type: ignore[attr-defined]
        raise error

    (words,) = run(qtbot, Job("loading", work))["failed"]
    assert "WinError 1114" in words and "import torch, napari" in words


def test_a_bug_is_told_once_too(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *error: told.append(error))

    def work(report: Any, should_stop: Any) -> None:
        raise ZeroDivisionError("never")

    seen = run(qtbot, Job("breaking", work))
    assert seen["failed"] == ["ZeroDivisionError: never"] and [kind for kind, *_ in told] == [ZeroDivisionError]


def test_a_stop_is_no_error(qtbot: Any) -> None:
    def work(report: Any, should_stop: Any) -> None:
        while not should_stop():
            report("on")
            time.sleep(0.01)
        raise Cancelled("stopped")

    job = Job("waiting", work)
    job.reported.connect(lambda _: job.stop())
    before = len(notification_manager.records)
    seen = run(qtbot, job)
    assert not seen["failed"] and not seen["succeeded"] and len(notification_manager.records) == before


def test_a_flood_of_reports_is_thinned(qtbot: Any) -> None:
    def work(report: Any, should_stop: Any) -> None:
        for number in range(10_000):
            report(number)

    assert 1 <= len(run(qtbot, Job("flooding", work))["reported"]) < 20
