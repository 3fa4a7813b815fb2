"""Fusing on a cluster of two processes: the same bits, whatever happens to its workers."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

from napari_specfusion import memory
from napari_specfusion.cli.app import main
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, FusionError, OutputError
from napari_specfusion.fusion import cluster as module
from napari_specfusion.fusion.cluster import connect
from napari_specfusion.fusion.cluster_job import packed
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.io.open import open_cube
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.lso import LSO
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.tiling.tiles import Footprint, Tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_specfusion.calibration.calibrated import CalibratedScene

# 36 tiles
SIDE, TILE = 192, 32

# workers cannot import this module
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass
class Watched:
    """A method that writes down what its predictor does, and where; it can be slow, fail, or end its worker."""

    folder: Path
    seconds: float = 0.0
    fails_at: int = -1
    dies_at: int = -1
    name: str = "watched"
    mixed_precision: bool = False

    def prepare(self, calibrated: CalibratedScene, **options: Any) -> Watched:
        self.bands, self.ratio = calibrated.stated.hsi.bands, int(calibrated.stated.factor)
        return self

    @property
    def footprint(self) -> Footprint:
        return Footprint(4)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.note("unpacked", os.getpid())

    def note(self, what: str, number: int) -> None:
        (self.folder / f"{what} {number} {uuid.uuid4()}").touch()

    def noted(self, what: str) -> list[int]:
        return [int(path.name.split()[1]) for path in self.folder.glob(f"{what} *")]

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        time.sleep(self.seconds)
        if tile.index == self.dies_at and not self.noted("died"):
            self.note("died", tile.index)
            os._exit(1)
        if tile.index == self.fails_at and not (self.folder / "mended").exists():
            raise ValueError("there is a hole in this tile")
        self.note("fused", tile.index)
        sharp = hsi.repeat_interleave(self.ratio, 1).repeat_interleave(self.ratio, 2)
        return sharp + guide.mean(0)


class Threads(Watched):
    """Writes down how many threads it computes with."""

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        (self.folder / f"threads.{torch.get_num_threads()}").touch()
        return super().predict(guide, hsi, tile, shape)


@pytest.fixture
def watched(tmp_path: Path) -> Callable[..., Watched]:
    folder = tmp_path / "notes"
    folder.mkdir()
    return lambda **options: Watched(folder, **options)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as made:
        yield made


@pytest.fixture(scope="module")
def client(scheduler: LocalCluster) -> Iterator[Client]:
    with Client(scheduler, set_as_default=False) as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    scene = sample_scene(SIDE, 4)
    guide = scene.guide.read().copy()
    guide[:, 60:70, 90:100] = np.nan
    scene.hsi.save(folder / "low.zarr")
    Cube.from_array(guide, wavelengths=scene.guide.wavelengths, name="guide").save(folder / "sharp.hdr")
    return folder / "low.zarr", folder / "sharp.hdr"


def alike(one: Path, other: Path) -> None:
    first, second = zarr.open_group(one, mode="r"), zarr.open_group(other, mode="r")
    names = sorted(first.array_keys())
    assert names == sorted(second.array_keys())
    for name in names:
        np.testing.assert_array_equal(first[name][:], second[name][:])


def stopping_after(tiles: int) -> tuple[Callable[[FusionProgress], None], Callable[[], bool]]:
    done = [0]

    def progress(event: FusionProgress) -> None:
        done[0] = event.done

    return progress, lambda: done[0] >= tiles


# --- the same bits -----------------------------------------------------------------


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread, as the workers do: sums over several threads round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network() -> NetworkMethod:
    torch.manual_seed(0)
    return NetworkMethod(LSO(31, 3, 4, width=8, heads=2, tokens=2, basis=3, patch=2, features=8, blocks=1))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "name", [*METHODS, "network", pytest.param("lso-any", marks=pytest.mark.slow)], ids=lambda name: name
)
def test_the_result_equals_the_local_one_bit_by_bit(
    name: str, client: Client, files: tuple[Path, Path], tmp_path: Path
) -> None:
    method = network() if name == "network" else as_method(name)
    tile = 96 if name == "lso-any" else 64
    fuse(*files, model=method, tile=tile, device="cpu", out=tmp_path / "here.zarr")
    events: list[FusionProgress] = []
    fused = fuse(
        *files,
        model=method,
        tile=tile,
        device="cpu",
        out=tmp_path / "there.zarr",
        client=client,
        progress=events.append,
    )
    alike(tmp_path / "here.zarr", tmp_path / "there.zarr")
    np.testing.assert_array_equal(fused.read(), open_cube(tmp_path / "here.zarr").read())
    tiles = [event.done for event in events if event.box is not None]
    assert tiles == list(range(1, (SIDE // tile) ** 2 + 1))


def test_a_worker_computes_with_the_threads_it_was_given(files: tuple[Path, Path], tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=3, processes=True, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        fuse(*files, model=Threads(tmp_path), tile=64, device="cpu", out=tmp_path / "x.zarr", client=client)
    assert {path.suffix for path in tmp_path.glob("threads.*")} == {".3"}


def test_a_worker_that_dies_while_the_job_is_sent_holds_nothing_up(files: tuple[Path, Path], tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        replicate = cluster.scheduler.handlers["replicate"]

        async def killing(*arguments: Any, **options: Any) -> Any:
            (process, *_) = [nanny.process.process for nanny in cluster.workers.values()]
            process.kill()
            return await replicate(*arguments, **options)

        cluster.scheduler.handlers["replicate"] = killing
        done: list[Cube] = []
        options = {"model": "bicubic", "tile": 64, "device": "cpu", "out": tmp_path / "x.zarr", "client": client}
        thread = threading.Thread(target=lambda: done.append(fuse(*files, **options)), daemon=True)
        thread.start()
        thread.join(60)
        assert done, "it still waits"


def test_a_small_pair_in_memory_is_sent_along(client: Client, tmp_path: Path) -> None:
    scene = sample_scene(96, 4)
    local = fuse(scene, model="gsa", tile=TILE, device="cpu").read()
    fused = fuse(scene, model="gsa", tile=TILE, device="cpu", out=tmp_path / "x.zarr", client=client)
    np.testing.assert_array_equal(fused.read(), local)


def test_the_checksums_of_large_files_are_the_same(
    client: Client, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "KEPT_PAIR", 0)
    for name, there in (("here", None), ("there", client)):
        fuse(*files, model="gsa", tile=64, device="cpu", out=tmp_path / f"{name}.zarr", client=there)
    alike(tmp_path / "here.zarr", tmp_path / "there.zarr")
    assert len(set(zarr.open_group(tmp_path / "there.zarr")["done"][:].tolist())) == 9


# --- what passes the scheduler -------------------------------------------------------


class Sizes(SchedulerPlugin):
    """Writes down how large tasks and results are for the scheduler."""

    name = "sizes"

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self.tasks, self.results, self.jobs = scheduler, [], [], []

    def transition(self, key: Any, start: Any, finish: Any, *args: Any, **options: Any) -> None:
        task = self.scheduler.tasks[key]
        if finish == "memory":
            self.tasks.append(len(cloudpickle.dumps(task.run_spec)))
            self.results.append(task.nbytes)
            self.jobs.extend(other.nbytes for other in task.dependencies)


def test_no_pixel_passes_the_scheduler(
    scheduler: LocalCluster, client: Client, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the door for data that a client sends by way of the scheduler
    monkeypatch.delitem(scheduler.scheduler.handlers, "scatter")
    sizes = Sizes(scheduler.scheduler)
    scheduler.scheduler.add_plugin(sizes)
    fuse(*files, model="bicubic", tile=TILE, device="cpu", out=tmp_path / "x.zarr", client=client)
    scheduler.scheduler.remove_plugin("sizes")
    assert len(sizes.tasks) == len(sizes.results) == (SIDE // TILE) ** 2
    # a tile has 4 * 31 * 32**2 bytes
    assert max(sizes.tasks) < 3000
    assert max(sizes.results) < 200
    # the job goes to the workers directly, and has no pixels either
    assert 0 < max(sizes.jobs) < 50_000


def test_the_model_is_unpacked_once_per_worker(
    client: Client, files: tuple[Path, Path], watched: Callable[..., Watched], tmp_path: Path
) -> None:
    method = watched(seconds=0.02)
    fuse(*files, model=method, tile=TILE, device="cpu", out=tmp_path / "x.zarr", client=client)
    assert len(method.noted("fused")) == 36
    pids = method.noted("unpacked")
    assert len(pids) == len(set(pids)) == 2
    assert os.getpid() not in pids


def test_tensors_go_to_the_device_of_the_worker(files: tuple[Path, Path]) -> None:
    import io

    module_ = network().module
    content = packed(module_, None, None)  # type: ignore[arg-type]
    found, *_ = torch.load(io.BytesIO(content), map_location="meta", weights_only=False)
    assert {parameter.device.type for parameter in found.parameters()} == {"meta"}


@pytest.mark.parametrize(("device", "wanted"), [("auto", {"GPU": 1.0}), ("cpu", None)])
def test_a_tile_takes_a_gpu_where_workers_state_them(
    device: str,
    wanted: dict[str, float] | None,
    client: Client,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[Any] = []
    known, spread = client.scheduler_info, client.map

    def scheduler_info(**options: Any) -> Any:
        info = known(**options)
        return {"workers": {key: {**worker, "resources": {"GPU": 1.0}} for key, worker in info["workers"].items()}}

    def spread_without(*arguments: Any, resources: Any, **options: Any) -> Any:
        taken.append(resources)
        return spread(*arguments, **options)

    monkeypatch.setattr(client, "scheduler_info", scheduler_info)
    monkeypatch.setattr(client, "map", spread_without)
    fuse(*files, model="bicubic", tile=96, device=device, out=tmp_path / "x.zarr", client=client)
    assert taken == [wanted]


# --- what goes wrong on the way --------------------------------------------------------


def test_a_stopped_run_continues_where_it_stopped(
    client: Client, files: tuple[Path, Path], watched: Callable[..., Watched], tmp_path: Path
) -> None:
    method, out = watched(seconds=0.1), tmp_path / "x.zarr"
    progress, should_stop = stopping_after(5)
    with pytest.raises(Cancelled, match=r"with \d+ of 36 tiles done; the same call continues it"):
        fuse(*files, model=method, tile=TILE, out=out, client=client, progress=progress, should_stop=should_stop)
    before, done = len(method.noted("fused")), int((zarr.open_group(out)["done"][:] > 0).sum())
    assert 5 <= done <= before < 30
    # nobody writes any more
    time.sleep(0.3)
    assert len(method.noted("fused")) == before
    # seconds would be part of the job
    fuse(*files, model=method, tile=TILE, out=out, client=client)
    assert len(method.noted("fused")) == before + 36 - done
    fuse(*files, model=method, tile=TILE, out=tmp_path / "y.zarr")
    alike(out, tmp_path / "y.zarr")


def test_a_run_that_stopped_on_the_cluster_continues_here(
    client: Client, files: tuple[Path, Path], watched: Callable[..., Watched], tmp_path: Path
) -> None:
    method, out = watched(seconds=0.05), tmp_path / "x.zarr"
    progress, should_stop = stopping_after(10)
    with pytest.raises(Cancelled):
        fuse(*files, model=method, tile=TILE, out=out, client=client, progress=progress, should_stop=should_stop)
    fuse(*files, model=method, tile=TILE, out=out)
    fuse(*files, model=method, tile=TILE, out=tmp_path / "y.zarr")
    alike(out, tmp_path / "y.zarr")


def test_a_worker_that_dies_costs_only_its_tiles(
    client: Client, files: tuple[Path, Path], watched: Callable[..., Watched], tmp_path: Path
) -> None:
    method, out = watched(seconds=0.05, dies_at=14), tmp_path / "x.zarr"
    fuse(*files, model=method, tile=TILE, out=out, client=client)
    assert method.noted("died") == [14]
    # the scheduler may have counted on a few of its tiles
    assert 36 <= len(method.noted("fused")) <= 40
    fuse(*files, model=method, tile=TILE, out=tmp_path / "y.zarr")
    alike(out, tmp_path / "y.zarr")
    client.wait_for_workers(2, timeout=120)


def test_a_tile_that_fails_is_named_and_tried_again_by_the_next_call(
    client: Client, files: tuple[Path, Path], watched: Callable[..., Watched], tmp_path: Path
) -> None:
    method, out = watched(fails_at=7), tmp_path / "x.zarr"
    with pytest.raises(FusionError, match=r"1 of 36 tiles failed \(rows 32-63, columns 32-63\): there is a hole"):
        fuse(*files, model=method, tile=TILE, out=out, client=client)
    assert len(set(method.noted("fused"))) == 35
    (method.folder / "mended").touch()
    fuse(*files, model=method, tile=TILE, out=out, client=client)
    assert sorted(method.noted("fused")) == list(range(36))


def test_lost_tiles_are_handed_out_again(
    client: Client, files: tuple[Path, Path], watched: Callable[..., Watched], tmp_path: Path
) -> None:
    method, out = watched(seconds=0.02), tmp_path / "x.zarr"
    lost: list[Any] = []
    submit = module._Run.submit

    def lose(run: Any, tiles: list[int]) -> None:
        submit(run, tiles)
        if not lost:
            lost.extend(future for _, future in list(run.pending.values())[-10:])
            run._client.cancel(lost)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Run, "submit", lose)
        fuse(*files, model=method, tile=TILE, out=out, client=client)
    assert set(method.noted("fused")) == set(range(36))
    assert (zarr.open_group(out)["done"][:] > 0).all()


# --- what is refused -------------------------------------------------------------------


def test_what_workers_cannot_see_is_refused(
    client: Client, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CARRIED", 100_000)
    scene = sample_scene(128, 4)
    lazy = scene.replace(guide=scene.guide.replace(data=scene.guide.data * 1.0))
    for given in (scene, lazy):
        with pytest.raises(FusionError, match=r"in memory, .* save it on a disk that all workers share"):
            fuse(given, model="bicubic", out=tmp_path / "x.zarr", client=client)
    with pytest.raises(FusionError, match=r"out='result.zarr' on a disk"):
        fuse(*files, model="bicubic", client=client)
    with pytest.raises(FusionError, match=r"distributed\.Client"):
        fuse(*files, model="bicubic", out=tmp_path / "x.zarr", client="tcp://1.2.3.4:5")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="tile=32"):
        fuse(*files, model="bicubic", tile=16, out=tmp_path / "x.zarr", client=client)
    assert not (tmp_path / "x.zarr").exists()


def test_a_cube_that_lies_on_a_cluster_is_refused(client: Client, files: tuple[Path, Path], tmp_path: Path) -> None:
    kept = client.persist(da.ones((31, 48, 48), chunks=(31, 24, 24)))
    with pytest.raises(FusionError, match="is computed on a cluster; save it"):
        fuse(kept, files[1], model="bicubic", out=tmp_path / "x.zarr", client=client, align=False)


# --- around it -------------------------------------------------------------------------


def test_fuse_works_inside_a_worker(client: Client, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    low, guide = files

    def total() -> float:
        # a pair that is not kept is read by threads beside that of the task
        memory.KEPT_PAIR = 0
        # without its source it is read as any other array of dask is
        cube = open_cube(low).replace(source=None)
        return float(np.nansum(fuse(cube, guide, model="subspace", device="cpu").read()))

    there = client.submit(total, pure=False).result(timeout=100)
    monkeypatch.setattr(memory, "KEPT_PAIR", 0)
    assert there == total()


def test_the_command_line_takes_a_scheduler(
    scheduler: LocalCluster, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.zarr"
    options = ["--model", "gsa", "--tile", "64", "--device", "cpu", "--out", str(out)]
    assert main(["fuse", *map(str, files), *options, "--scheduler", scheduler.scheduler_address]) == 0
    fuse(*files, model="gsa", tile=64, device="cpu", out=tmp_path / "y.zarr")
    alike(out, tmp_path / "y.zarr")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "", "foo://1.2.3"])
def test_a_scheduler_that_is_not_there_is_told(address: str) -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(FusionError, match="There is no scheduler at"),
    ):
        connect(address)
