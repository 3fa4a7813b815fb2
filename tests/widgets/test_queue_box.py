from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_specfusion.widgets._queue import QueuedRun, RunQueue
from napari_specfusion.widgets._queue_box import HIGHEST, QueueBox

LOW, GUIDE = SimpleNamespace(name="low"), SimpleNamespace(name="guide")


def queue_of(*methods: str) -> RunQueue:
    queue = RunQueue()
    for method in methods:
        queue.add(QueuedRun(LOW, GUIDE, method, method, lambda *_: None, np.eye(3)))  # type: ignore[arg-type,return-value]
    return queue


def test_a_single_run_is_not_listed(qtbot: Any) -> None:
    box = QueueBox()
    qtbot.addWidget(box)
    box.show_queue(queue_of("glp"))
    assert box.isHidden() and not box.lines


def test_each_run_says_what_it_is_and_what_became_of_it(qtbot: Any) -> None:
    box = QueueBox()
    qtbot.addWidget(box)
    queue = queue_of("glp", "gsa", "detail")
    queue.next([LOW, GUIDE])
    queue.end("failed", "fuse again with overwrite=True")
    box.show_queue(queue)
    assert box.lines[1:] == ["low with guide\ngsa \u00b7 waiting", "low with guide\ndetail \u00b7 waiting"]
    # in the words of the window
    assert box.lines[0] == "low with guide\nglp \u00b7 failed\nfuse again, and choose Overwrite"
    removed: list[Any] = []
    box.removed.connect(removed.append)
    box.show()
    qtbot.mouseClick(box.buttons[2], Qt.MouseButton.LeftButton)
    assert removed == [queue.runs[2]]


def test_a_short_queue_is_shown_whole(qtbot: Any) -> None:
    panel, box = QWidget(), QueueBox()
    qtbot.addWidget(panel)
    column = QVBoxLayout(panel)
    column.addStretch(1)
    column.addWidget(box)
    queue = queue_of("glp", "gsa", "detail")
    queue.next([LOW, GUIDE])
    queue.end("failed", "A long message of what went wrong that does not fit into one line.")
    # what is shown is not known in what font at first
    panel.setStyleSheet("* { font-size: 13px; }")
    panel.resize(260, 400)
    panel.show()
    box.show_queue(queue)
    assert box._area is not None
    bar = box._area.verticalScrollBar()
    assert bar is not None
    qtbot.waitUntil(lambda: bar.maximum() == 0 and 90 < box._area.height() < HIGHEST)


def test_a_long_queue_scrolls(qtbot: Any) -> None:
    box = QueueBox()
    qtbot.addWidget(box)
    box.show_queue(queue_of(*(f"m{n}" for n in range(30))))
    box.show()
    qtbot.wait(20)
    assert box._area is not None and box._area.height() <= HIGHEST
