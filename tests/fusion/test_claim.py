"""One writer per result."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_specfusion.errors import OutputError
from napari_specfusion.fusion import claim as claims
from napari_specfusion.fusion.claim import claimed
from napari_specfusion.progress import Watch

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from napari_specfusion.fusion.claim import claimed
from napari_specfusion.progress import Watch
with claimed(Path(sys.argv[1]), Watch()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.zarr"


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_writes(path: Path) -> None:
    process = holder(path)
    try:
        match = f"being written by process {process.pid} on {socket.gethostname()}"
        with pytest.raises(OutputError, match=match), claimed(path, Watch()):
            pass
    finally:
        process.communicate("done\n")
    with claimed(path, Watch()):
        pass
    assert not list(path.parent.iterdir())


def test_the_lock_of_a_killed_process_is_taken_over(path: Path) -> None:
    process = holder(path)
    process.kill()
    process.communicate()
    assert list(path.parent.iterdir())
    with claimed(path, Watch()) as claim:
        claim.check()
    assert not list(path.parent.iterdir())


def test_two_runs_of_one_program_do_not_share_it(path: Path) -> None:
    with (
        claimed(path, Watch()),
        pytest.raises(OutputError, match="another run of this program"),
        claimed(path, Watch()),
    ):
        pass


def test_another_host_is_waited_for_and_taken_over_when_it_is_silent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.5)
    with claimed(path, Watch()):
        (lock,) = path.parent.iterdir()
        text = lock.read_text(encoding="utf-8").splitlines()
    foreign = ["host=elsewhere" if line.startswith("host=") else line for line in text]
    lock.write_text("\n".join(foreign) + "\n", encoding="utf-8")
    told: list[str] = []
    with claimed(path, Watch(lambda step: told.append(step.message))) as claim:
        claim.check()
    assert told == [f"Waiting for a sign of life of process {os.getpid()} on elsewhere, which has begun r.zarr"]


def test_a_run_that_lost_its_lock_stops_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.3)
    with claimed(path, Watch()) as claim:
        (lock,) = path.parent.iterdir()
        lock.unlink()
        lost = claim._lease._claim
        assert lost.heartbeat is not None
        lost.heartbeat.thread.join(10)
        with pytest.raises(OutputError, match="no longer writes"):
            claim.check()
