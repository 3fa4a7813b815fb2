from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.alignment.by_hand import align_by
from napari_specfusion.alignment.transform import frame_matrix
from napari_specfusion.errors import AlignmentError
from napari_specfusion.samples.scene import sample_scene


def test_a_matrix_is_judged_but_not_changed() -> None:
    pair = sample_scene(96, 4)
    assert pair.shift is not None
    matrix = frame_matrix(4.0)
    matrix[:2, 2] += pair.shift
    scene = align_by(pair.hsi, pair.guide, matrix)
    assert scene.alignment is not None and scene.alignment.trusted and scene.alignment.placement == "as is"
    assert np.array_equal(scene.alignment.matrix, matrix) and scene.alignment.after < 0.3
    # a quarter turn is another place
    turned = np.array([[0.0, 4.0, 1.5], [-4.0, 0.0, 93.5], [0.0, 0.0, 1.0]])
    elsewhere = align_by(pair.hsi, pair.guide, turned)
    assert elsewhere.alignment is not None and elsewhere.alignment.placement == "resampled"
    assert elsewhere.alignment.after > 2 * scene.alignment.after


def test_no_common_ground_is_an_error() -> None:
    pair = sample_scene(96, 4)
    matrix = frame_matrix(4.0)
    matrix[:2, 2] += 1000
    with pytest.raises(AlignmentError, match="common ground"):
        align_by(pair.hsi, pair.guide, matrix)
