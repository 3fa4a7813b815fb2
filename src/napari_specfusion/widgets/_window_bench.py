"""How long napari's window is blocked while a large cube is opened, looked through, fused, and a run is cancelled."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    # first: Qt brings an older C++ library, with which torch does not load
    import torch  # noqa: F401

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, QObject, QTimer
from scipy.ndimage import gaussian_filter

from napari_specfusion.bench.report import prepare_folder
from napari_specfusion.io.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HEAD", "Blocked", "bench_window"]

PLUGIN = "napari-specfusion"
BANDS, RATIO = 200, 2
# the heart beats every so many milliseconds; a step of sliding or hovering takes this long at 30 Hz
BEAT, FRAME = 5, 33
STEPS = 30
SETTLE = 4.0
# a run that has not shown a tile after so many seconds is cancelled where it is
LONGEST = 60.0
# how Linux is told to drop a file from its memory; other systems cannot be
FADVISE: Any = getattr(os, "posix_fadvise", None)
DONT_NEED: int = getattr(os, "POSIX_FADV_DONTNEED", 0)
HEAD = f"{'window':<8} {'cache':<5} {'action':<22} {'longest gap':>11} {'took':>8}"


@dataclass(frozen=True)
class Blocked:
    """One action in the window.

    Attributes
    ----------
    window
        ``"plugin"``, or ``"napari"`` for napari alone on the same array.
    cache
        ``"cold"`` if the file was dropped from the system's memory before, or ``"warm"``.
    action
        What was done.
    gap
        Longest time in seconds that the window did not answer.
    seconds
        Time that the action took.
    """

    window: str
    cache: str
    action: str
    gap: float
    seconds: float

    def line(self) -> str:
        """Return one line below `HEAD`."""
        return f"{self.window:<8} {self.cache:<5} {self.action:<22} {self.gap:10.3f}s {self.seconds:7.2f}s"


class _Heart(QObject):
    """Beats while the window answers."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = QTimer(self)
        self._timer.setInterval(BEAT)
        self._timer.timeout.connect(self._beat)
        self._last, self._longest = time.perf_counter(), 0.0
        self._timer.start()

    def _beat(self) -> None:
        now = time.perf_counter()
        self._longest, self._last = max(self._longest, now - self._last), now

    def start(self) -> None:
        """Forget what was."""
        self._last, self._longest = time.perf_counter(), 0.0

    def longest(self) -> float:
        """Return the longest gap since the start, the one that still goes on included."""
        return max(self._longest, time.perf_counter() - self._last)

    def stop(self) -> None:
        """Beat no longer."""
        self._timer.stop()


@dataclass
class _Bench:
    """The rows so far, and where they are told."""

    window: str
    cache: str
    heart: _Heart
    rows: list[Blocked] = field(default_factory=list)

    @contextmanager
    def measured(self, action: str) -> Iterator[None]:
        """Measure what happens in the block, and a moment after it."""
        self.heart.start()
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        _spin(0.05)
        row = Blocked(self.window, self.cache, action, self.heart.longest(), took)
        self.rows.append(row)
        print(row.line(), flush=True)


def bench_window(
    out: Path = Path("bench-viewer"), *, gigabytes: float = 4.0, folder: Path | None = None, run: bool = True
) -> list[Blocked]:
    """Measure the window's longest gaps on a large cube, with the plugin and with napari alone.

    Parameters
    ----------
    out
        Folder for ``table.md`` and ``viewer.json``.
    gigabytes
        Size of the cube, an ENVI file of 200 bands, band after band.
    folder
        Where the files are made; None takes the system's temporary folder.
    run
        Whether also to fuse the cube with a guide of twice its resolution, and to cancel that.

    Raises
    ------
    OutputError
        If `out` cannot be written.
    """
    prepare_folder(out)
    print(HEAD, flush=True)
    rows: list[Blocked] = []
    with tempfile.TemporaryDirectory(prefix="bench-viewer-", dir=folder) as place:
        header, guide = _pair_files(Path(place), gigabytes)
        # the first window loads what later ones find loaded
        _close(napari.Viewer(show=True, show_welcome_screen=False))
        for cache in ("cold", "warm") if FADVISE is not None else ("warm",):
            for window, look in (("napari", _alone), ("plugin", _plugin)):
                bench = _Bench(window, cache, _Heart())
                if cache == "cold":
                    _forget(header.with_suffix(".img"))
                look(bench, header)
                bench.heart.stop()
                rows += bench.rows
            if run:
                bench = _Bench("plugin", cache, _Heart())
                if cache == "cold":
                    for file in (header.with_suffix(".img"), guide):
                        _forget(file)
                _fusing(bench, header, guide, Path(place) / f"{cache}.zarr")
                bench.heart.stop()
                rows += bench.rows
    title = f"napari {napari.__version__}, Python {platform.python_version()}, {platform.system()}, {gigabytes:g} GB"
    lines = "\n".join([HEAD, *(row.line() for row in rows)])
    with replacing(out / "table.md") as part:
        part.write_text(f"{title}\n\n```\n{lines}\n```\n", encoding="utf-8")
    with replacing(out / "viewer.json") as part:
        part.write_text(json.dumps({"title": title, "rows": [asdict(row) for row in rows]}, indent=1), encoding="utf-8")
    return rows


# --- what is done in the window --------------------------------------------------------


def _alone(bench: _Bench, header: Path) -> None:
    """Look through the array with napari alone."""
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    _spin(1.0)
    with bench.measured("open"):
        viewer.add_image(_array(header))
    _look_through(bench, viewer, lambda point: None)
    _close(viewer)


def _plugin(bench: _Bench, header: Path) -> None:
    """Look through the cube as a user of the plugin does, with Spectra beside it."""
    from napari_specfusion.widgets._spectra import SpectraWidget

    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    _spin(1.0)
    with bench.measured("open"):
        viewer.open(str(header), plugin=PLUGIN)
    with bench.measured("open Spectra"):
        spectra = SpectraWidget(viewer)
        viewer.window.add_dock_widget(spectra, name="Spectra")
    _look_through(bench, viewer, spectra.point_at)
    _close(viewer)


def _look_through(bench: _Bench, viewer: Any, point_at: Callable[[tuple[float, float]], None]) -> None:
    with bench.measured("after opening"):
        _spin(SETTLE)
    with bench.measured(f"slide, {STEPS} bands"):
        for step in range(STEPS):
            viewer.dims.set_current_step(0, 60 + step)
            _spin(FRAME / 1000)
    height, width = viewer.layers[0].data.shape[-2:]
    with bench.measured(f"hover, {STEPS} points"):
        for step in range(STEPS):
            point = (height * (step + 0.5) / STEPS, width * (0.5 + 0.4 * math.sin(step)))
            viewer.cursor.position = (float(viewer.dims.point[0]), *point)
            point_at(point)
            _spin(FRAME / 1000)


def _fusing(bench: _Bench, header: Path, guide: Path, out: Path) -> None:
    """Fuse to a folder on disk until tiles come, then cancel."""
    from napari_specfusion.widgets._console import open_in
    from napari_specfusion.widgets._fuse import FuseWidget

    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    for path in (guide, header):
        open_in(viewer, path)
    fuse = FuseWidget(viewer)
    viewer.window.add_dock_widget(fuse, name="Fuse")
    fuse.ask = lambda *_: "run"
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData("glp"))
    fuse.out_edit.set_path(out)
    with bench.measured("calibrate"):
        _until(lambda: fuse.preflight.done and fuse._inspection is None, 10 * LONGEST)
    with bench.measured("run to the first tiles"):
        fuse.run_button.click()
        _until(lambda: fuse._run is None or fuse.progress.value() > 0, LONGEST)
        _spin(3.0)
    with bench.measured("cancel"):
        fuse.cancel_button.click()
        _until(lambda: fuse._run is None, LONGEST)
    _close(viewer)


def _close(viewer: Any) -> None:
    viewer.close()
    _spin(0.3)


def _spin(seconds: float) -> None:
    """Let the window live for a while."""
    loop = QEventLoop()
    QTimer.singleShot(max(1, round(1000 * seconds)), loop.quit)
    loop.exec()


def _until(done: Callable[[], bool], most: float) -> None:
    """Let the window live until something is done."""
    end = time.perf_counter() + most
    while not done() and time.perf_counter() < end:
        _spin(0.02)


# --- the files -----------------------------------------------------------------------------


def _pair_files(folder: Path, gigabytes: float) -> tuple[Path, Path]:
    """Write a cube and a guide of twice its resolution, and return the header of the one and the file of the other."""
    import tifffile

    side = max(64, round(math.sqrt(gigabytes * 1e9 / 2 / BANDS)) // 32 * 32)
    rng = np.random.default_rng(0)
    maps = np.stack([_map(rng, side * RATIO) for _ in range(3)])
    small = maps.reshape(3, side, RATIO, side, RATIO).mean((2, 4)).astype(np.float32)
    centres = np.linspace(400, 1000, BANDS)
    spectra = np.exp(-(((centres[:, None] - np.array([480, 620, 850])) / np.array([80, 90, 160])) ** 2)) + 0.1
    header = folder / "cube.hdr"
    with header.with_suffix(".img").open("wb") as file:
        for weights in spectra.astype(np.float32):
            (8000 * np.tensordot(weights, small, 1)).astype("<u2").tofile(file)
    header.write_text(
        f"ENVI\nsamples = {side}\nlines = {side}\nbands = {BANDS}\nheader offset = 0\ndata type = 12\n"
        "interleave = bsq\nbyte order = 0\nwavelength units = Nanometers\n"
        f"wavelength = {{{', '.join(f'{centre:.1f}' for centre in centres)}}}\n",
        encoding="utf-8",
    )
    guide = folder / "guide.tif"
    tifffile.imwrite(guide, (20000 * maps).astype(np.uint16), photometric="minisblack", planarconfig="separate")
    return header, guide


def _map(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return a smooth random image of values from 0 to 1, repeated where it is large."""
    patch = gaussian_filter(rng.standard_normal((512, 512)).astype(np.float32), 2, mode="wrap")
    patch = (patch - patch.min()) / (patch.max() - patch.min())
    times = math.ceil(side / 512)
    return np.tile(patch, (times, times))[:side, :side]


def _array(header: Path) -> NDArray[Any]:
    """Return the cube's array, which the system reads as it is needed."""
    file = header.with_suffix(".img")
    side = round(math.sqrt(file.stat().st_size / 2 / BANDS))
    return np.memmap(file, "<u2", "r", shape=(BANDS, side, side))


def _forget(file: Path) -> None:
    """Drop a file from the system's memory."""
    if FADVISE is None:
        return
    with suppress(OSError), file.open("rb") as opened:
        os.fsync(opened.fileno())
        FADVISE(opened.fileno(), 0, 0, DONT_NEED)
