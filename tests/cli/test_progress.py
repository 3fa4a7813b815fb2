from __future__ import annotations

import io

import pytest

from napari_specfusion.cli import progress
from napari_specfusion.cli.progress import ProgressLine, clock


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BLINK", 0.0)
    screen = Screen()
    with ProgressLine("Fusing", screen) as line:
        for step in range(5):
            line.update(step / 4, 8.0 - 2 * step)
    assert screen.getvalue().count("\n") == 1
    assert " 50%" in screen.getvalue()
    assert "4.0 s left" in screen.getvalue()
    assert screen.getvalue().rstrip().endswith("done after 0.0 s")


def test_a_log_gets_few_lines() -> None:
    log = io.StringIO()
    with ProgressLine("Fusing", log) as line:
        for step in range(1000):
            line.update(step / 1000, 1.0)
    assert log.getvalue().splitlines() == ["Fusing: done after 0.0 s"]


def test_what_is_broken_off_is_not_called_done() -> None:
    log = io.StringIO()
    with pytest.raises(ValueError, match="no"), ProgressLine("Fusing", log):
        raise ValueError("no")
    assert "stopped after" in log.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (4.21, "4.2 s"), (9.97, "10 s"), (65, "1:05 min"), (7400, "2:03:20 h")]
)
def test_times_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text
