"""Tiles on their way to a device: in which order its streams are asked for what, and what the processor saves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from napari_specfusion.device import Acceleration, accelerated
from napari_specfusion.tiling.transfers import Here, Overlapped, downloaded, transfers_to


@pytest.fixture
def log(simulated: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Streams and events that only tell what they are asked for, on a simulated device."""
    told: list[str] = []
    now = ["compute"]
    names = iter(["up", "down"])

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            told.append(f"{self.name} waits for {other.name}")

    class Event:
        def record(self) -> None:
            told.append(f"event on {now[0]}")

        def synchronize(self) -> None:
            told.append("event awaited")

    @contextmanager
    def stream(one: Stream) -> Iterator[None]:
        before, now[0] = now[0], one.name
        yield
        now[0] = before

    def keep(_: torch.Tensor, one: Stream) -> None:
        told.append(f"kept for {one.name}")

    empty = torch.empty

    def locked(*args: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        if pin_memory:
            told.append("page-locked")
        return empty(*args, **options)

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(next(names)))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream(now[0]))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: told.append("all awaited"))
    monkeypatch.setattr(torch, "empty", locked)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self.clone())
    monkeypatch.setattr(torch.Tensor, "record_stream", keep)
    with simulated.SimulatedDevice():
        yield told


def test_the_streams_wait_for_each_other(log: list[str]) -> None:
    transfers, array = Overlapped(torch.device("simulated")), np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with torch.inference_mode():
        there = transfers.upload(array)
        assert log == ["compute waits for up", "kept for compute"]
        log.clear()
        pending = transfers.download((there * 2)[:, 1:, 1:], torch.float32)
    assert log == ["page-locked", "down waits for compute", "event on down", "kept for down"]
    log.clear()
    np.testing.assert_array_equal(pending.result(), 2 * array[:, 1:, 1:])
    assert log == ["event awaited"]
    # what the processor computed is there
    np.testing.assert_array_equal(transfers.download(torch.ones(2, 2), torch.float32).result(), np.ones((2, 2)))
    assert transfers.ahead == 1
    transfers.wait()
    assert log[-1] == "all awaited"


def test_the_processor_copies_only_the_result() -> None:
    transfers, array = transfers_to(torch.device("cpu")), np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert transfers.ahead == 0
    there = transfers.upload(array)
    assert there.data_ptr() == array.ctypes.data
    found = transfers.download(there[:, 1:], torch.float32).result()
    assert not np.shares_memory(found, array)
    np.testing.assert_array_equal(found, array[:, 1:])
    assert downloaded(there, torch.float32).data_ptr() == there.data_ptr()


def test_transfers_can_be_switched_off() -> None:
    with accelerated(Acceleration(transfers=False)):
        assert isinstance(transfers_to(torch.device("cuda")), Here)
