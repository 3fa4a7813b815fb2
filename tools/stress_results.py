"""Kill fusions at random moments, and start two at once, to see that no result is lost, refused or different.

``python tools/stress_results.py --kills 100 --races 20`` prints a line for each and exits with 1 if one went wrong.
With ``--cluster``, the tiles are fused by two workers, and some of the kills hit a worker, not the process that calls.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

# the workers of dask compute with one thread, and sums over more threads round differently
os.environ["OMP_NUM_THREADS"] = "1"

CHILD = """
import sys
from napari_specfusion import fuse
from napari_specfusion.errors import SpecFusionError
hsi, guide, out, model, overwrite, address = sys.argv[1:]
client = None
if address:
    from distributed import Client
    client = Client(address, set_as_default=False)
options = dict(tile=32, device="cpu", align=False, overwrite=overwrite == "yes", client=client)
print("ready", flush=True)
sys.stdin.readline()
try:
    fuse(hsi, guide, model=model, out=out, **options)
except SpecFusionError as error:
    print(error, flush=True)
    sys.exit(3)
print("all done", flush=True)
"""


@dataclass
class Tally:
    """What was counted, and what went wrong."""

    kills: int = 0
    workers: int = 0
    finished: int = 0
    told: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """A pair on disk, where its result goes, and what it should be."""

    files: tuple[Path, Path]
    out: Path
    expected: dict[str, object]
    client: Client | None = None

    def child(self, model: str, overwrite: bool) -> subprocess.Popen[str]:
        """Start a process that fuses when it is sent a line."""
        address = "" if self.client is None else self.client.scheduler.address
        arguments = [*map(str, self.files), str(self.out), model, "yes" if overwrite else "no", address]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    def problem(self, model: str) -> str:
        """Return what is wrong with the result, or an empty string."""
        import numpy as np

        from napari_specfusion import open_cube

        if not self.out.exists():
            return "the result is lost"
        found = open_cube(self.out).read()
        return "" if np.array_equal(found, self.expected[model]) else "the result is different"


def make_job(folder: Path, side: int, client: Client | None) -> Job:
    """Write a pair, and compute what its results should be."""
    from napari_specfusion import fuse
    from napari_specfusion.io import save_cube
    from napari_specfusion.samples.scene import sample_scene

    scene = sample_scene(side, 4)
    files = tuple(save_cube(c, folder / name).paths[-1] for c, name in ((scene.hsi, "h.zarr"), (scene.guide, "g.tif")))
    expected = {
        model: fuse(*files, model=model, tile=32, device="cpu", align=False).read() for model in ("glp", "bicubic")
    }
    return Job((files[0], files[1]), folder / "result.zarr", expected, client)


def kill_worker(client: Client, rng: random.Random) -> None:
    """Kill one of the workers; dask starts another one."""
    client.wait_for_workers(2)
    # Windows has no signal of that name, and needs none
    os.kill(rng.choice(sorted(client.run(os.getpid).values())), getattr(signal, "SIGKILL", signal.SIGTERM))


def start(child: subprocess.Popen[str]) -> None:
    """Tell a process to begin."""
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def kill_runs(job: Job, kills: int, rng: random.Random) -> Tally:
    """Kill runs until `kills` are reached: fresh ones and ones that replace an older result, each until it is done."""
    tally, before = Tally(), ""
    # a whole run, so that kills fall on every part of it; the first one also loads what workers need
    for _ in range(2):
        child = job.child("glp", overwrite=False)
        start(child)
        begun = time.perf_counter()
        child.communicate()
        seconds = time.perf_counter() - begun
        shutil.rmtree(job.out)
    while tally.kills < kills:
        model = "glp" if before != "glp" else "bicubic"
        while True:
            child = job.child(model, overwrite=bool(before))
            start(child)
            try:
                out, _ = child.communicate(timeout=rng.uniform(0, 1.1 * seconds))
            except subprocess.TimeoutExpired:
                tally.kills += 1
                by_worker = job.client is not None and rng.random() < 0.3
                if by_worker:
                    kill_worker(job.client, rng)
                    tally.workers += 1
                else:
                    child.kill()
                out, _ = child.communicate()
                if not by_worker and "all done" not in out:
                    if before and job.problem(before) and job.problem(model):
                        tally.wrong.append(f"after kill {tally.kills}: {job.problem(before)}")
                    continue
            if "all done" not in out:
                tally.wrong.append(f"after kill {tally.kills}: refused: {out.strip()}")
                shutil.rmtree(job.out, ignore_errors=True)
            break
        tally.finished += 1
        problem = job.problem(model)
        if problem:
            tally.wrong.append(f"after kill {tally.kills}: {problem}")
        before = model
        if rng.random() < 0.5:
            shutil.rmtree(job.out, ignore_errors=True)
            before = ""
    shutil.rmtree(job.out, ignore_errors=True)
    return tally


def race(job: Job, races: int, rng: random.Random) -> Tally:
    """Start two runs at almost the same time, for the same or for two methods."""
    tally = Tally()
    for number in range(races):
        models = rng.choice((("glp", "glp"), ("glp", "bicubic")))
        children = [job.child(model, overwrite=False) for model in models]
        for child in children:
            start(child)
            time.sleep(rng.choice((0.0, 0.0, 0.05, 0.3)))
        written = []
        for model, child in zip(models, children, strict=True):
            out, _ = child.communicate()
            if "all done" in out:
                written.append(model)
            elif any(words in out for words in ("is being written by process", "holds a finished", "holds another")):
                tally.told += 1
            else:
                tally.wrong.append(f"race {number}: {out.strip() or child.returncode}")
        problem = job.problem(written[-1]) if len(written) == 1 else f"{len(written)} runs say that they wrote it"
        tally.finished += len(written)
        if problem:
            tally.wrong.append(f"race {number}: {problem}")
        shutil.rmtree(job.out, ignore_errors=True)
    return tally


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--races", type=int, default=5)
    parser.add_argument("--side", type=int, default=256, help="side of the result in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cluster", action="store_true", help="fuse on two workers")
    given = parser.parse_args()
    rng, wrong = random.Random(given.seed), []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        client = None
        if given.cluster:
            from distributed import Client, LocalCluster

            cluster = stack.enter_context(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0"))
            client = stack.enter_context(Client(cluster, set_as_default=False))
        job = make_job(Path(folder), given.side, client)
        kills = kill_runs(job, given.kills, rng)
        print(
            f"{kills.kills} kills, {kills.workers} of workers, {kills.finished} results finished, "
            f"{len(kills.wrong)} wrong",
            flush=True,
        )
        races = race(job, given.races, rng)
        print(f"{given.races} races, {races.finished} results, {races.told} told, {len(races.wrong)} wrong", flush=True)
        left = sorted(path.name for path in Path(folder).iterdir() if path not in job.files)
        wrong = kills.wrong + races.wrong + ([f"left behind: {', '.join(left)}"] if left else [])
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
