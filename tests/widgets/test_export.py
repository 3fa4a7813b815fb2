from __future__ import annotations

from pathlib import Path

import pytest

from napari_specfusion.widgets._export import FILTERS, with_ending


@pytest.mark.parametrize(
    ("name", "chosen", "expected"),
    [("a", 1, "a.sli"), ("a.png", 1, "a.png"), ("a", 3, "a.svg"), ("a", None, "a")],
)
def test_a_name_without_an_ending_takes_that_of_the_filter(name: str, chosen: int | None, expected: str) -> None:
    filters = FILTERS.split(";;")
    assert with_ending(Path(name), "" if chosen is None else filters[chosen]) == Path(expected)
