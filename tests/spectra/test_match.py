from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, SpectrumError
from napari_specfusion.quality.formulas import spectral_angle
from napari_specfusion.spectra import SpectralLibrary, Spectrum, angle_map, rank_spectra
from napari_specfusion.spectra.match import angle_picture

WAVES = np.array([400.0, 500.0, 600.0, 700.0])


def made(values: Any, name: str = "x", waves: Any = WAVES, **fields: Any) -> Spectrum:
    return Spectrum(np.asarray(values, float), waves, name=name, **fields)


def test_angles_by_hand() -> None:
    library = SpectralLibrary(
        (
            made([0, 0, 1, 0], "far"),
            made([3, 0, 0, 0], "same"),
            made([1, 1, 0, 0], "half"),
            made([1, -1e-7, 0, 0], "near"),
        )
    )
    found = rank_spectra(made([1, 0, 0, 0]), library)
    assert [match.name for match in found] == ["same", "near", "half", "far"]
    assert np.allclose([match.angle for match in found], [0, np.degrees(1e-7), 45, 90], rtol=1e-6)
    assert found[0].bands == 4 and found[0].spectrum is library[1]
    assert len(rank_spectra(made([1, 0, 0, 0]), library, count=2)) == 2
    assert "angle" in repr(found) and "Spectrum(" not in repr(found)


def test_a_fine_library_is_resampled_and_what_covers_too_little_is_left_out() -> None:
    fine = np.arange(390.0, 711)
    picked = made([4, 5, 6, 7])
    library = [
        made(fine / 100, "whole", fine),
        made(fine[:150] / 100, "part", fine[:150]),
        made(np.ones(4), "raman", WAVES, spectral_unit="cm-1"),
        Spectrum(np.ones(4), name="unknown"),
    ]
    (found,) = rank_spectra(picked, library)
    assert found.name == "whole" and found.angle < 0.01
    with pytest.raises(SpectrumError, match="covers half"):
        rank_spectra(picked, library[1:])
    with pytest.raises(SpectrumError, match="no wavelengths"):
        rank_spectra(Spectrum(np.ones(4)), library)


def test_only_common_bands_count() -> None:
    (found,) = rank_spectra(made([1, np.nan, 1, 1]), [made([1, 50, 1, 1])])
    assert found.bands == 3 and found.angle == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_the_map_is_the_angle_of_every_pixel(seed: int, factor: float) -> None:
    draw = np.random.default_rng(seed)
    values, target = draw.random((4, 5, 6)), draw.random(4)
    found = angle_map(Cube.from_array(values, wavelengths=WAVES), made(target * factor)).read()[0]
    expected = spectral_angle(values, np.broadcast_to(target[:, None, None], values.shape))
    assert np.allclose(found, expected, atol=1e-5)


def test_bad_bands_missing_pixels_and_zeros() -> None:
    values = np.random.default_rng(0).random((5, 3, 3)).astype(np.float32)
    values[1] = 1e9
    values[2, 0, 0], values[:, 1, 1], values[:, 2, 2] = np.nan, np.nan, 0
    target = np.array([1.0, 2, 3, 4, 5])
    waves = np.arange(400.0, 900, 100)
    cube = Cube.from_array(values, wavelengths=waves, good_bands=[1, 0, 1, 1, 1], name="c", affine=(1, 0, 5, 0, 1, 6))
    found = angle_map(cube, Spectrum(target, waves, name="t"))
    assert found.name == "c: angle to t" and found.affine == cube.affine and found.shape == (1, 3, 3)
    seen = found.read()[0]
    assert np.isnan(seen[1, 1]) and np.isnan(seen[2, 2]) and np.isfinite(seen).sum() == 7
    keep = [0, 3, 4]
    a, b = values[keep, 0, 0].astype(float), target[keep]
    assert np.isclose(seen[0, 0], np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))), atol=1e-4)


def test_a_map_is_lazy_and_one_chunk_at_a_time() -> None:
    read: list[int] = []

    def chunk(block: np.ndarray) -> np.ndarray:
        read.append(block.shape[0])
        return block

    data = da.ones((40, 50, 60), chunks=(1, 50, 60), dtype=np.float32).map_blocks(chunk, dtype=np.float32)
    read.clear()
    found = angle_map(Cube(data), Spectrum(np.arange(1.0, 41)))
    assert not read and found.dtype == np.float32
    assert np.allclose(found.read(), found.read()[0, 0, 0]) and set(read) == {1}


def test_a_picture_is_the_map_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STRIP", 1)
    values = np.random.default_rng(0).random((4, 7, 6)).astype(np.float32)
    values[1, 2, 3], values[:, 4, 4], values[:, 5, 5] = np.nan, np.nan, 0
    cube = Cube.from_array(values, wavelengths=WAVES, good_bands=[1, 1, 0, 1], name="c", pixel_size=(2, 3))
    told: list[Any] = []
    found = angle_picture(cube, made([1, 2, 3, 4]), progress=told.append)
    lazy = angle_map(cube, made([1, 2, 3, 4]))
    assert np.allclose(found.read(), lazy.read(), atol=1e-5, equal_nan=True) and np.isnan(found.read()).sum() == 2
    assert found.metadata == lazy.metadata and found.name == lazy.name and found.pixel_size == (2, 3)
    assert [step.done for step in told] == list(range(7))
    with pytest.raises(Cancelled, match="no angle was mapped"):
        angle_picture(cube, made([1, 2, 3, 4]), should_stop=lambda: True)


def test_what_does_not_fit() -> None:
    cube = Cube.from_array(np.ones((4, 3, 3)), wavelengths=WAVES, name="c")
    for spectrum, words in (
        (Spectrum(np.ones(3)), "3 bands, c 4"),
        (made(np.ones(4), waves=WAVES + 5000), "known in 0 good bands"),
        (made(np.ones(4), spectral_unit="cm-1"), "cm-1"),
        ("x", "of type str"),
    ):
        with pytest.raises(SpectrumError, match=words):
            angle_map(cube, spectrum)  # type: ignore[arg-type]
