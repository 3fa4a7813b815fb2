"""What every test gets: the sample data where it is, no network, no Qt widget left behind."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Read when torch and the array libraries load: tests of small arrays gain nothing from many threads.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))

ROOT = Path(__file__).parent.parent
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", ""}


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real scenes: $SPECFUSION_DATA, or shared/data beside the repository."""
    path = Path(os.environ.get("SPECFUSION_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real scenes in {path}; SPECFUSION_DATA names another folder")
    return path


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects to another machine."""

    def guard(connect: Any) -> Any:
        def guarded(self: socket.socket, address: Any) -> Any:
            # A datagram socket sends nothing on connect; dask asks it for the machine's own address.
            remote = self.family in (socket.AF_INET, socket.AF_INET6) and self.type & socket.SOCK_STREAM
            if remote and address[0] not in LOCAL_HOSTS:
                self.close()
                pytest.fail(f"a test tried to connect to {address}")
            return connect(self, address)

        return guarded

    monkeypatch.setattr(socket.socket, "connect", guard(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guard(socket.socket.connect_ex))


@pytest.fixture(autouse=True)
def no_widget_left() -> Iterator[None]:
    """Fail a test after which a top-level Qt widget of its own still lives."""
    before = {id(widget) for widget in top_level_widgets()}
    yield
    if any(id(widget) not in before for widget in top_level_widgets()):
        gc.collect()
    left = [widget for widget in top_level_widgets() if id(widget) not in before]
    names = [f"{type(widget).__name__} {widget.objectName()!r}" for widget in left]
    for widget in left:
        widget.close()
        widget.deleteLater()
    top_level_widgets()
    assert not names, f"the test leaves widgets behind: {', '.join(names)}; close them, or hand them to qtbot.addWidget"


def top_level_widgets() -> list[Any]:
    """Return the Qt widgets without a parent, after the deletions that wait; none while Qt is not loaded."""
    if "qtpy" not in sys.modules:
        return []
    from qtpy.QtCore import QCoreApplication, QEvent
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:
        return []
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return QApplication.topLevelWidgets()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a CUDA device where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
