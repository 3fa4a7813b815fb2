"""Projection: its result minimises the documented objective, in tiles as in one piece, whatever it corrects."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_specfusion import memory
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import CalibrationError, ModelError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.fusion.resume_key import job_key
from napari_specfusion.methods import projected
from napari_specfusion.methods.classical import Bicubic, Glp, Gsa
from napari_specfusion.methods.least_squares import Correction, Split
from napari_specfusion.methods.projected import Projected
from napari_specfusion.methods.subspace import Subspace
from napari_specfusion.quality.metrics import evaluate
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.sensor.sampling import Psf, Sampling
from napari_specfusion.tiling.tiles import Footprint, Tile

if TYPE_CHECKING:
    from napari_specfusion.methods.least_squares import LowResolution


class Uneven:
    """Repeats the cube's pixels, smooths, and adds a pattern: a prior image with a halo, a stride and errors."""

    name = "uneven"

    def __init__(self, reach: int = 5, multiple: int = 1) -> None:
        self.reach, self.multiple, self.calls = reach, multiple, 0

    def prepare(self, calibrated: CalibratedScene, **_: Any) -> Uneven:
        self.bands, self.ratio = calibrated.stated.hsi.bands, calibrated.stated.factor
        self.footprint = Footprint(self.reach, multiple=self.multiple)
        return self

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        self.calls += 1
        low = tile.read.divide(self.ratio)
        rows, columns = (
            torch.arange(a, b) * self.ratio.denominator // self.ratio.numerator - start
            for a, b, start in ((tile.read.y0, tile.read.y1, low.y0), (tile.read.x0, tile.read.x1, low.x0))
        )
        sharp = hsi[:, rows[:, None], columns] * (1 + 0.1 * guide.mean(0))
        padded = functional.pad(sharp[None], [self.reach] * 4, mode="replicate")
        return functional.avg_pool2d(padded, 2 * self.reach + 1, stride=1)[0]


def random_pair(
    ratio: Any = 4, low: tuple[int, int] = (12, 11), excess: tuple[int, int] = (0, 0), noise: float = 0.01
) -> Scene:
    rng = np.random.default_rng(5)
    factor = Fraction(ratio)
    height, width = (int(np.ceil(n * factor)) + e for n, e in zip(low, excess, strict=True))
    patterns = rng.random((4, height, width))
    sampling = Sampling(factor, Psf(float(factor) / 2), (0.3, -0.4))
    hsi = sampling.degrade(np.einsum("bk,kyx->byx", 0.2 + rng.random((6, 4)), patterns), low)
    hsi += noise * rng.standard_normal(hsi.shape)
    guide = np.einsum("gk,kyx->gyx", rng.random((2, 4)), patterns)
    return Scene(Cube.from_array(hsi), Cube.from_array(guide), factor, psf=sampling.psf, shift=sampling.shift)


def result(scene: Scene, method: Any, tile: int | None = None) -> np.ndarray:
    return fuse(scene, model=method, tile=tile, device="cpu", precision="float64").read()


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(("ratio", "low"), [(2, (6, 7)), (Fraction(5, 2), (8, 6))])
def test_the_result_minimises_the_documented_objective(
    monkeypatch: pytest.MonkeyPatch, ratio: Any, low: tuple[int, int], kept: bool
) -> None:
    monkeypatch.setattr(memory, "BASE_CACHE", 256_000_000 if kept else 0)
    scene, seen = random_pair(ratio, low, noise=0.02), {}
    solve = projected.LowResolution.solve

    def spy(self: LowResolution, prior: Any, *options: Any) -> Any:
        seen.update(prior=prior, system=self)
        return solve(self, prior, *options)

    monkeypatch.setattr(projected.LowResolution, "solve", spy)
    method = Projected(Uneven(), directions=3, iterations=500, tolerance=1e-7)
    fused = result(scene, method)
    basis, prior = method.prepare(CalibratedScene(scene)).correction.basis, seen["prior"]
    before = result(scene, Uneven()).reshape(6, -1)

    sampling = Sampling(scene.factor, scene.psf, scene.shift)
    (_, height, width), (_, high, wide) = scene.hsi.shape, scene.guide.shape
    down = np.kron(sampling.blur_matrix(height, high, 0).toarray(), sampling.blur_matrix(width, wide, 1).toarray())[
        seen["system"].valid.ravel()
    ]
    cube = basis.T @ scene.hsi.read()[:, seen["system"].valid]
    view = prior.view
    guide = scene.guide.read().reshape(2, -1) / view.unit[:, None] - view.offset[:, None]
    normal = np.kron(np.eye(3), down.T @ down)
    normal += np.kron(view.response.T @ view.response + prior.mu * np.eye(3), np.eye(high * wide))
    right = cube @ down + view.response.T @ guide + prior.mu * (basis.T @ before)
    solution = np.linalg.solve(normal, right.ravel()).reshape(3, -1)
    np.testing.assert_allclose(basis.T @ fused.reshape(6, -1), solution, atol=3e-5)
    # what lies beside the subspace stays, shrunk by its noise
    across = np.eye(6) - basis @ basis.T
    keep = Split.of(seen["system"].moments, 3).keep
    np.testing.assert_allclose(across @ fused.reshape(6, -1), across @ keep @ before, atol=1e-9)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("multiple", [1, 6])
@pytest.mark.parametrize(
    ("ratio", "low", "excess"),
    [(4, (13, 11), (0, 0)), (4, (13, 11), (2, 3)), (4, (12, 12), (-1, -3)), (2.5, (14, 18), (0, 0))],
)
def test_tiles_agree_with_the_whole_image(
    monkeypatch: pytest.MonkeyPatch,
    ratio: float,
    low: tuple[int, int],
    excess: tuple[int, int],
    multiple: int,
    kept: bool,
) -> None:
    monkeypatch.setattr(memory, "BASE_CACHE", 256_000_000 if kept else 0)
    scene = random_pair(ratio, low, excess)
    whole = result(scene, Projected(Uneven(multiple=multiple)))
    assert np.isfinite(whole).all()
    for tile in (8, 20):
        np.testing.assert_allclose(result(scene, Projected(Uneven(multiple=multiple)), tile), whole, atol=1e-10, rtol=0)


def test_a_first_pass_in_tiles_is_one_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = random_pair(4, (30, 26))
    whole = Projected(Uneven()).prepare(CalibratedScene(scene), dtype=torch.float64)
    monkeypatch.setattr(projected, "tile_grid", lambda *args: projection_grid(*args[:2], 24))
    tiled = Projected(Uneven()).prepare(CalibratedScene(scene), dtype=torch.float64)
    np.testing.assert_allclose(tiled.kept, whole.kept, atol=1e-12)
    # single precision from there on
    np.testing.assert_allclose(tiled.correction.detail, whole.correction.detail, atol=1e-6)


projection_grid = projected.tile_grid


def test_a_small_result_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, inner = random_pair(4, (12, 12)), Uneven(multiple=8)
    first = result(scene, Projected(inner), 16)
    assert inner.calls == 1
    monkeypatch.setattr(memory, "BASE_CACHE", 0)
    second = result(scene, Projected(inner), 16)
    assert inner.calls == 2 + 9
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_on_glp_it_is_subspace() -> None:
    scene = random_pair(4, (20, 18), noise=0.003)
    np.testing.assert_allclose(result(scene, Projected(Glp())), result(scene, Subspace()), atol=1e-4)


def test_it_improves_what_is_inconsistent_with_the_pair() -> None:
    scene = sample_scene(128)
    quality = {
        method.name: evaluate(scene.reference, fuse(scene, model=method, device="cpu"), 4)
        for base in (Bicubic(), Gsa(), Glp(), Subspace())
        for method in (base, Projected(base))
    }
    psnr = {name: q.psnr for name, q in quality.items()}
    assert psnr["bicubic, projected"] > psnr["bicubic"] + 10
    assert psnr["gsa, projected"] > psnr["gsa"] + 5
    assert abs(psnr["glp, projected"] - psnr["subspace"]) < 0.05
    # what agrees already stays
    assert psnr["subspace, projected"] > psnr["subspace"] - 0.05
    assert all(quality[f"{name}, projected"].sam < quality[name].sam for name in ("bicubic", "gsa", "glp"))


def test_missing_values_stay_where_they_are() -> None:
    scene = random_pair(4, (20, 20))
    hsi, guide = scene.hsi.read(), scene.guide.read()
    hsi[:, 5, 6] = np.nan
    guide[0, 50:53, 30] = np.nan
    holed = scene.replace(hsi=Cube.from_array(hsi), guide=Cube.from_array(guide))
    fused, clean = result(holed, Projected(Uneven())), result(scene, Projected(Uneven()))
    empty = np.zeros((80, 80), bool)
    empty[20:24, 24:28] = empty[50:53, 30] = True
    np.testing.assert_array_equal(np.isnan(fused), np.broadcast_to(empty, fused.shape))
    far = np.ones((80, 80), bool)
    far[0:44, 6:48] = far[30:74, 10:52] = False
    assert np.abs(fused - clean)[:, far].max() < 0.02 * np.ptp(clean)
    np.testing.assert_allclose(result(holed, Projected(Uneven()), 16), fused, atol=1e-10, rtol=0)


def test_what_the_other_method_refuses_is_refused() -> None:
    class Refusing(Uneven):
        def prepare(self, calibrated: CalibratedScene, **_: Any) -> Uneven:
            raise ModelError("no such bands")

    with pytest.raises(ModelError, match="no such bands"):
        Projected(Refusing()).prepare(CalibratedScene(random_pair()))
    empty = random_pair().replace(hsi=Cube.from_array(np.full((6, 12, 11), np.nan)))
    with pytest.raises(CalibrationError, match="valid"):
        Projected(Uneven()).prepare(CalibratedScene(empty))


def test_it_says_what_it_is() -> None:
    scene = random_pair()
    assert Projected(Glp()).name == "glp, projected"
    assert not Projected(Glp()).mixed_precision
    keys = {job_key(scene, method, ()) for method in (Glp(), Projected(Glp()), Projected(Gsa()))}
    assert len(keys) == 3
    assert isinstance(Projected(Glp()).prepare(CalibratedScene(scene)).correction, Correction)
