"""The benchmark of the alignment: known transforms are found, and what is lost is told."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_specfusion.__main__ import main as command
from napari_specfusion.bench.align import Trial, bench_align, summary, try_draw
from napari_specfusion.bench.draws import draw, make_pair
from napari_specfusion.errors import SceneError
from napari_specfusion.samples.scene import sample_reference


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    values = sample_reference(96).read()
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name, shown in (("one", values), ("two", values[:, ::-1, ::-1])):
        np.save(folder / f"{name}.npy", np.rint(65535 * shown).astype(np.uint16))
    return folder


def trial(**changes: object) -> Trial:
    plain: dict[str, object] = {"scene": "one", "turn": 1.0, "noisy": False, "placement": "resampled", "model": "rigid"}
    found: dict[str, object] = {"kind": "affine", "ratio": 4, "number": 0, "verdict": "good", "error": 0.1}
    return Trial(**(plain | found | {"seconds": 2.0, "known": 45.0, "loss": 0.1} | changes))  # type: ignore[arg-type]


def test_a_known_transform_loses_nothing() -> None:
    cube = sample_reference(96)
    drawn = draw("affine", 4, 0, seed=5, count=1, side=(96, 96))
    result = try_draw(drawn, make_pair(drawn, [cube], "rgb"), "still life")
    assert result.found and not result.wrong
    assert result.verdict == "good"
    assert result.known is not None and result.known > 25
    assert result.loss is not None and result.loss < 1


def test_a_match_that_is_none_must_not_be_called_good() -> None:
    assert not trial().wrong
    assert trial(error=2.0).wrong
    assert not trial(error=2.0, verdict="doubtful").wrong
    assert trial(kind="unrelated", error=None).wrong
    assert not trial(kind="unrelated", error=None, verdict="unrelated").wrong


def test_the_summary_counts_by_kind_and_ratio() -> None:
    trials = [trial(), trial(loss=0.5), trial(error=0.7, loss=9.0), trial(ratio=8)]
    unrelated = trial(kind="unrelated", error=None, loss=None, verdict="unrelated")
    rows = summary([*trials, unrelated]).splitlines()[2:]
    assert rows[0] == "| affine, x4 | 3 | 2 | 1 | 0.50 | 9.00 | 2.0 | 2.0 |"
    assert rows[1].startswith("| affine, x8 | 1 | 1 | 0 |")
    assert rows[2] == "| unrelated, x4 | 1 | - | 0 | - | - | 2.0 | 2.0 |"


def test_the_table_is_written(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    line = ["bench", "align", "--data", str(scenes), "--out", str(out), "--ratio", "4", "--draws", "1"]
    status = command([*line, "--kind", "none"])
    assert "| none, x4 | 1 |" in capsys.readouterr().out
    assert "| none, x4 | 1 |" in (out / "table.md").read_text(encoding="utf-8")
    with (out / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["seed"] == "1"
    assert {row["kind"] for row in rows} == {"none"}
    assert status == int(rows[0]["verdict"] == "good" and rows[0]["found"] == "False")


def test_bad_input_is_named(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no kind 'bent'"):
        bench_align(scenes, tmp_path / "out", kinds=["bent"])
    np.save(scenes / "small.npy", np.zeros((31, 64, 64), np.uint16))
    with pytest.raises(SceneError, match="one size"):
        bench_align(scenes, tmp_path / "out")
