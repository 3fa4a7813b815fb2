"""The queue without a window."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_specfusion.fusion.recipe import Recipe
from napari_specfusion.widgets._queue import QueuedRun, RunQueue

LOW, GUIDE, OTHER = (SimpleNamespace(name=name) for name in ("low", "guide", "other"))
LAYERS = [LOW, GUIDE, OTHER]


def run(method: str = "glp", low: Any = LOW, guide: Any = GUIDE, out: str | None = None) -> QueuedRun:
    path = None if out is None else Path(out)
    recipe = Recipe(low.name, guide.name, method=method, out=path)
    return QueuedRun(low, guide, method, f"Fusing {low.name}", lambda *_: None, np.eye(3), recipe, path)  # type: ignore[arg-type,return-value]


def queue_of(*runs: QueuedRun) -> RunQueue:
    queue = RunQueue()
    for one in runs:
        assert queue.add(one)
    return queue


def test_runs_go_on_one_after_another_in_their_order() -> None:
    first, second = run("glp"), run("gsa")
    queue = queue_of(first, second)
    assert queue.next(LAYERS) is first and queue.running is first and queue.waiting == [second]
    assert queue.next(LAYERS) is None
    queue.end("done", "good")
    assert (first.state, first.message, first.work) == ("done", "good", None)
    assert queue.next(LAYERS) is second and queue.next(LAYERS) is None


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_queue_survives_what_becomes_of_a_run(state: Any) -> None:
    first, second = run("glp"), run("gsa")
    queue = queue_of(first, second)
    queue.next(LAYERS)
    queue.end(state, "why")
    assert queue.next(LAYERS) is second
    assert (first.state, first.message) == (state, "why") and queue.runs == [first, second]


def test_a_single_run_is_not_worth_a_list_and_a_new_one_begins_it_afresh() -> None:
    first = run()
    queue = queue_of(first)
    queue.next(LAYERS)
    assert not queue.is_worth_showing
    queue.end("failed", "why")
    queue.add(run())
    assert len(queue.runs) == 1 and not queue.is_worth_showing
    queue.add(run("gsa"))
    assert queue.is_worth_showing
    for one in list(queue.runs):
        queue.remove(one)
    assert not queue.is_worth_showing


def test_the_same_run_is_not_queued_twice_but_may_be_done_again() -> None:
    queue = queue_of(run())
    assert not queue.add(run()) and len(queue.runs) == 1
    assert queue.add(run("gsa")) and queue.add(run(guide=OTHER))
    for _ in range(3):
        queue.next(LAYERS)
        queue.end("done")
    assert queue.add(run()) and len(queue.runs) == 1


def test_two_open_runs_do_not_write_to_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    queue = queue_of(run(out="f.zarr"))
    queue.next(LAYERS)
    assert queue.claims(tmp_path / "f.zarr") and not queue.claims(tmp_path / "g.zarr") and not queue.claims(None)
    late = run("gsa", out=str(tmp_path / "f.zarr"))
    queue.add(late)
    assert late.state == "failed" and "another folder" in late.message and late.work is None
    queue.end("done")
    assert queue.next(LAYERS) is None and not queue.claims(Path("f.zarr"))


def test_a_run_whose_layer_was_removed_says_so() -> None:
    first, lost, both, last = run(), run("gsa", OTHER), run("gsa", OTHER, GUIDE), run("detail")
    lost.pair = "kept"
    queue = queue_of(first, lost, last)
    queue.next(LAYERS)
    queue.drop_missing([LOW, GUIDE])
    assert lost.state == "failed" and lost.message.startswith("other was removed before its turn")
    queue.end("done")
    assert queue.next([LOW, GUIDE]) is last
    queue.end("done")
    queue.add(both)
    assert queue.next([]) is None and both.message.startswith("other and guide were removed")


def test_what_goes_on_cannot_be_removed_and_what_waits_can() -> None:
    first, second, third = run(), run("gsa"), run("detail")
    queue = queue_of(first, second, third)
    queue.next(LAYERS)
    queue.remove(first)
    queue.remove(second)
    queue.remove(second)
    assert queue.runs == [first, third]
    queue.drop_waiting()
    assert queue.runs == [first]


def test_a_run_is_called_as_its_layers_were() -> None:
    low = SimpleNamespace(name="before")
    one = run(low=low)
    low.name = "after"
    assert one.pair == "before with guide"
