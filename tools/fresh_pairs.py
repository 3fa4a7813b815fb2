"""Pairs for a training, drawn without end by several processes: new contrast, tints, mosaics, cameras, PSFs and noise.

Each pair is calibrated and gets its base as in a fusion, so a network trained on them sees the base's real errors.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.pair_detail import PairDetail
from napari_specfusion.networks.pair_units import PairResidual
from napari_specfusion.networks.planes import PlaneView
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf, as_srf
from napari_specfusion.simulation.pair import blind, simulate
from napari_specfusion.tiling.tile_runner import predict_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_specfusion.networks.residual import Residual

    Values = NDArray[np.float32]

WAVELENGTHS = np.linspace(400.0, 700.0, 31)
RATIOS = {2: 0.06, 3: 0.06, 4: 0.34, 6: 0.06, 8: 0.34, 12: 0.06, 16: 0.08}
SCENES = {"plain": 0.40, "tinted": 0.25, "mosaic": 0.2, "blended": 0.05, "shrunk": 0.10}
LEAST = 1e-9


@dataclass(frozen=True)
class Pair:
    """How a pair is made: file names of the scenes, kind of scene, ratio, protocol, noise, and the seed of the rest."""

    scenes: tuple[str, ...]
    kind: str = "plain"
    ratio: int = 4
    protocol: str = "lso"
    noise: tuple[float, float] | None = None
    turned_camera: bool = False
    seed: int = 0


def draw(rng: np.random.Generator, scenes: Sequence[str], benchmark: bool) -> Pair:
    """Draw a pair from the scenes there are; with `benchmark` one as in the published comparisons, at x4 or x8."""
    if benchmark:
        noise = (35.0, 40.0) if rng.random() < 0.5 else None
        protocol = str(rng.choice(["lso", "specsolver"], p=[0.75, 0.25]))
        return Pair(
            (str(rng.choice(scenes)),),
            "plain",
            int(rng.choice([4, 8])),
            protocol,
            noise,
            False,
            int(rng.integers(2**31)),
        )
    kind = str(rng.choice(list(SCENES), p=list(SCENES.values())))
    count = 2 if kind in {"mosaic", "blended"} and len(scenes) > 1 else 1
    names = tuple(str(name) for name in rng.choice(list(scenes), count, replace=False))
    noise = (35.0, 40.0)
    if rng.random() < 0.6:
        noise = (float(rng.uniform(28, 50)), float(rng.uniform(32, 50)))
    return Pair(
        names,
        kind if count > 1 or kind not in {"mosaic", "blended"} else "plain",
        int(rng.choice(list(RATIOS), p=list(RATIOS.values()))),
        str(rng.choice(["lso", "specsolver", "free"], p=[0.6, 0.2, 0.2])),
        noise if rng.random() < 0.5 else None,
        bool(rng.random() < 0.25),
        int(rng.integers(2**31)),
    )


def sharp(pair: Pair, folder: Path) -> Values:
    """Return the sharp cube ``(bands, y, x)`` of a pair; its scenes have one size."""
    rng = np.random.default_rng([pair.seed, 1])
    first, *others = (np.load(folder / f"{name}.npy") for name in pair.scenes)
    if pair.kind == "plain":
        return np.asarray(first)
    if pair.kind == "tinted":
        place = np.linspace(0, np.pi, len(first))
        waves = sum(rng.normal() / order * np.cos(order * place) for order in (1, 2, 3))
        tint = np.exp(rng.uniform(0.1, 0.4) * waves)
        tinted = first * (tint * rng.uniform(0.6, 1.3) / tint.mean()).astype(np.float32)[:, None, None]
        return np.asarray(np.minimum(tinted, 1.5), np.float32)
    if pair.kind == "shrunk":
        return _shrunk(first, float(rng.uniform(1.25, 2.0)))
    other = np.rot90(others[0], int(rng.integers(4)), (1, 2))
    if pair.kind == "blended":
        share = float(rng.uniform(0.3, 0.7))
        return np.asarray(share * first + (1 - share) * other, np.float32)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in first.shape[1:]), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    left = y * np.sin(angle) + x * np.cos(angle) < rng.uniform(-0.4, 0.4)
    return np.where(left, first, other).astype(np.float32)


def _shrunk(image: Values, factor: float) -> Values:
    """Return the image at a smaller scale, mirrored until it has its size again."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image, (0, 0.4 * factor, 0.4 * factor))
    small = ndimage.zoom(smooth, (1, 1 / factor, 1 / factor), order=1)
    pad = [(0, whole - n) for whole, n in zip(image.shape, small.shape, strict=True)]
    return np.asarray(np.pad(small, pad, mode="symmetric"), np.float32)


def camera(pair: Pair, srf: Srf) -> Srf:
    """Return the response of the pair's camera: the given one, or one that is moved and tilted a little."""
    if not pair.turned_camera:
        return srf
    rng = np.random.default_rng([pair.seed, 2])
    place = np.linspace(-1, 1, srf.bands)
    rows = []
    for row in srf.matrix:
        moved = np.interp(WAVELENGTHS + rng.normal(0, 5), WAVELENGTHS, row)
        tilt = np.exp(rng.normal(0, 0.1) * place + rng.normal(0, 0.1) * place**2)
        rows.append(moved * tilt * row.sum() / max((moved * tilt).sum(), LEAST))
    return Srf(np.array(rows))


def made(pair: Pair, folder: Path, srf: Srf, residual: Residual) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the facts and the arrays of a pair, for a network in units of the pair.

    ``inputs`` (H, W, C); ``left``, what the base lacks in units of its root mean square in each band (H, W, B); and
    ``mix`` (B, p), what the network's output adds in these units.
    """
    import torch

    rng = np.random.default_rng([pair.seed, 3])
    cube = Cube.from_array(sharp(pair, folder), wavelengths=WAVELENGTHS, name=pair.scenes[0])
    response = camera(pair, srf)
    if pair.protocol == "free":
        psf = Psf(pair.ratio * float(rng.uniform(0.3, 0.6)))
        limit = pair.ratio / 2
        shift = (float(rng.uniform(-limit, limit)), float(rng.uniform(-limit, limit)))
        scene = simulate(
            cube, pair.ratio, srf=response, protocol=psf, shift=shift, noise=pair.noise, seed=pair.seed, wrap=False
        )
    else:
        scene = simulate(cube, pair.ratio, srf=response, protocol=pair.protocol, noise=pair.noise, seed=pair.seed)
    assert scene.reference is not None
    calibrated = CalibratedScene(blind(scene))
    units = PairResidual(residual, PlaneView.along(PairDetail.of(calibrated), residual.basis))
    base = torch.as_tensor(predict_whole(calibrated.restoring(METHODS["detail"].prepare(calibrated)), calibrated.scene))
    truth, guide = (torch.as_tensor(c.read().astype(np.float32)) for c in (scene.reference, scene.guide))
    error = (truth - base).square().mean((1, 2)).sqrt().clamp_min(LEAST)
    planes = torch.einsum("bp,byx->pyx", base.new_tensor(residual.basis), base)
    inputs = units.inputs(guide, planes)
    left = (truth - base) / error[:, None, None]
    mix = residual.basis * units.unit / error.double().numpy()[:, None]
    facts = {**asdict(pair), "psnr": float((-20 * error.double().log10()).mean())}
    images = {"inputs": inputs, "left": left}
    arrays = {name: image.permute(1, 2, 0).numpy().astype(np.float16) for name, image in images.items()}
    return facts, {**arrays, "mix": mix.astype(np.float32)}


def produce(
    number: int, work: Path, srf_file: str, residual: Residual, first: Any, stop: Any, most: int, benchmark: bool
) -> None:
    """Make pairs until `stop` is set: those in the queue `first`, then drawn ones; at most `most` wait to be read."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    srf = as_srf(srf_file, WAVELENGTHS, len(WAVELENGTHS))
    rng = np.random.default_rng([number, 17])
    count = 0
    while not stop.is_set():
        try:
            pair, kind = first.get_nowait(), "val"
        except queue.Empty:
            scenes = [file.stem for file in sorted((work / "train").glob("*.npy"))]
            if not scenes or len(list((work / "pairs").glob("*.npz"))) > most:
                time.sleep(0.2)
                continue
            pair, kind = draw(rng, scenes, benchmark), "train"
        try:
            facts, arrays = made(pair, work / ("val" if kind == "val" else "train"), srf, residual)
        except SpecFusionError as error:
            print(f"{pair}: {error}", flush=True)
            continue
        part = work / "pairs" / f"{kind}-{number}-{count}.part"
        with open(part, "wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **arrays)
        part.rename(part.with_suffix(".npz"))
        count += 1


def start_workers(
    count: int, work: Path, srf_file: str, residual: Residual, validation: Sequence[Pair], most: int, benchmark: bool
) -> tuple[list[Any], Any, Any]:
    """Start processes that make pairs.

    Return them, what stops them, and the queue of the first pairs, which must live as long as they do.
    """
    context = multiprocessing.get_context("spawn")
    first, stop = context.Queue(), context.Event()
    for pair in validation:
        first.put(pair)
    workers = [
        context.Process(target=produce, args=(n, work, srf_file, residual, first, stop, most, benchmark), daemon=True)
        for n in range(count)
    ]
    for worker in workers:
        worker.start()
    return workers, stop, first
