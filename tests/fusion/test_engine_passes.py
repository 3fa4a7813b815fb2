"""How often a fusion calibrates a pair and reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest

from napari_specfusion import memory
from napari_specfusion.calibration import bands, estimate, moments
from napari_specfusion.calibration.calibrated import CalibratedScene, calibrate
from napari_specfusion.data import surveying
from napari_specfusion.data.scene import Scene
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import Cancelled
from napari_specfusion.fusion import auto
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.training.fitting import fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_specfusion.data.cube import Cube

BANDS = 31


class Counted:
    """An array that counts the values it hands out."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values, self.read = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, index: Any) -> NDArray[Any]:
        found = np.array(self._values[index])
        self.read += found.size
        return found


def counted(cube: Cube) -> tuple[Cube, Counted]:
    array = Counted(cube.read())
    data = da.from_array(array, chunks=(1, *array.shape[1:]), name=False, meta=np.empty((0, 0, 0), array.dtype))
    return cube.replace(data=data, source=ArraySource(array)), array


@pytest.fixture(scope="module")
def pair() -> Scene:
    return sample_scene(384, 4)


@pytest.fixture
def watched(pair: Scene) -> tuple[Scene, Counted, Counted]:
    (hsi, low), (guide, sharp) = counted(pair.hsi), counted(pair.guide)
    return Scene(hsi, guide), low, sharp


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Scene]:
    """Return the scenes whose PSF and shift were searched."""
    done: list[Scene] = []
    search = estimate.search

    def noting(scene: Scene, *rest: Any) -> Any:
        done.append(scene)
        return search(scene, *rest)

    monkeypatch.setattr(estimate, "search", noting)
    return done


@pytest.mark.parametrize("model", ["auto", *METHODS])
def test_a_small_pair_is_read_once_and_calibrated_once(
    watched: tuple[Scene, Counted, Counted], searches: list[Scene], model: str
) -> None:
    scene, low, sharp = watched
    fuse(scene, model=model, device="cpu")
    assert len(searches) == (model != "bicubic")
    for array in (low, sharp):
        assert array.read <= 1.01 * math.prod(array.shape)


@pytest.mark.parametrize("model", ["auto", *METHODS])
def test_a_large_pair_is_read_twice_at_most_but_for_samples(
    watched: tuple[Scene, Counted, Counted], searches: list[Scene], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, low, sharp = watched
    monkeypatch.setattr(memory, "KEPT_PAIR", 0)
    monkeypatch.setattr(memory, "SURVEYED_PAIR", 0)
    # limits as much smaller than this pair as the real ones are than a large one
    monkeypatch.setattr(estimate, "WINDOW", 32)
    monkeypatch.setattr(moments, "SAMPLE_PIXELS", 1024)
    monkeypatch.setattr(surveying, "SAMPLE_PIXELS", 1024)
    monkeypatch.setattr(bands, "PATCH", 4)
    monkeypatch.setattr(memory, "TRIAL", 4 * 32 * 32 * BANDS)
    fuse(scene, model=model, device="cpu", tile=None)
    assert len(searches) == (model != "bicubic")
    samples = 2 * 32 * 32 + 1024 + 32 * 32 + 8 * 96 + bands.PATCHES**2 * 4 * 4
    # weights for any sensor measure the sample of the moments once more
    samples += 1024 * (model == "auto")
    # odd values are looked for in two blocks of eight rows
    samples += 2 * 8 * 96
    # a network looks at the range of values, in 8 bands on a grid of 128 x 128 pixels or so
    assert low.read <= 2 * math.prod(low.shape) + BANDS * samples + 8 * 96 * 96
    # what was learned is applied to the guide in a pass of its own; two blocks of eight LR rows are learned from
    learns = model in ("auto", "detail")
    allowed = 3 * 2 * 160 * 160 + 3 * bands.PATCHES**2 * 36 * 36 + learns * 3 * 2 * (4 * 10 + 2 * 8) * 384
    allowed += 3 * 2 * 8 * 384
    assert sharp.read <= (2 + learns) * math.prod(sharp.shape) + allowed


def test_what_is_calibrated_is_not_calibrated_again(
    watched: tuple[Scene, Counted, Counted], searches: list[Scene]
) -> None:
    scene, low, _ = watched
    calibrated = CalibratedScene(scene)
    trust = calibrated.calibration
    choice = auto.choose(calibrated)
    assert trust.verdict == "good"
    fuse(calibrated, model=choice, device="cpu")
    fuse(calibrated, model="glp", device="cpu")
    fit(calibrated, steps=1)
    assert len(searches) == 1
    assert low.read <= 1.01 * math.prod(low.shape)


@pytest.mark.parametrize("model", ["auto", "subspace"])
def test_what_comes_before_the_first_tile_is_told_and_can_be_stopped(
    watched: tuple[Scene, Counted, Counted], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, _, _ = watched
    events: list[FusionProgress] = []
    fuse(scene, model=model, device="cpu", progress=events.append)
    before = [event for event in events if event.step is not None]
    assert all(event.cube is None and event.total == 0 for event in before)
    said = list(dict.fromkeys(event.step.message for event in before))
    known = {"Looking for the shift and the PSF", "Degrading the guide", "Comparing the two images", "Reading the cube"}
    assert known | ({"Trying glp"} if model == "auto" else {"Solving for the subspace"}) <= set(said)
    assert events.index(next(event for event in events if event.step is None)) == len(before)
    for message in ["Trying glp"] if model == "auto" else ("Comparing the two images", "Solving for the subspace"):
        seen: list[str] = []

        def note(event: FusionProgress, seen: list[str] = seen) -> None:
            seen.append("" if event.step is None else event.step.message)

        def stop(seen: list[str] = seen, message: str = message) -> bool:
            return message in seen

        with pytest.raises(Cancelled):
            fuse(scene, model=model, device="cpu", progress=note, should_stop=stop)
        assert "" not in seen


def test_a_run_that_was_stopped_does_not_stop_the_next_use(watched: tuple[Scene, Counted, Counted]) -> None:
    calibrated = CalibratedScene(watched[0])
    with pytest.raises(Cancelled):
        fuse(calibrated, model="glp", device="cpu", should_stop=lambda: True)
    with pytest.raises(Cancelled, match="trial"):
        auto.choose(calibrated, should_stop=lambda: True)
    with pytest.raises(Cancelled):
        calibrate(calibrated, should_stop=lambda: True)
    assert calibrate(calibrated).verdict == "good"


def test_the_means_of_a_large_pair_can_be_stopped(
    watched: tuple[Scene, Counted, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, low, sharp = watched
    monkeypatch.setattr(memory, "KEPT_PAIR", 0)
    monkeypatch.setattr(memory, "SURVEYED_PAIR", 0)
    monkeypatch.setattr(surveying, "SAMPLE_PIXELS", 1024)
    monkeypatch.setattr(memory, "STRIP", 8 * 96 * BANDS * 8)
    reads: list[int] = []

    def stop() -> bool:
        reads.append(low.read + sharp.read)
        return False

    # bicubic needs nothing of the pair but the means that stand for missing values
    fuse(scene, model="bicubic", device="cpu", tile=64, should_stop=stop)
    strip = 8 * 96 * BANDS
    between = np.diff(reads[: np.searchsorted(reads, math.prod(low.shape) + math.prod(sharp.shape)) + 1])
    assert between.max() <= 2 * strip
