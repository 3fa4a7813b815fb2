from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_specfusion.cli.figure import Panel, draw_panels, natural_colour, save_figure
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def test_colours_come_from_the_bands_the_eye_sees() -> None:
    values = np.zeros((4, 8, 8), np.float32)
    values[3, :, :4] = 1
    cube = Cube.from_array(values, wavelengths=[450, 500, 550, 640])
    shown = natural_colour(cube)
    assert np.all(shown[:, :4, 0] == 1)
    assert np.all(shown[:, :4, 1:] == 0)
    assert np.all(shown[:, 4:] == 0)


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_any_number_of_bands_makes_a_picture(bands: int) -> None:
    shown = natural_colour(Cube.from_array(np.random.default_rng(0).random((bands, 6, 7))))
    assert shown.shape == (6, 7, 3)
    assert 0 <= shown.min() <= shown.max() <= 1


def test_panels_hold_their_pictures_whole(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    red = np.zeros((5, 5, 3))
    red[..., 0] = 1
    error = np.linspace(0, 2, 25).reshape(5, 5)
    error[0, 0] = np.nan
    frame = (0.2, 0.4, 0.6, 1.0)
    panels = [Panel("a", "", red, frame=frame), Panel("b", "note", error, limit=2.0)]
    figure = draw_panels([panels, panels[:1]], "heading")
    first, second, third, empty, bar = figure.axes
    assert figure.get_suptitle() == "heading"
    assert [axes.get_title(loc="left") for axes in (first, second, third)] == ["a", "b", "a"]
    assert second.get_xlabel() == "note"
    np.testing.assert_array_equal(first.images[0].get_array(), red)
    np.testing.assert_array_equal(np.ma.filled(second.images[0].get_array(), np.nan), error)
    assert second.images[0].get_clim() == (0, 2) == bar.get_ylim()
    assert not empty.images
    # the upper part of the picture is framed in its upper part
    (box,) = {patch.get_bbox().bounds for patch in first.patches}
    assert box == pytest.approx((0.6, 0.6, 0.4, 0.2))
    assert not second.patches

    save_figure(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as stored:
        pixels = np.asarray(stored.convert("RGB"))
    assert min(pixels.shape[:2]) > 500
    assert np.mean(np.all(pixels == (255, 0, 0), axis=-1)) > 0.2


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    with pytest.raises(OutputError, match="does not exist; make it first"):
        save_figure(figure, tmp_path / "none" / "figure.png")
