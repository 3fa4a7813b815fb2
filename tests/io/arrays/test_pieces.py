"""Boxes of a file, read without a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays import pieces
from napari_specfusion.io.arrays.lazy import MappedArray
from napari_specfusion.io.arrays.pieces import stored_box

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (4, 5, 6)
VALUES = np.arange(120, dtype=np.int16).reshape(SHAPE)
OFFSET = 3


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pieces") / "numbers"
    path.write_bytes(b"abc" + VALUES.astype(">i2").tobytes())
    return path


def mapped(file: Path, axes: tuple[int, int, int]) -> MappedArray:
    return MappedArray(str(file), ">i2", SHAPE, OFFSET, axes)


def part(length: int) -> st.SearchStrategy[Any]:
    return st.one_of(st.integers(-length, length - 1), st.slices(length), st.just(slice(None)))


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@given(data=st.data())
def test_every_box_as_numpy_takes_it(file: Path, axes: tuple[int, int, int], data: st.DataObject) -> None:
    want = VALUES.transpose(axes)
    index = tuple(data.draw(part(n)) for n in want.shape)[: data.draw(st.integers(1, 3))]
    found = mapped(file, axes)[index]
    assert found.dtype == np.dtype("=i2")
    np.testing.assert_array_equal(found, want[index])


@pytest.mark.parametrize("index", [np.s_[:, 2, 3], 2, np.s_[1:3], np.s_[:, 1:3], np.s_[0, 2], np.s_[2, ::2, ::3]])
def test_spectra_bands_strips_and_samples_need_no_map(file: Path, monkeypatch: pytest.MonkeyPatch, index: Any) -> None:
    monkeypatch.setattr(np, "memmap", lambda *_: pytest.fail("a page that is missing stops every thread"))
    np.testing.assert_array_equal(mapped(file, (0, 1, 2))[index], VALUES[index])


@pytest.mark.parametrize("span", [1, 20, 1 << 20])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@given(data=st.data())
def test_every_box_with_what_lies_between(
    file: Path, axes: tuple[int, int, int], span: int, data: st.DataObject
) -> None:
    want = VALUES.transpose(axes)
    index = tuple(data.draw(part(n)) for n in want.shape)[: data.draw(st.integers(1, 3))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "MOST_PIECES", 1)
        patch.setattr(pieces, "SPAN", span)
        np.testing.assert_array_equal(mapped(file, axes)[index], want[index])


def test_what_lies_in_very_many_near_pieces_is_read_in_few(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    fill = pieces._fill
    monkeypatch.setattr(pieces, "MOST_PIECES", 3)
    monkeypatch.setattr(pieces, "_fill", lambda *given: reads.append(given[1]) or fill(*given))
    np.testing.assert_array_equal(mapped(file, (0, 1, 2))[:2, 1:4, 2:5], VALUES[:2, 1:4, 2:5])
    assert len(reads) == 2
    reads.clear()
    monkeypatch.setattr(pieces, "NEAR", 3)
    np.testing.assert_array_equal(mapped(file, (0, 1, 2))[:2, 1:4, 2:5], VALUES[:2, 1:4, 2:5])
    assert len(reads) == 6


def test_without_advice_the_values_are_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_ADVISE", None)
    np.testing.assert_array_equal(mapped(file, (0, 1, 2))[:, 2, 3], VALUES[:, 2, 3])


@pytest.mark.parametrize("index", [np.s_[:, 4, 5], np.s_[3]])
def test_a_file_that_was_cut_is_told(tmp_path: Path, index: Any) -> None:
    path = tmp_path / "short"
    path.write_bytes(VALUES.astype(">i2").tobytes()[:-20])
    with pytest.raises(ReadError, match="moved or truncated"):
        MappedArray(str(path), ">i2", SHAPE)[index]


def test_a_sample_reads_little(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    fill = pieces._fill
    monkeypatch.setattr(pieces, "_fill", lambda *given: taken.append(len(given[2])) or fill(*given))
    np.testing.assert_array_equal(mapped(file, (0, 1, 2))[2, ::3, ::4], VALUES[2, ::3, ::4])
    # two rows, up to the last column that is taken
    assert taken == [10, 10]
    taken.clear()
    np.testing.assert_array_equal(mapped(file, (0, 1, 2))[::3], VALUES[::3])
    assert sum(taken) == VALUES[::3].nbytes


@pytest.mark.parametrize("index", [np.s_[::-1], np.s_[[0, 1]], np.s_[..., 0], np.s_[2:2], True, 9, np.s_[0, 0, 0, 0]])
def test_other_indices_are_left_to_numpy(index: Any) -> None:
    assert stored_box(index, SHAPE, (0, 1, 2)) is None
