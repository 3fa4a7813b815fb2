"""Scoring the methods on one pair: blind, with failures recorded, by any measure."""

from __future__ import annotations

from functools import partial

import pytest

from napari_specfusion import sample_scene
from napari_specfusion.bench.candidates import Contender
from napari_specfusion.bench.report import Score
from napari_specfusion.bench.scoring import HEAD, bench_scene, noise_text, print_score, this_run
from napari_specfusion.networks.registry import create_model
from napari_specfusion.quality.metrics import evaluate

BICUBIC, GLP = (Contender(name, name, name) for name in ("bicubic", "glp"))


def test_methods_are_scored_blind() -> None:
    scores = list(bench_scene(sample_scene(64, 4), "still life", [BICUBIC, GLP], "lso"))
    assert [(score.scene, score.method, score.ratio) for score in scores] == [
        ("still life", "bicubic", 4),
        ("still life", "glp", 4),
    ]
    assert scores[0].psnr is not None and scores[1].psnr is not None
    assert scores[1].psnr > scores[0].psnr + 3
    assert all(score.seconds and score.seconds > 0 for score in scores)


def test_one_that_fails_is_recorded_and_the_others_go_on() -> None:
    wrong = Contender("wrong", create_model("lso-s", 31, 3, 8), "")
    failed, glp = bench_scene(sample_scene(64, 4), "still life", [wrong, GLP])
    assert failed.psnr is None
    assert "ratio is 4" in failed.failure
    assert glp.psnr and not glp.failure


def test_the_measure_can_be_another_one() -> None:
    (one,) = bench_scene(sample_scene(32, 4), "still life", [BICUBIC])
    (two,) = bench_scene(sample_scene(32, 4), "still life", [BICUBIC], measure=partial(evaluate, data_range=10.0))
    assert one.psnr is not None and two.psnr is not None
    assert two.psnr == pytest.approx(one.psnr + 20, abs=0.5)


def test_lines_stand_below_their_head(capsys: pytest.CaptureFixture[str]) -> None:
    print_score(Score("lso", 4, "one", "glp", psnr=40.0, seconds=1.5))
    line = capsys.readouterr().out.rstrip()
    assert line.index(" 40.00") == HEAD.index("  PSNR")
    assert len(line) == len(HEAD)
    print_score(Score("lso", 4, "one", "glp", failure="It is too coarse."))
    assert capsys.readouterr().out.rstrip().endswith("- It is too coarse.")


def test_the_setting_in_words() -> None:
    assert noise_text(None) == ""
    assert noise_text((35.0, 40.5)) == "35 and 40.5"
    assert "+" not in this_run().torch
    assert "threads: " in str(this_run())
