"""Measuring in a separate process, so that its memory is that of one task alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["peak_memory", "run_apart"]


def run_apart(function: str, task: Mapping[str, Any], threads: int, what: str, remedy: str) -> dict[str, Any]:
    """Call a function in a new process and return its result.

    Parameters
    ----------
    function
        ``"module:name"``; takes `task`, a dict of plain values, and returns a dict that JSON can hold.
    task
        Its argument.
    threads
        Threads to compute with.
    what, remedy
        The quantity being measured, and the remedy if that fails, for the error.

    Raises
    ------
    ModelError
        If the process fails; the message holds the last line of its output.
    """
    module, name = function.split(":")
    script = f"import json; from {module} import {name} as run; print(json.dumps(run({dict(task)!r})))"
    # threads that spin while they wait would make the timing depend on other programs
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "OMP_NUM_THREADS": str(threads)}
    environment["PYTHONIOENCODING"] = "utf-8"
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", env=environment, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ModelError(f"{what} could not be measured ({reason}); {remedy}.")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def peak_memory(*, fresh: bool = False) -> float:
    """Return this process's peak memory in GB; NaN on Windows.

    Parameters
    ----------
    fresh
        Reset earlier peaks first, where the system allows it (Linux).
    """
    if sys.platform == "win32":
        return math.nan
    status = Path("/proc/self/status")
    if status.exists():
        if fresh:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        # unlike getrusage, this does not include the parent process
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9
    import resource

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, other systems kilobytes
    return highest * (1 if sys.platform == "darwin" else 1024) / 1e9
