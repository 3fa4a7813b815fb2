"""Train the weights that come with the package: several networks at once on one GPU, on pairs drawn without end.

``python tools/train_shipped.py --scenes FOLDER --srf FILE --out FOLDER --minutes 20 --workers 14 lso-s lso``

``any`` is the network for any sensor, which also learns from the cubes in the folder ``--airborne``.

The folder may still be filling up. Every network has its own CUDA stream, and each of its steps is one CUDA graph. On
a CPU the same runs without either, for tests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253  # a training loads it in any case

import fresh_planes
import plane_student
from fresh_pairs import WAVELENGTHS, Pair, start_workers
from napari_specfusion.networks.pair_units import PAIR_RATIO, images_beside
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual
from napari_specfusion.sensor.srf import as_srf
from napari_specfusion.simulation.sharp_cubes import open_sharp_cubes
from student import Student, grid_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

HELD_OUT = ("cloth", "fake_and_real_tomatoes")
# side of the scenes
SIDE = 512
BEND = 2.0
GAIN = 1.3
# share of the time with large crops
LAST = 0.15
# network: its registry name, sizes, crops of a step, side of a crop, highest rate, seed
NETWORKS: Mapping[str, tuple[str, dict[str, int], int, int, float, int]] = {
    "lso-s": ("lso-s", {}, 24, 64, 1.5e-3, 0),
    "lso-s-2": ("lso-s", {}, 24, 64, 1.5e-3, 1),
    "lso": ("lso", {}, 24, 64, 8e-4, 2),
    "specsolver-s": ("specsolver-s", {}, 6, 128, 1e-3, 3),
    "specsolver": ("specsolver", {}, 6, 128, 5e-4, 4),
}


class Pool:
    """Pairs on the device; the oldest are replaced when it is full."""

    def __init__(self, most: int, channels: int, bands: int, directions: int, device: str) -> None:
        half = torch.float16
        self.inputs = torch.zeros(most, SIDE, SIDE, channels, dtype=half, device=device)
        self.left = torch.zeros(most, SIDE, SIDE, bands, dtype=half, device=device)
        self.mix = torch.zeros(most, bands, directions, device=device)
        self.sizes = np.zeros((most, 2), np.int64)
        self.count, self.seen = 0, 0

    def add(self, arrays: Mapping[str, Tensor]) -> None:
        """Add a pair, or put it in the place of the oldest."""
        slot = self.seen % len(self.inputs)
        height, width = arrays["left"].shape[:2]
        self.inputs[slot, :height, :width] = arrays["inputs"]
        self.left[slot, :height, :width] = arrays["left"]
        self.mix[slot] = arrays["mix"]
        self.sizes[slot] = height, width
        self.seen += 1
        self.count = min(self.seen, len(self.inputs))

    def gather(self, images: Tensor, slot: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Return pixels ``(N, s, s, C)``; a flat index is right beyond 2**31 values too."""
        found = images.view(-1, images.shape[-1]).index_select(0, ((slot * SIDE + y) * SIDE + x).flatten())
        return found.view(*y.shape, -1).float()

    def check(self) -> None:
        """See that the last slot can be read back."""
        place = [
            torch.full((1, 1, 1), n, device=self.inputs.device) for n in (len(self.inputs) - 1, SIDE - 2, SIDE - 3)
        ]
        for images in (self.inputs, self.left):
            images[-1, SIDE - 2, SIDE - 3] = torch.arange(images.shape[-1], device=images.device)
            assert (self.gather(images, *place).flatten().cpu() == torch.arange(images.shape[-1])).all()
            images[-1] = 0


class SensorStudent(Student):
    """A network for one sensor in training, in units of the pair."""

    def __init__(self, name: str, pool: Pool, numbers: Residual, device: str) -> None:
        network, sizes, self.batch, self.side, rate, seed = NETWORKS[name]
        torch.manual_seed(seed)
        self.directions, guides = len(numbers.size), len(numbers.guide_centre)
        beside = images_beside(self.directions, guides)
        super().__init__(name, create_model(network, self.directions, beside, PAIR_RATIO, **sizes), rate, seed, device)
        self.pool = pool
        # how the plain values of a crop change when it gets brighter: its own value, plus this
        detail, bright, facts = np.zeros(2 * self.directions), np.zeros(2 * guides), np.zeros(3)
        planes, guide = numbers.centre / numbers.spread, numbers.guide_centre / numbers.guide_spread
        centre = np.concatenate([detail, planes, bright, guide, facts])
        plain = np.concatenate([detail, np.ones_like(planes), bright, np.ones_like(guide), facts])
        self.centre, self.plain = (torch.as_tensor(v, dtype=torch.float32, device=device) for v in (centre, plain))
        self._buffers()

    def _buffers(self) -> None:
        self.places = torch.zeros(self.batch, 6, dtype=torch.int64, device=self.device)
        self.gains = torch.ones(self.batch, device=self.device)

    def enlarge(self) -> None:
        """Go on with crops of twice the side, a quarter as many."""
        super().enlarge()
        self.side, self.batch = 2 * self.side, max(self.batch // 4, 1)
        self._buffers()

    def draw(self) -> dict[str, Tensor]:
        """Return the places of the next crops, how they are turned, and how bright they get."""
        drawn = np.zeros((self.batch, 6), np.int64)
        drawn[:, 0] = self.rng.integers(0, self.pool.count, self.batch)
        room = self.pool.sizes[drawn[:, 0]] - self.side + 1
        drawn[:, 1:3] = (self.rng.random((self.batch, 2)) * room).astype(np.int64)
        drawn[:, 3:] = self.rng.integers(0, 2, (self.batch, 3))
        gains = GAIN ** self.rng.uniform(-1, 1, self.batch)
        return {"places": torch.as_tensor(drawn), "gains": torch.as_tensor(gains, dtype=torch.float32)}

    def loss(self) -> Tensor:
        """Return the loss in units of the base's error in each band; large errors count less."""
        inputs, left, mix = self._crops()
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.cuda, cache_enabled=False):
            found = self.correction(self.network, inputs)
        error = torch.einsum("nbp,npyx->nbyx", mix, found.float()) - left
        return ((error.square() + BEND**2).sqrt() - BEND).mean()

    def _crops(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs ``(N, C, s, s)``, what the base lacks ``(N, B, s, s)`` and the mixing ``(N, B, p)``."""
        slot, top, left, turn, down, right = (column[:, None, None] for column in self.places.unbind(1))
        place = torch.arange(self.side, device=self.device)
        y, x = place[:, None].expand(self.side, -1)[None], place[None].expand(self.side, -1)[None]
        y, x = torch.where(turn > 0, x, y), torch.where(turn > 0, y, x)
        y, x = torch.where(down > 0, self.side - 1 - y, y) + top, torch.where(right > 0, self.side - 1 - x, x) + left
        gain = self.gains[:, None, None, None]
        inputs = self.pool.gather(self.pool.inputs, slot, y, x)
        inputs = inputs + (gain - 1) * (self.plain * inputs + self.centre)
        images = (inputs, self.pool.gather(self.pool.left, slot, y, x))
        moved = (image.permute(0, 3, 1, 2) for image in images)
        return *moved, self.pool.mix[self.places[:, 0]]

    def correction(self, network: Any, inputs: Tensor) -> Tensor:
        """Return the network's output ``(N, p, H, W)``, as `networks.residual.correction` does."""
        planes, guide = inputs[:, : self.directions], inputs[:, self.directions :]
        keywords = {"grid": grid_of(planes)} if network.footprint().uses_grid else {}
        ratio = network.ratio
        return network(guide, planes[..., ::ratio, ::ratio], base=planes, **keywords) - planes

    def gains_on(self, pairs: list[dict[str, Any]]) -> list[float]:
        """Return by how many dB the moving average improves the base on whole pairs."""
        found = []
        for pair in pairs:
            with (
                torch.inference_mode(),
                torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.cuda),
            ):
                height, width = (n // 4 * 4 for n in pair["left"].shape[:2])
                inputs = pair["inputs"][:height, :width].permute(2, 0, 1)[None].float()
                moved = self.correction(self.averaged, inputs)[0].float()
            left = pair["left"][:height, :width].permute(2, 0, 1).float()
            rest = left - torch.einsum("bp,pyx->byx", pair["mix"], moved)
            before, after = (image.double().square().mean((1, 2)) for image in (left, rest))
            found.append(float(10 * (before / after).log10().mean()))
        return found

    def scores(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return mean and least gain in dB, and the means by ratio and noise."""
        gains = np.array(self.gains_on(pairs))
        groups = {
            f"x{r}{'n' if noisy else ''}": [
                g
                for g, p in zip(gains, pairs, strict=True)
                if p["facts"]["ratio"] == r and (p["facts"]["noise"] is not None) == noisy
            ]
            for r in (4, 8)
            for noisy in (False, True)
        }
        means = {key: float(np.mean(values)) for key, values in groups.items() if values}
        return {"pool": self.pool.seen, "gain": float(gains.mean()), "least": float(gains.min()), **means}


def decode(source: Path, work: Path, white: float, stop: threading.Event) -> None:
    """Turn the scenes of a folder into arrays as they arrive."""
    done: set[str] = set()
    while not stop.is_set():
        for file in sorted(source.glob("*.tif")):
            if file.stem in done:
                continue
            single = work / "one"
            single.mkdir(exist_ok=True)
            link = single / file.name
            shutil.copy(file, link)
            (cube,) = open_sharp_cubes(single, white)
            values = cube.read().astype(np.float32)
            link.unlink()
            part = work / ("val" if file.stem in HELD_OUT else "train") / f"{file.stem}.part"
            with open(part, "wb") as out:
                np.save(out, values)
            part.rename(part.with_suffix(".npy"))
            done.add(file.stem)
        time.sleep(0.5)


def numbers_of(folder: Path, white: float, srf_file: str, directions: int) -> dict[str, np.ndarray]:
    """Return the numbers that bring images into a network's range, from the scenes that are not held out."""
    cubes = [cube for cube in open_sharp_cubes(folder, white) if cube.name not in HELD_OUT]
    values = np.concatenate([cube.read()[:, ::5, ::5].reshape(cube.bands, -1) for cube in cubes], 1).astype(np.float64)
    basis = np.linalg.eigh(np.cov(values))[1][:, ::-1][:, :directions].copy()
    planes, guide = basis.T @ values, as_srf(srf_file, WAVELENGTHS, len(WAVELENGTHS)).matrix @ values
    return {
        "basis": basis,
        "centre": planes.mean(1),
        "spread": planes.std(1),
        "guide_centre": guide.mean(1),
        "guide_spread": guide.std(1),
        "size": np.ones(directions),
    }


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="+", choices=[*NETWORKS, *plane_student.NETWORKS])
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--white", type=float, default=4095)
    parser.add_argument("--srf", required=True)
    parser.add_argument("--numbers", type=Path, required=True, help="made from the scenes if it does not exist")
    parser.add_argument("--directions", type=int, default=16)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm/specfusion"))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--airborne", type=Path, help="folder of sharp cubes of other sensors, for any")
    parser.add_argument("--list", type=Path, help="list of these cubes, see bench airborne")
    parser.add_argument("--plane-workers", type=int, default=0, help="more processes, for any")
    parser.add_argument("--planes", type=int, default=200_000, help="crops of planes that are kept")
    parser.add_argument("--pool", type=int, default=1000)
    parser.add_argument("--first", type=int, default=40, help="pairs before the first step")
    parser.add_argument("--every", type=float, default=60, help="seconds between validations")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--start", type=Path, help="folder of an earlier run whose weights are trained on")
    parser.add_argument("--rate", type=float, default=1.0, help="factor to the learning rates")
    parser.add_argument("--benchmark", action="store_true", help="only pairs as in the published comparisons")
    given = parser.parse_args()
    shutil.rmtree(given.work, ignore_errors=True)
    for name in ("train", "val", "pairs", "planes"):
        (given.work / name).mkdir(parents=True)
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.numbers.exists():
        np.savez(given.numbers, **numbers_of(given.scenes, given.white, given.srf, given.directions))
    stop = threading.Event()
    threading.Thread(target=decode, args=(given.scenes, given.work, given.white, stop), daemon=True).start()
    numbers = np.load(given.numbers)
    residual = Residual(None, **{name: numbers[name] for name in numbers.files})  # type: ignore[arg-type]
    print("waiting for the held-out scenes", flush=True)
    while len(list((given.work / "val").glob("*.npy"))) < len(HELD_OUT):
        time.sleep(0.5)
    validation = [
        Pair((name,), ratio=ratio, protocol=protocol, noise=noise)
        for name in HELD_OUT
        for ratio in (4, 8)
        for protocol in ("lso", "specsolver")
        for noise in (None, (35.0, 40.0))
    ]
    began = time.monotonic()
    _workers, stop_workers, _queue = start_workers(
        given.workers, given.work, given.srf, residual, validation, 60, given.benchmark
    )
    directions, guides = len(residual.size), len(residual.guide_centre)
    channels = directions + images_beside(directions, guides)
    pool = Pool(given.pool, channels, len(WAVELENGTHS), directions, given.device)
    pool.check()
    pairs: list[dict[str, Any]] = []

    def collect(most: int = 8) -> None:
        for file in sorted((given.work / "pairs").glob("*.npz"))[:most]:
            with np.load(file) as stored:
                arrays = {key: torch.from_numpy(stored[key]).to(given.device) for key in ("inputs", "left", "mix")}
                facts = json.loads(str(stored["facts"]))
            file.unlink()
            if file.name.startswith("val"):
                pairs.append({**arrays, "facts": facts})
            else:
                pool.add(arrays)

    planes = plane_student.PlanePool(given.planes if given.plane_workers else 0, given.device)
    plane_pairs: list[dict[str, Any]] = []
    if given.plane_workers:
        _more_workers, stop_planes = fresh_planes.start_workers(
            given.plane_workers, given.work, given.airborne, given.list, 60
        )

    def collect_planes(most: int = 8) -> None:
        for file in sorted((given.work / "planes").glob("*.npz"))[:most]:
            with np.load(file) as stored:
                arrays = {key: stored[key] for key in stored.files}
            file.unlink()
            moved = {key: torch.from_numpy(a).to(given.device) for key, a in arrays.items() if a.ndim}
            if file.name.startswith("val"):
                plane_pairs.append({**moved, **{key: a.item() for key, a in arrays.items() if not a.ndim}})
            else:
                planes.add(moved)

    while (given.workers and pool.count < given.first) or (given.plane_workers and planes.seen < given.first):
        collect()
        collect_planes()
        time.sleep(0.1)
    print(f"{pool.count} and {planes.seen} pairs after {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    students: list[Student] = [
        SensorStudent(name, pool, residual, given.device)
        if name in NETWORKS
        else plane_student.PlaneStudent(name, planes, given.device)
        for name in given.networks
    ]
    for student in students:
        student.rate *= given.rate
        if given.start is not None:
            student.load(given.start)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    cuda = given.device.startswith("cuda")
    length, validated, rounds, large = given.minutes * 60, 0.0, 0, False

    def validate(student: Student) -> None:
        held_out = pairs if isinstance(student, SensorStudent) else plane_pairs
        print(student.validate(held_out, seconds, given.out), flush=True)

    seconds = 0.0
    for student in students if given.start is not None else []:
        validate(student)
    while True:
        seconds = time.monotonic() - began
        share = seconds / length
        if share > 1 - LAST and not large:
            large = True
            for student in students:
                student.enlarge()
        for student in students:
            student.take(share)
        rounds += 1
        if rounds % 10 == 0 and cuda:
            torch.cuda.synchronize()
        if rounds % 20 == 0 or not cuda:
            if cuda:
                torch.cuda.synchronize()
            collect()
            collect_planes()
        if seconds - validated > given.every or share >= 1:
            validated = seconds
            if cuda:
                torch.cuda.synchronize()
            for student in students:
                validate(student)
            if share >= 1:
                break
    stop_workers.set()
    if given.plane_workers:
        stop_planes.set()
    stop.set()
    print("done", flush=True)


if __name__ == "__main__":
    main()
