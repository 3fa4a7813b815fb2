"""What the command line prints where a stream does not know every letter."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


def test_names_that_a_stream_cannot_show_do_not_end_a_run(tmp_path: Path) -> None:
    np.save(tmp_path / "snow \u2603.npy", np.zeros((2, 3, 4), np.float32))
    command = [sys.executable, "-m", "napari_specfusion", "convert", "snow \u2603.npy", "out.npz"]
    # a file or a pipe of Windows takes the letters of western Europe only
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, encoding="cp1252", env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "snow \\u2603" in done.stdout
