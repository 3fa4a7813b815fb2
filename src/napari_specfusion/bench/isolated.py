"""Measuring in a process of its own: its memory is that of one task, and not of what ran before."""

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
    """Call a function in a fresh process and return what it returns.

    Parameters
    ----------
    function
        ``"module:name"``; takes `task`, a dict of plain values, and returns a dict that JSON can hold.
    task
        Its argument.
    threads
        Threads to compute with.
    what, remedy
        What is measured, and what to do if that fails, for the error.

    Raises
    ------
    ModelError
        If the process fails; with the last line that it wrote on its way out.
    """
    module, name = function.split(":")
    script = f"import json; from {module} import {name} as run; print(json.dumps(run({dict(task)!r})))"
    # a thread that spins while it waits measures the other programs on the machine
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "OMP_NUM_THREADS": str(threads)}
    environment["PYTHONIOENCODING"] = "utf-8"
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", env=environment, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ModelError(f"{what} could not be measured ({reason}); {remedy}.")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def peak_memory(*, fresh: bool = False) -> float:
    """Return this process's highest memory use in GB; NaN on Windows.

    Parameters
    ----------
    fresh
        Forget earlier peaks first, where the system can (Linux).
    """
    if sys.platform == "win32":
        return math.nan
    status = Path("/proc/self/status")
    if status.exists():
        if fresh:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        # unlike getrusage, this forgets the process that started this one
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9
    import resource

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, other systems kilobytes
    return highest * (1 if sys.platform == "darwin" else 1024) / 1e9
