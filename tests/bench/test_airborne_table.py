"""The table of many sensors: each counts the same, and gains are those on the same scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_specfusion.bench.airborne_table import AirborneScore, markdown, save_table, section
from napari_specfusion.bench.cube_list import SharpCube
from napari_specfusion.bench.report import Run
from napari_specfusion.data.cube import Cube

if TYPE_CHECKING:
    from pathlib import Path

RUN = Run("1.2.3", "4.5.6", 2)


def score(sensor: str, scene: str, method: str, psnr: float | None, **more: object) -> AirborneScore:
    known = {"sam": 3.0, "ergas": 1.0, "ssim": 0.9, "seconds": 1.5, "guide": "rgb"} | more
    return AirborneScore("gaussian", 4, scene, method, psnr=psnr, sensor=sensor, **known)  # type: ignore[arg-type]


SCORES = [
    score("A", "one", "bicubic", 30.0),
    score("A", "one", "subspace", 40.0),
    score("A", "one", "net", 42.0, made_for=4, trained_on_sensor=True),
    score("A", "two", "bicubic", 32.0),
    score("A", "two", "subspace", 42.0),
    score("A", "two", "net", 43.0, made_for=4, trained_on_sensor=True),
    score("B", "three", "bicubic", 20.0),
    score("B", "three", "subspace", 31.0),
]
CUBES = [
    SharpCube(
        Cube.from_array(np.zeros((3, 4, 5)), wavelengths=[400, 500, 700], name="one"),
        "A",
        8,
        {"noise": (0, 3, 4, 5), "dark": (7,)},
        True,
    ),
    SharpCube(Cube.from_array(np.zeros((3, 4, 5)), name="three"), "B", 3, {}, False),
]


def rows(table: str) -> dict[tuple[str, str], list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {(line[0], line[1]): line[2:] for line in cells}


def test_each_sensor_counts_the_same() -> None:
    table = rows(section(SCORES))
    assert table["all (3)", "subspace"][0] == "**36.00**"
    assert table["all (3)", "bicubic"][3:] == ["-10.50", "-11.00", "1.50"]
    assert table["A (2)", "subspace"][3:5] == ["-", "-"]
    assert table["A (2)", "bicubic"][0] == "31.00"


def test_weights_that_fit_one_sensor_have_no_mean_over_all_but_a_gain() -> None:
    table = rows(section(SCORES))
    assert table["all (3)", r"net \*"][:5] == ["-", "-", "-", "+1.50", "+1.00"]
    assert table["A (2)", r"net \*"][0] == "**42.50**"
    assert ("B (1)", r"net \*") not in table


def test_one_sensor_needs_no_mean_over_all() -> None:
    assert [sensor for sensor, _ in rows(section(SCORES[:6]))][2:] == ["A (2)"] * 3


def test_a_failure_leaves_no_mean() -> None:
    table = rows(section([*SCORES[:4], score("A", "two", "subspace", None, sam=None, failure="No.")]))
    assert table["A (2)", "subspace"][0] == "-"
    assert table["A (2)", "bicubic"][3] == "-10.00"


def test_the_report_tells_everything() -> None:
    failed = score("B", "three", "net", None, made_for=4, noise="35 and 40", failure="It is too coarse.")
    text = markdown([*SCORES, failed], RUN, CUBES, ["three with the guide pan: too far"])
    assert "2 scenes of 2 sensors (A, B), blind. napari-specfusion 1.2.3, torch 4.5.6, threads: 2" in text
    assert [line for line in text.splitlines() if line.startswith("## x")] == [
        "## x4, guide rgb, no noise",
        "## x4, guide rgb, noise 35 and 40 dB",
    ]
    assert "| one | A | 4 x 5 | 3 of 8 | 400-700 assumed | noise: 0, 3-5; dark: 7 |" in text
    assert "| three | B | 4 x 5 | 3 of 3 | - |  |" in text
    assert "- x4, guide rgb, noise 35 and 40 dB, three, net: It is too coarse." in text
    assert "- three with the guide pan: too far" in text
    assert "| one | 30.00 / 3.00 / 1.00 / 0.9000 |" in text


@pytest.mark.parametrize("scores", [SCORES, SCORES[1:2]])
def test_a_picture_is_drawn(scores: list[AirborneScore], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = save_table(tmp_path, scores, RUN, CUBES, [])
    assert [path.name for path in written] == ["table.md", "table.csv", "table.png"]
    with Image.open(tmp_path / "table.png") as picture:
        assert min(picture.size) > 200
