"""What an alignment says, keeps, and does to other images."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from napari_specfusion.alignment import Alignment, align
from napari_specfusion.alignment.transform import Field, Transform, frame_matrix
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Finding
from napari_specfusion.errors import AlignmentError, OutputError


def bent() -> Alignment:
    """Return an alignment with all that one can have."""
    field = Field(np.random.default_rng(0).normal(0, 1, (2, 6, 6)), (-10.0, -10.0), 10.0)
    lines = np.random.default_rng(1).normal(0, 0.5, (24, 2))
    return Alignment(
        Transform(frame_matrix(4), field, lines),
        Fraction(4),
        (24, 24),
        (96, 96),
        (0, 24, 0, 24),
        "resampled",
        model="affine",
        local=("smooth", "lines"),
        before=0.5,
        after=0.1,
        detail=0.2,
        certainty={"shift_y": 0.01},
        notes=(Finding("warning", "georeference", "words"),),
    )


def test_it_is_the_same_after_saving(tmp_path):
    first = bent()
    first.save(tmp_path / "pair.json")
    second = Alignment.load(tmp_path / "pair.json")
    y, x = np.mgrid[0:23:5j, 0:23:5j]
    np.testing.assert_allclose(second.to_guide(y, x), first.to_guide(y, x), rtol=1e-12)
    for name in ("ratio", "window", "placement", "model", "local", "before", "after", "certainty", "verdict", "notes"):
        assert getattr(second, name) == getattr(first, name)


def test_a_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "pair.json"
    bent().save(path)
    with pytest.raises(OutputError, match="exists"):
        bent().save(path)
    bent().save(path, overwrite=True)


@pytest.mark.parametrize(
    "change",
    [
        {"napari_specfusion_alignment": 99},
        {"window": [0, 40, 0, 24]},
        {"placement": "somewhere"},
        {"verdict": "perfect"},
        {"ratio": [4, 0]},
        {"transform": {"matrix": [[1, 0], [0, 1]], "field": None, "lines": None}},
        {"transform": {"matrix": np.eye(3).tolist(), "field": None, "lines": [[0, 0]]}},
        {"transform": None},
        {"ratio": [0, 1]},
        {"ratio": [10**30, 1]},
        {"ratio": [4, 10**999]},
        {"cube_shape": [5, 1e308], "window": [0, 5, 0, 6]},
        {"guide_shape": [0, 10]},
        {"transform": {"matrix": [[1e308, 0, 0], [0, 4, 0], [0, 0, 1]], "field": None, "lines": None}},
    ],
)
def test_a_damaged_file_is_named(change, tmp_path):
    path = tmp_path / "pair.json"
    bent().save(path)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(AlignmentError):
        Alignment.load(path)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_alignment_is_named(content, tmp_path):
    path = tmp_path / "pair.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(AlignmentError, match="not an alignment"):
        Alignment.load(path)
    with pytest.raises(AlignmentError, match="does not exist"):
        Alignment.load(tmp_path / "missing.json")


def test_both_directions_agree():
    found = bent()
    y, x = np.mgrid[1:22:7j, 1:22:7j]
    back = found.to_cube(*found.to_guide(y, x))
    np.testing.assert_allclose(back, np.stack([y, x]), atol=0.02)
    # single numbers, too
    assert found.to_guide(3.0, 4.0)[0].shape == ()
    np.testing.assert_allclose(found.matrix @ found.inverse, np.eye(3), atol=1e-12)


def test_it_applies_to_other_images_of_the_cameras(make_pair):
    pair = make_pair((3.0, 1.02, (5, -4)))
    scene = align(pair.hsi, pair.guide)
    found = scene.alignment
    other = Cube.from_array(pair.guide.read()[:1] * 2 + 1)
    np.testing.assert_allclose(found.apply(other).read(), scene.guide.read()[:1] * 2 + 1, rtol=1e-4, atol=1e-4)
    again = found.scene(pair.hsi, pair.guide)
    np.testing.assert_array_equal(again.guide.read(), scene.guide.read())
    with pytest.raises(AlignmentError, match="192"):
        found.apply(pair.guide.crop(slice(0, 100), slice(0, 100)))
    with pytest.raises(AlignmentError, match="48"):
        found.scene(pair.hsi.crop(slice(0, 20), slice(0, 20)), pair.guide)


def test_windows_equal_the_whole(make_pair):
    pair = make_pair((11.0, 0.97, (5, -4)))
    guide = align(pair.hsi, pair.guide).guide
    whole = guide.read()
    for rows, columns in ((slice(3, 40), slice(10, 90)), (slice(57, 58), slice(0, 100)), (slice(90, 130), slice(7, 8))):
        part = guide.read(rows, columns)
        np.testing.assert_array_equal(np.isnan(part), np.isnan(whole[:, rows, columns]))
        np.testing.assert_allclose(part, whole[:, rows, columns], atol=1e-6)
    np.testing.assert_allclose(np.asarray(guide.data), whole, atol=1e-6)
    np.testing.assert_allclose(guide.spectrum(50, 60), whole[:, 50, 60], atol=1e-6)


def test_what_it_says():
    good = bent()
    text = " ".join(finding.message for finding in good.findings())
    assert "bent by up to" in text
    assert "line by line" in text
    assert "certain to 0.01 px" in text
    assert "words" in text
    assert good.trusted
    assert "Alignment: good" in repr(good)
    assert "<table" in good._repr_html_()
