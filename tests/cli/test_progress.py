from __future__ import annotations

import io

import pytest

from napari_specfusion.cli import progress
from napari_specfusion.cli.progress import ProgressLine, clock
from napari_specfusion.fusion.engine import FusionProgress
from napari_specfusion.progress import Progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def fusion_event(done: int, message: str = "", step: Progress | None = None) -> FusionProgress:
    return FusionProgress(done, 4, None, 0.0, None, None, message, step)


def test_a_terminal_gets_one_line_that_is_written_over() -> None:
    screen = Screen()
    with ProgressLine("Fusing", screen) as line:
        for step in range(5):
            line.update(step, 4, f"tile {step}")
    shown = screen.getvalue()
    assert shown.count("\n") == 1
    assert "Fusing:  50% |" in shown
    assert "00:00 left, tile 3" in shown
    assert shown.rpartition("\r")[2] == "Fusing: done after 0.0 s\n"


def test_what_is_being_done_is_shown_at_once() -> None:
    screen = Screen()
    with ProgressLine("Trying methods", screen) as line:
        for step, name in enumerate(("bicubic", "glp", "subspace")):
            line.update(step, 3, name)
            last = screen.getvalue().rpartition("\r")[2]
            assert last.startswith(f"Trying methods: {step / 3:4.0%} |")
            assert last.rstrip().endswith(f"left, {name}")


def test_what_an_earlier_run_did_does_not_count_as_speed() -> None:
    screen = Screen()
    with ProgressLine("Fusing", screen) as line:
        line.update(90, 100)
        assert "90% |" in screen.getvalue()
        assert "00:00 left" not in screen.getvalue()


def test_a_message_stands_above_the_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with ProgressLine("Fusing") as line:
        line.fusion(fusion_event(0, "glp was chosen."))
        line.fusion(fusion_event(1))
    assert capsys.readouterr().out == "glp was chosen.\n"


def test_what_comes_before_the_tiles_has_a_bar_of_its_own() -> None:
    screen = Screen()
    with ProgressLine("Fusing", screen) as line:
        line.fusion(fusion_event(0, step=Progress(1, 2, "calibrating")))
        assert screen.getvalue().endswith("left, calibrating")
        line.fusion(fusion_event(0, step=Progress(0, 5, "preparing")))
        last = screen.getvalue().rpartition("\r")[2]
        assert last.startswith("Fusing:   0% |")
        assert last.rstrip().endswith("left, preparing")
        line.fusion(fusion_event(1))
        last = screen.getvalue().rpartition("\r")[2]
        assert last.startswith("Fusing:  25% |")
        assert last.rstrip().endswith("left")


def test_a_log_gets_few_lines() -> None:
    log = io.StringIO()
    with ProgressLine("Fusing", log) as line:
        for step in range(1000):
            line.update(step, 1000)
    assert log.getvalue().splitlines() == ["Fusing: done after 0.0 s"]


def test_a_log_says_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    log = io.StringIO()
    with ProgressLine("Fusing", log) as line:
        line.update(0, 4)
        line.update(2, 4, "tile 2")
    assert log.getvalue().splitlines()[1:] == ["Fusing:  50%, 00:00 left, tile 2", "Fusing: done after 0.0 s"]


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
