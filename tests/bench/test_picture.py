"""The pictures of a benchmark: every method has its point, in a place where its name can be read."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from statistics import fmean

import pytest
from PIL import Image

from napari_specfusion.bench.picture import Point, draw, draw_times, points_of
from napari_specfusion.bench.report import Score

POINTS = [
    Point("bicubic", 0.1, 30.0, False),
    Point("glp", 1.0, 45.0, False),
    Point("subspace", 1.0, 45.1, False),
    Point("net, made for x4", 2.0, 48.0, True),
]


def test_a_point_has_the_median_time_and_what_failed_has_none() -> None:
    scores = [
        Score("lso", 4, scene, "glp", psnr=psnr, seconds=seconds)
        for scene, psnr, seconds in (("one", 40.0, 1.0), ("two", 41.0, 2.0), ("three", 45.0, 9.0))
    ]
    scores += [Score("lso", 4, "one", "net", made_for=4, failure="It is too coarse.")]
    points = points_of(scores, lambda found: fmean(score.psnr or 0.0 for score in found))
    assert points == [Point("glp", 2.0, 42.0, False)]


def test_every_method_is_named_and_weights_have_another_marker() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots()
    draw_times(axes, POINTS, "x4", "PSNR")
    assert axes.get_xscale() == "log"
    texts = {text.get_text().replace("\n", " "): text.get_position()[1] for text in axes.texts}
    assert set(texts) == {point.label for point in POINTS}
    assert texts["subspace"] - texts["glp"] > 1
    assert [line.get_marker() for line in axes.lines] == ["o", "o", "o", "^"]
    low, high = axes.get_ylim()
    assert low < 30 and high > max(texts.values())


def test_a_single_method_and_none_can_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    one, none = (partial(draw_times, points=points, title="", quality="") for points in (POINTS[:1], []))
    image = draw([[one, None], [none, one]], [2.0, 3.0])
    assert image is not None
    with Image.open(BytesIO(image)) as picture:
        assert picture.size[1] == 600
