"""What the reports of benchmarks share: the folder that holds them, and tables in Markdown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from napari_specfusion.bench.report import COLUMNS, grid, mean, prepare_folder, rows_of
from napari_specfusion.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written to .* give another folder"):
        prepare_folder(tmp_path / "file")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="give another folder"):
        prepare_folder(tmp_path)


def test_columns_are_aligned() -> None:
    assert grid(["a", "b", "c"], [["1", "2", "3"]], left=2).splitlines() == [
        "| a | b | c |",
        "| --- | --- | ---: |",
        "| 1 | 2 | 3 |",
    ]


def test_the_best_is_bold_and_what_looks_the_same_counts_as_equal() -> None:
    means = {
        "one": {"psnr": 40.001, "sam": 2.0},
        "two": {"psnr": 40.002, "sam": 1.0},
        "three": dict.fromkeys(("psnr", "sam")),
    }
    assert rows_of(means, COLUMNS[:2]) == [
        ["one", "**40.00**", "2.00"],
        ["two", "**40.00**", "**1.00**"],
        ["three", "-", "-"],
    ]


def test_a_mean_over_fewer_is_none() -> None:
    assert mean([1.0, 3.0]) == 2.0
    assert mean([1.0, None]) is None
    assert mean([]) is None
