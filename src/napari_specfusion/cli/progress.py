"""How far a run is, on a terminal: one line that is written over, or a few lines where nobody watches."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from napari_specfusion.fusion.engine import FusionProgress
    from napari_specfusion.training import TrainingProgress
    from napari_specfusion.training.fitting import FitProgress

__all__ = ["ProgressLine", "clock"]

BAR = 24
# between two updates of the line, and between two lines of a log, in s
BLINK, PAUSE = 0.1, 10.0


class ProgressLine:
    """Reports one task; use it as a context manager.

    A terminal gets a bar that is written over, anything else a line now and then and one at the end.

    Parameters
    ----------
    title
        What is being done.
    stream
        Where to write; None is standard error.
    """

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._start = self._last = time.perf_counter()
        self._share, self._shown = 0.0, 0
        # step and time of a training's first report: it may go on from an earlier run
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._draw(0.0, None, "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._start
        how = "done" if kind is None else "stopped"
        self._write(f"{self._title}: {how} after {clock(seconds)}", final=True)

    def update(self, share: float, remaining: float | None = None, note: str = "") -> None:
        """Report the `share` done (0 to 1), the seconds that remain, and a word on the side."""
        now = time.perf_counter()
        # a terminal sees the last step; in a log the closing line says it
        due = now - self._last >= (BLINK if self._live else PAUSE)
        if due or (self._live and share >= 1 > self._share):
            self._last, self._share = now, share
            self._draw(share, remaining, note)

    def fusion(self, event: FusionProgress) -> None:
        """Take a report of `fuse`."""
        self.update(event.done / max(1, event.total), event.remaining, event.message)

    def fit(self, event: FitProgress) -> None:
        """Take a report of `fit`."""
        whole = 60 * event.minutes
        share = min(1.0, event.seconds / whole) if whole > 0 else 1.0
        score = f"{event.score:.2f} dB" if event.score is not None and math.isfinite(event.score) else ""
        self.update(share, max(0.0, whole - event.seconds), f"step {event.step} {score}".strip())

    def training(self, event: TrainingProgress) -> None:
        """Take a report of `train`."""
        now = time.perf_counter()
        self._first = self._first or (event.step, now)
        before, start = self._first
        done = event.step - before
        remaining = (now - start) / done * (event.steps - event.step) if done else None
        score = f"{event.psnr - event.base_psnr:+.2f} dB over the base" if math.isfinite(event.psnr) else ""
        self.update(event.step / event.steps, remaining, f"step {event.step} loss {event.loss:.4f} {score}".strip())

    def _draw(self, share: float, remaining: float | None, note: str) -> None:
        parts = [f"{self._title}: {share:4.0%}"]
        if self._live:
            full = round(BAR * share)
            parts.insert(1, "[" + "#" * full + "-" * (BAR - full) + "]")
        if remaining is not None and share < 1:
            parts.append(f"{clock(remaining)} left")
        if note:
            parts.append(note)
        self._write("  ".join(parts), final=False)

    def _write(self, text: str, *, final: bool) -> None:
        if self._live:
            text = text[: shutil.get_terminal_size().columns - 1]
            blank = " " * max(0, self._shown - len(text))
            self._stream.write(f"\r{text}{blank}" + ("\n" if final else ""))
            self._shown = len(text)
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def clock(seconds: float) -> str:
    """Return a time as a person says it: 4.2 s, 1:05 min, 2:03:20 h."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"
