from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_specfusion.cli.figure import Panel, draw_panels, natural_colour, save_picture
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
    red = np.zeros((5, 5, 3))
    red[..., 0] = 1
    error = np.full((5, 5), np.nan)
    figure = draw_panels([[Panel("a", "", red), Panel("b", "note", error, limit=2.0)]], "heading", side=50)
    assert np.sum(np.all(figure == (255, 0, 0), axis=-1)) == 50 * 50
    save_picture(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as stored:
        assert np.array_equal(np.asarray(stored), figure)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_picture(np.zeros((4, 4, 3), np.uint8), tmp_path / "none" / "figure.png")
