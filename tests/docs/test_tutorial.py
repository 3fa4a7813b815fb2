"""The Python of the tutorial runs on the real pair that it names, and prints what the page shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
# a block of Python, and what is indented below it
STEPS = re.findall(r"^```python\n(.*?)^```\n\n((?: {4}[^\n]+\n)*)", PAGE, re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


@pytest.mark.slow
def test_the_steps_print_what_the_page_shows(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MLBS_39_hsi.tif", "MLBS_39_rgb.tif"):
        shutil.copy(data_dir / "pairs" / "neon" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for source, indented in STEPS:
        exec(source, names)
        shown = re.sub(r"^ {4}", "", indented, flags=re.MULTILINE)
        printed = capsys.readouterr().out
        assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
        # processors round differently
        assert numbers(printed) == pytest.approx(numbers(shown), rel=0.05, abs=0.05)


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]
