from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_specfusion.sensor import Psf
from napari_specfusion.widgets._psf_picture import PsfPicture


@pytest.mark.parametrize(("psf", "cell"), [(Psf(2.0), 4.0), (Psf(0.4), 8.0), (Psf.box(2.5), 2.5)])
def test_a_psf_is_bright_in_the_middle_and_dark_at_the_edge(qtbot: Any, psf: Psf, cell: float) -> None:
    picture = PsfPicture()
    qtbot.addWidget(picture)
    picture.show_weights(psf.image(), cell)
    picture.show()
    assert len(picture.weights) >= cell and picture.weights.sum() == pytest.approx(1)
    image = picture.grab().toImage()
    size = image.width()
    grey = np.array([[image.pixelColor(x, y).lightness() for x in (size // 2, 3)] for y in (size // 2, 3)])
    assert grey[0, 0] > 200 and grey[1, 1] < 60
