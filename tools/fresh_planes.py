"""Crops of planes for a network of any sensor, drawn without end by several processes.

Each pair is a piece of a sharp cube with some of its bands, seen by a camera of its own, and is calibrated and gets its
base as in a fusion. Pieces are small more often than not: few pixels are what a calibration has of a small scene.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fresh_pairs import LEAST, Pair, sharp
from napari_specfusion.bench.cube_list import open_listed_cubes
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.planes import PlaneView
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import blind, simulate
from napari_specfusion.tiling.tile_runner import predict_whole
from napari_specfusion.training.plane_pairs import PlaneExample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_specfusion.data.scene import Scene

CROP = 64
MOST_CROPS = 20
RATIOS = {2: 0.25, 3: 0.1, 4: 0.3, 5: 0.05, 6: 0.05, 8: 0.15, 12: 0.05, 16: 0.05}
SIDES = (64, 80, 100, 128, 200, 320, 512)
FEWEST_PIXELS, FEWEST_BANDS = 8, 16
KINDS = {"plain": 0.4, "tinted": 0.25, "mosaic": 0.2, "blended": 0.05, "shrunk": 0.1}
# cubes that are not trained on
HELD_OUT = ("abu-urban-2", "jasperRidge2_R198")


def piece(rng: np.random.Generator, values: NDArray[Any], ratio: int, side: int) -> NDArray[Any]:
    """Return a square piece ``(bands, y, x)``, as large as there is room for, turned and mirrored."""
    height, width = (min(side, n) // ratio * ratio for n in values.shape[1:])
    y, x = (int(rng.integers(0, n - size + 1)) for n, size in zip(values.shape[1:], (height, width), strict=True))
    turned = np.rot90(values[:, y : y + height, x : x + width], int(rng.integers(4)), (1, 2))
    return turned[:, :, ::-1] if rng.random() < 0.5 else turned


def camera(rng: np.random.Generator, wavelengths: NDArray[np.float64]) -> Any:
    """Return the response of a guide: a known one, or one of one to six bands of any place and width."""
    if rng.random() < 0.6:
        return str(rng.choice(["rgb", "rgbn", "pan"]))
    low, high = wavelengths.min(), wavelengths.max()
    if rng.random() < 0.5:
        high = min(high, max(1000.0, low + 150))
    rows = []
    for centre in np.sort(rng.uniform(low, high, int(rng.integers(1, 7)))):
        width = float(np.exp(rng.uniform(np.log(15), np.log(0.4 * (high - low)))))
        row = np.exp(-0.5 * ((wavelengths - centre) / width) ** 2)
        rows.append(row / max(row.sum(), LEAST))
    return np.array(rows)


def some_bands(rng: np.random.Generator, cube: Cube) -> Cube:
    """Return the cube, or neighbouring bands of it, or means of neighbours."""
    if rng.random() < 0.35 and cube.bands > FEWEST_BANDS:
        bands = int(rng.integers(FEWEST_BANDS, cube.bands))
        start = int(rng.integers(0, cube.bands - bands + 1))
        cube = cube.select(np.arange(start, start + bands))
    step = int(rng.integers(2, 5))
    if rng.random() < 0.3 and cube.bands >= step * FEWEST_BANDS:
        count = cube.bands // step
        values = cube.read()[: count * step].astype(np.float32)
        waves = np.asarray(cube.wavelengths)[: count * step]
        merged = values.reshape(count, step, *values.shape[1:]).mean(axis=1)
        cube = Cube.from_array(merged, wavelengths=waves.reshape(count, step).mean(axis=1), name=cube.name)
    return cube


def tinted(rng: np.random.Generator, values: NDArray[Any]) -> NDArray[Any]:
    """Return the cube under another, smooth light."""
    place = np.linspace(0, np.pi, len(values))
    waves = sum(rng.normal() / order * np.cos(order * place) for order in (1, 2, 3))
    return np.asarray(values * np.exp(rng.uniform(0.1, 0.4) * waves)[:, None, None], np.float32)


def drawn(rng: np.random.Generator, painted: Sequence[str], folder: Path, flown: Sequence[Cube]) -> tuple[Scene, str]:
    """Draw a pair from scenes stored as arrays and from cubes.

    Raises
    ------
    SpecFusionError
        If the drawn camera does not go with the drawn bands.
    """
    ratio = int(rng.choice(list(RATIOS), p=list(RATIOS.values())))
    if painted and (not flown or rng.random() < 0.5):
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        count = 2 if kind in {"mosaic", "blended"} and len(painted) > 1 else 1
        names = tuple(str(name) for name in rng.choice(list(painted), count, replace=False))
        kind = kind if count > 1 or kind not in {"mosaic", "blended"} else "plain"
        values = sharp(Pair(names, kind, seed=int(rng.integers(2**31))), folder)
        name, waves = names[0], np.linspace(400.0, 700.0, len(values))
    else:
        cube = flown[int(rng.integers(len(flown)))]
        name, waves, values = cube.name, np.asarray(cube.wavelengths), cube.read()
        if rng.random() < 0.3:
            values = tinted(rng, values)
    side = max(int(rng.choice(SIDES)), FEWEST_PIXELS * ratio, -(-CROP // ratio) * ratio)
    cube = some_bands(rng, Cube.from_array(piece(rng, values, ratio, side).copy(), wavelengths=waves, name=name))
    noise = None if rng.random() < 0.55 else (float(rng.uniform(25, 48)), float(rng.uniform(30, 48)))
    guide, seed = camera(rng, np.asarray(cube.wavelengths)), int(rng.integers(2**31))
    if rng.random() < 0.4:
        protocol = str(rng.choice(["lso", "specsolver"], p=[0.7, 0.3]))
        return simulate(cube, ratio, srf=guide, protocol=protocol, noise=noise, seed=seed), name
    psf, limit = Psf(ratio * float(rng.uniform(0.3, 0.6))), ratio / 2 if rng.random() < 0.4 else 0.0
    shift = (float(rng.uniform(-limit, limit)), float(rng.uniform(-limit, limit)))
    return simulate(cube, ratio, srf=guide, protocol=psf, shift=shift, noise=noise, seed=seed, wrap=False), name


def made(scene: Scene, name: str) -> PlaneExample:
    """Return the example of a pair, calibrated once for its base and its planes."""
    import torch

    calibrated = CalibratedScene(blind(scene))
    assert scene.reference is not None
    truth = torch.as_tensor(scene.reference.read().astype(np.float32))
    base = torch.as_tensor(predict_whole(calibrated.restoring(METHODS["detail"].prepare(calibrated)), calibrated.scene))
    view, lacking = PlaneView.of(calibrated), truth - base
    analysis = base.new_tensor(view.analysis)
    planes, error = (torch.einsum("bp,byx->pyx", analysis, image) for image in (base, lacking))
    power = float(np.sum(lacking.double().square().mean((1, 2)).numpy() * view.band_weights))
    guide = torch.as_tensor(scene.guide.read().astype(np.float32))
    return PlaneExample(name, view, guide, planes, error, power, lacking)


def crops(rng: np.random.Generator, example: PlaneExample) -> dict[str, NDArray[Any]]:
    """Return crops of a pair's planes: ``images`` (N, 7, s, s), inputs and error, ``facts`` (N, 3), ``weight`` (N)."""
    import torch

    pixels = example.error.shape[1] * example.error.shape[2]
    taken = [example.crop(rng, CROP) for _ in range(min(MOST_CROPS, max(1, round(pixels / CROP**2))))]
    inputs = torch.cat([crop.inputs for crop in taken])
    error = torch.cat([crop.error for crop in taken])[:, None].clamp(-100, 100)
    return {
        "images": torch.cat([inputs[:, :-3], error], 1).numpy().astype(np.float16),
        "facts": inputs[:, -3:, 0, 0].numpy(),
        "weight": torch.cat([crop.weight for crop in taken]).flatten().numpy(),
    }


def whole(example: PlaneExample) -> dict[str, NDArray[Any]]:
    """Return what a validation needs: ``inputs`` (p, 9, y, x), ``mix`` (B, p) and ``lacking`` (B, y, x)."""
    height, width = (n // 4 * 4 for n in example.error.shape[1:])
    view, area = example.view, (slice(height), slice(width))
    assert example.lacking is not None
    return {
        "inputs": view.inputs(example.guide[:, *area], example.planes[:, *area]).numpy(),
        "mix": (view.synthesis * view.sign * view.unit).astype(np.float32),
        "lacking": example.lacking[:, *area].numpy(),
    }


def validation_pairs(folder: Path, flown: Sequence[Cube]) -> list[tuple[Scene, dict[str, Any]]]:
    """Return the pairs to validate with: the middle of the stored scenes, and the cubes that are held out."""
    cubes = [(cube, "air") for cube in flown if cube.name in HELD_OUT]
    for file in sorted(folder.glob("*.npy")):
        values = np.load(file)[:, 128:384, 128:384]
        cubes.append(
            (Cube.from_array(values, wavelengths=np.linspace(400.0, 700.0, len(values)), name=file.stem), "in")
        )
    found = []
    for cube, place in cubes:
        for ratio in (2, 4):
            for guide in ("pan", "rgb") if place == "in" else ("pan", "rgb", "rgbn"):
                for noise in (None, (35.0, 40.0)):
                    scene = simulate(cube, ratio, srf=guide, protocol="lso", noise=noise)
                    facts = {"name": cube.name, "place": place, "ratio": ratio, "noisy": noise is not None}
                    found.append((scene, facts))
    return found


def produce(number: int, count: int, work: Path, airborne: Path, listed: Path, stop: Any, most: int) -> None:
    """Make crops until `stop` is set, after this process's share of the validation; at most `most` files wait."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng([number, 23])
    cubes = [one.cube for one in open_listed_cubes(airborne, listed)]
    flown = [Cube.from_array(c.read().astype(np.float32), wavelengths=c.wavelengths, name=c.name) for c in cubes]

    def write(kind: str, made_here: int, arrays: Mapping[str, NDArray[Any]], **facts: Any) -> None:
        part = work / "planes" / f"{kind}-{number}-{made_here}.part"
        with open(part, "wb") as file:
            np.savez(file, **arrays, **{key: np.array(value) for key, value in facts.items()})
        part.rename(part.with_suffix(".npz"))

    for place, (scene, facts) in enumerate(validation_pairs(work / "val", flown)):
        if place % count == number:
            write("val", place, whole(made(scene, facts["name"])), **facts)
    trained = [cube for cube in flown if cube.name not in HELD_OUT and min(cube.shape[1:]) >= CROP]
    done = 0
    while not stop.is_set():
        if len(list((work / "planes").glob("train*.npz"))) > most:
            time.sleep(0.2)
            continue
        try:
            scene, name = drawn(rng, [f.stem for f in sorted((work / "train").glob("*.npy"))], work / "train", trained)
            arrays = crops(rng, made(scene, name))
        except SpecFusionError:
            continue
        whole_crops = arrays["images"].shape[2:] == (CROP, CROP)
        if whole_crops and all(np.isfinite(values).all() for values in arrays.values()):
            write("train", done, arrays)
            done += 1


def start_workers(count: int, work: Path, airborne: Path, listed: Path, most: int) -> tuple[list[Any], Any]:
    """Start processes that make crops; return them, and what stops them."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    workers = [
        context.Process(target=produce, args=(n, count, work, airborne, listed, stop, most), daemon=True)
        for n in range(count)
    ]
    for worker in workers:
        worker.start()
    return workers, stop
