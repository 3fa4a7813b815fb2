"""How far a run is: one line on a terminal that is written over, or a few lines in a log."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from napari_specfusion.fusion.engine import FusionProgress
    from napari_specfusion.progress import Progress
    from napari_specfusion.training import TrainingProgress
    from napari_specfusion.training.fitting import FitProgress

__all__ = ["ProgressLine", "clock"]

LIVE = "{desc}: {percentage:3.0f}% |{bar:24}| {remaining} left{postfix}"
LOGGED = "{desc}: {percentage:3.0f}%, {remaining} left{postfix}"
# between two lines of a log, in s
PAUSE = 10.0


class ProgressLine:
    """Reports one task; use it as a context manager.

    A terminal gets a bar that is written over, anything else a line now and then. Both get one line at the end.

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
        self._note = ""
        self._done, self._total = 0.0, math.nan
        # what was done, and when, at the first report of a step: before it nothing is known about speed
        self._first = (0.0, self._start)
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._live:
            self._open_bar(None, 0, "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.close()
        how = "done" if kind is None else "stopped"
        print(f"{self._title}: {how} after {clock(time.perf_counter() - self._start)}", file=self._stream, flush=True)

    def update(self, done: float, total: float, note: str = "") -> None:
        """Report how much is `done` of a `total`, and a word on the side.

        Another total, or less done than before, begins another step with a bar of its own.
        """
        now = time.perf_counter()
        begins = total != self._total or done < self._done
        self._done, self._total = done, total
        if begins:
            self._first = (done, now)
        if self._live and begins:
            self._bar.close()
            self._open_bar(total, done, note)
        elif self._live:
            self._bar.set_postfix_str(note, refresh=False)
            shown = self._bar.update(done - self._bar.n)
            if note != self._note and not shown:
                # it may name what takes long now: not to be held back until the next report
                self._bar.refresh()
        elif now - self._last >= PAUSE:
            self._last = now
            before, start = self._first
            line = tqdm.format_meter(
                done, total, now - start, initial=before, prefix=self._title, postfix=note, bar_format=LOGGED
            )
            print(line, file=self._stream, flush=True)
        self._note = note

    def say(self, message: str) -> None:
        """Print a message on standard output, above the bar."""
        tqdm.write(message)

    def step(self, event: Progress) -> None:
        """Take a report of a step."""
        self.update(event.done, event.total, event.message)

    def fusion(self, event: FusionProgress) -> None:
        """Take a report of `fuse`."""
        if event.step is not None:
            self.step(event.step)
            return
        if event.message:
            self.say(event.message)
        self.update(event.done, event.total)

    def fit(self, event: FitProgress) -> None:
        """Take a report of `fit`."""
        whole = 60 * event.minutes
        score = f" {event.score:.2f} dB" if math.isfinite(event.score) else ""
        self.update(min(event.seconds, whole), whole, f"step {event.step}{score}")

    def training(self, event: TrainingProgress) -> None:
        """Take a report of `train`."""
        score = f" {event.psnr - event.base_psnr:+.2f} dB over the base" if math.isfinite(event.psnr) else ""
        self.update(event.step, event.steps, f"step {event.step} loss {event.loss:.4f}{score}")

    def _open_bar(self, total: float | None, done: float, note: str) -> None:
        self._bar = tqdm(
            desc=self._title,
            total=total,
            initial=done,
            postfix=note or None,
            file=self._stream,
            leave=False,
            dynamic_ncols=True,
            bar_format=LIVE,
        )


def clock(seconds: float) -> str:
    """Return a time as a person says it: 4.2 s, 1:05 min, 2:03:20 h."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"
