"""Lists that print as tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_specfusion.listing import Listing


@dataclass(frozen=True)
class Row:
    name: str
    size: int
    hidden: str = field(default="secret", repr=False)


def test_one_record_a_line_in_columns() -> None:
    listed = Listing([Row("one", 1), Row("twenty-two", 22)])
    assert repr(listed) == "name        size\none         1\ntwenty-two  22"
    assert str(listed) == repr(listed)
    assert listed[1].size == 22
    assert len(listed) == 2


def test_an_empty_one_says_so() -> None:
    assert repr(Listing([])) == "(empty)"
