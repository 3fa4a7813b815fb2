"""How fast a large ENVI file opens, and how much memory that takes."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_specfusion.io import open_cube

__all__ = ["bench_envi", "rows"]

INTERLEAVES = ("bsq", "bil", "bip")


def rows(bands: int = 224, side: int = 2160) -> list[dict[str, Any]]:
    """Return one row of figures per interleave for a uint16 image of `bands` x `side` x `side`, 2.1 GB as given."""
    return [bench_envi(interleave, bands, side) for interleave in INTERLEAVES]


def bench_envi(interleave: str, bands: int, side: int, spectra: int = 50) -> dict[str, Any]:
    """Measure opening, contrast limits, one band and single spectra of an ENVI file of zeros.

    The file is sparse: times are those of a warm cache.

    Returns
    -------
    dict
        Times in s (``spectrum_ms`` in ms, the median of `spectra` random pixels) and the growth of this process's
        highest memory use in MB while opening and finding contrast limits (NaN on Windows).
    """
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "scene.hdr"
        with header.with_suffix(".img").open("wb") as file:
            file.truncate(bands * side * side * 2)
        header.write_text(
            f"ENVI\nsamples = {side}\nlines = {side}\nbands = {bands}\ndata type = 12\ninterleave = {interleave}\n"
        )
        before = _peak_mb(fresh=True)
        cube, opened = _timed(lambda: open_cube(header))
        _, limits = _timed(cube.contrast_limits)
        grown = _peak_mb() - before
        pixels = np.random.default_rng(0).integers(0, side, (spectra, 2)).tolist()
        each = [_timed(partial(cube.spectrum, y, x))[1] for y, x in pixels]
        _, band = _timed(lambda: np.asarray(cube.values[bands // 2]))
    return {
        "interleave": interleave,
        "gigabytes": bands * side * side * 2 / 1e9,
        "open_s": opened,
        "contrast_s": limits,
        "memory_mb": grown,
        "spectrum_ms": 1e3 * float(np.median(each)),
        "band_s": band,
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _peak_mb(fresh: bool = False) -> float:
    """Return the highest resident memory of this process in MB; `fresh` forgets earlier peaks where Linux lets it."""
    if os.name == "nt":
        return float("nan")
    status = Path("/proc/self/status")
    if status.is_file():
        if fresh:
            Path("/proc/self/clear_refs").write_text("5")
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1e3
    import resource

    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
