from __future__ import annotations

import math
from typing import Any

import pytest

from napari_specfusion.fusion.previewing import Preview, preview
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets._preview_table import PreviewTable


@pytest.fixture(scope="module")
def tiles() -> tuple[Preview, ...]:
    return preview(sample_scene(128, 4), size=32, methods=["bicubic", "subspace"])


@pytest.fixture
def table(qtbot: Any) -> PreviewTable:
    found = PreviewTable()
    qtbot.addWidget(found)
    return found


def texts(table: PreviewTable, row: int) -> list[str]:
    return [table.item(row, column).text() for column in range(table.columnCount())]


def test_scores_stand_beside_the_methods_and_the_best_is_bold(table: PreviewTable, tiles: Any) -> None:
    table.fill(tiles)
    assert texts(table, 0)[0] == "bicubic" and texts(table, 1)[0] == "subspace"
    assert float(texts(table, 1)[3]) == pytest.approx(tiles[1].reduced_psnr, abs=0.01)
    assert [table.item(row, 1).font().bold() for row in (0, 1)] == [False, True]
    assert table.horizontalHeaderItem(1).text() == "Cube \u2193\n%"


def test_a_failure_and_a_missing_score_are_told(table: PreviewTable, tiles: Any) -> None:
    failed = Preview("network", None, (0, 1), (0, 1), error="a bolt is loose")
    untried = Preview("gsa", tiles[0].cube, (0, 1), (0, 1), seconds=1.0, note="The pair is too small.")
    table.fill([failed, untried])
    assert texts(table, 0) == ["network", "failed", "", "", ""]
    assert table.item(0, 1).toolTip() == "a bolt is loose"
    assert math.isnan(untried.cube_residual) and texts(table, 1)[1:4] == ["\u2013"] * 3
    assert table.item(1, 3).toolTip() == "The pair is too small."


def test_a_click_tells_the_method_and_new_lines_do_not(table: PreviewTable, tiles: Any) -> None:
    heard: list[str] = []
    table.chosen.connect(heard.append)
    table.fill(tiles[:1])
    table.select("bicubic")
    table.fill(tiles)
    assert heard == []
    table.selectRow(1)
    assert heard == ["subspace"]
    table.fill(tiles)
    assert heard == ["subspace"] and {index.row() for index in table.selectedIndexes()} == {1}
