"""``bench``: measure speed and quality."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from napari_specfusion.bench.airborne import bench_airborne
from napari_specfusion.bench.align import bench_align
from napari_specfusion.bench.candidates import FITTED
from napari_specfusion.bench.cave import bench_cave
from napari_specfusion.bench.draws import KINDS
from napari_specfusion.bench.files import INTERLEAVES, bench_files, bench_open, rows
from napari_specfusion.bench.network import RELEASED, bench_network
from napari_specfusion.bench.rates import HEAD as RATES_HEAD
from napari_specfusion.bench.rates import bench_rates
from napari_specfusion.bench.scoring import Benchmark
from napari_specfusion.bench.sizes import bench_sizes
from napari_specfusion.cli.arguments import POSITIVE, Name, Noise, Positive, PositiveOrNone, WholeRatio, default
from napari_specfusion.cli.bench_gpu import gpu
from napari_specfusion.cli.bench_viewer import viewer
from napari_specfusion.cli.figure import NO_PICTURE
from napari_specfusion.fusion.resolve import AUTO
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.simulation.pair import PROTOCOLS
from napari_specfusion.weights.shipped import list_weights

__all__ = ["airborne", "align", "app", "cave", "envi", "gpu", "io", "network", "rates", "sizes", "viewer"]

app = App(name="bench", help="Measure speed and quality.", group_parameters="Options")

LIST = Parameter(consume_multiple=1)
KIND = Parameter(name="--kind", choices=KINDS)
METHOD = Parameter(name="--method", choices=(*METHODS, AUTO, *list_weights(), FITTED))


@app.command(sort_key=0)
def cave(
    *,
    data: Path,
    out: Path = Path(default(bench_cave, "out")),
    srf: Name = default(bench_cave, "srf"),
    ratios: Annotated[tuple[WholeRatio, ...] | None, LIST, Parameter(name="--ratio", metavar="RATIO...")] = default(
        bench_cave, "ratios"
    ),
    cross: Annotated[tuple[WholeRatio, ...] | None, Parameter(consume_multiple=0, metavar="RATIO...")] = default(
        bench_cave, "cross"
    ),
    protocols: Annotated[tuple[str, ...], LIST, Parameter(name="--protocol", choices=tuple(PROTOCOLS))] = default(
        bench_cave, "protocols"
    ),
    methods: Annotated[tuple[str, ...] | None, LIST, METHOD] = default(bench_cave, "methods"),
    weights: Annotated[tuple[Path, ...], LIST, Parameter(metavar="FILE...")] = default(bench_cave, "weights"),
    minutes: Positive = default(bench_cave, "minutes"),
    noise: Annotated[tuple[float, float] | None, Parameter(metavar="CUBE GUIDE")] = default(bench_cave, "noise"),
    white: Positive = default(bench_cave, "white"),
    memory: Annotated[bool, Parameter(negative="--no-memory")] = default(bench_cave, "memory"),
) -> int:
    """Score the methods on sharp cubes that are degraded by the published protocols.

    Made for the CAVE scenes (31 bands, 400-700 nm); takes any cubes that carry wavelengths. The exit status is 1 if a
    method failed on a scene.

    Parameters
    ----------
    data
        Folder of sharp cubes, one file each.
    out
        Folder for table.md, table.csv and table.png.
    srf
        Spectral response of the guide's camera: a name or a CSV file.
    ratios
        Guide pixels per cube pixel. Without it, 4 and 8.
    cross
        Ratios at which the weights made for 4 run too. Without it, 8, 16 and 32, or none where --ratio is given.
    protocols
        How pairs are simulated.
    methods
        What to compare; lso-s is fitted to each scene. Without it, all but lso-s and auto.
    weights
        More weight files.
    minutes
        Time to fit lso-s to each scene, in minutes.
    noise
        Noise to add to cube and guide, as SNR in dB.
    white
        Stored integer that means reflectance 1, for files that do not say so.
    memory
        Also measure memory.
    """
    done = bench_cave(
        data,
        out,
        srf=srf,
        ratios=ratios,
        cross=cross,
        protocols=protocols,
        methods=methods,
        weights=weights,
        minutes=minutes,
        noise=noise,
        white=white,
        memory=memory,
    )
    return _ended(done)


@app.command(sort_key=1)
def airborne(
    *,
    data: Path,
    out: Path = Path(default(bench_airborne, "out")),
    listed: Annotated[Path | None, Parameter(name="--list", metavar="FILE")] = default(bench_airborne, "listed"),
    ratios: Annotated[tuple[WholeRatio, ...], LIST, Parameter(name="--ratio", metavar="RATIO...")] = default(
        bench_airborne, "ratios"
    ),
    guides: Annotated[tuple[str, ...], LIST, Parameter(name="--guide", metavar="NAME...")] = default(
        bench_airborne, "guides"
    ),
    noises: Annotated[tuple[Noise, ...], LIST, Parameter(name="--noise", metavar="off|CUBE/GUIDE...")] = default(
        bench_airborne, "noises"
    ),
    methods: Annotated[tuple[str, ...] | None, LIST, METHOD] = default(bench_airborne, "methods"),
    weights: Annotated[tuple[Path, ...], LIST, Parameter(metavar="FILE...")] = default(bench_airborne, "weights"),
    minutes: Positive = default(bench_airborne, "minutes"),
) -> int:
    """Score the methods on degraded sharp cubes of airborne and satellite sensors.

    Takes any cubes with wavelengths. The exit status is 1 if a method failed on a scene.

    Parameters
    ----------
    data
        Folder of sharp cubes.
    out
        Folder for table.md, table.csv and table.png.
    listed
        TOML file with sensors and wavelengths of the cubes. Without it, cubes.toml in the folder, if there is one.
    ratios
        Guide pixels per cube pixel.
    guides
        Spectral responses of the guide's camera: names (rgb, rgbn, pan) or CSV files.
    noises
        Noise to add to cube and guide, as SNR in dB such as 35/40, or off.
    methods
        What to compare; lso-s is fitted to each scene. Without it, all but lso-s and auto.
    weights
        More weight files; each runs on the cubes that it fits.
    minutes
        Time to fit lso-s to each scene, in minutes.
    """
    done = bench_airborne(
        data,
        out,
        listed=listed,
        ratios=ratios,
        guides=guides,
        noises=noises,
        methods=methods,
        weights=weights,
        minutes=minutes,
    )
    return _ended(done)


@app.command(sort_key=2)
def align(
    *,
    data: Path,
    out: Path = Path(default(bench_align, "out")),
    srf: Name = default(bench_align, "srf"),
    ratios: Annotated[tuple[WholeRatio, ...], LIST, Parameter(name="--ratio", metavar="RATIO...")] = default(
        bench_align, "ratios"
    ),
    kinds: Annotated[tuple[str, ...], LIST, KIND] = default(bench_align, "kinds"),
    draws: Annotated[int, POSITIVE] = default(bench_align, "draws"),
    seed: int = default(bench_align, "seed"),
    white: Positive = default(bench_align, "white"),
) -> int:
    """Measure how well two images of one place are aligned, by random transforms that are known.

    The exit status is 1 if a wrong match was called good.

    Parameters
    ----------
    data
        Folder of sharp cubes of one size, one file each.
    out
        Folder for table.md and table.csv.
    srf
        Spectral response of the guide's camera: a name or a CSV file.
    ratios
        Guide pixels per cube pixel.
    kinds
        Which transforms.
    draws
        Number of pairs of each kind and ratio.
    seed
        Begins the series of random transforms.
    white
        Stored integer that means reflectance 1, for files that do not say so.
    """
    trials = bench_align(data, out, srf=srf, ratios=ratios, kinds=kinds, draws=draws, seed=seed, white=white)
    return int(any(trial.wrong for trial in trials))


@app.command(sort_key=3)
def network(
    *,
    name: Annotated[tuple[str, ...], LIST, Parameter(metavar="NAME...")] = ("lso", "lso-s"),
    size: Annotated[tuple[int, ...], LIST, Parameter(metavar="PIXELS...")] = (256, 512),
    bands: int = default(bench_network, "bands"),
    ratio: int = default(bench_network, "ratio"),
    threads: int = default(bench_network, "threads"),
    plain: Path | None = default(bench_network, "plain"),
) -> int:
    """Measure time and memory of a pass through each network.

    Parameters
    ----------
    name
        The networks.
    size
        Rows and columns of the image.
    bands
        Bands of the cube.
    ratio
        Guide pixels per cube pixel.
    threads
        Threads to compute with.
    plain
        Also measure the function lso of this Python file.
    """
    print(f"one image, {bands} bands, guide of 3, x{ratio}, {threads} threads")
    print(f"{'network':<20} {'pixels':>11} {'s':>7} {'GB':>6} {'GB above imports':>17}", flush=True)
    for side in size:
        pixels = f"{side} x {side}"
        todo: list[tuple[str, str, Path | None]] = [(one, one, None) for one in name]
        if plain is not None:
            todo.append(("lso, plain", "lso", plain))
        for label, one, file in todo:
            cost = bench_network(one, side, bands=bands, ratio=ratio, threads=threads, plain=file)
            print(f"{label:<20} {pixels:>11} {cost.seconds:7.2f} {cost.memory:6.2f} {cost.growth:17.2f}", flush=True)
        if (bands, ratio, threads) != (31, 4, 2):
            continue
        for one in name:
            if side in RELEASED.get(one, {}):
                seconds, memory = RELEASED[one][side]
                print(f"{one + ', released':<20} {pixels:>11} {seconds:7.2f} {memory:6.2f}   (its authors' code)")
    return 0


@app.command(sort_key=4)
def sizes(
    *,
    out: Path = Path(default(bench_sizes, "out")),
    sides: Annotated[tuple[int, ...], LIST, Parameter(name="--side", metavar="PIXELS...")] = default(
        bench_sizes, "sides"
    ),
    bands: Annotated[int, POSITIVE] = default(bench_sizes, "bands"),
    ratio: Annotated[int, POSITIVE] = default(bench_sizes, "ratio"),
    methods: Annotated[
        tuple[str, ...] | None, LIST, Parameter(name="--method", choices=(*METHODS, *list_weights()))
    ] = default(bench_sizes, "methods"),
    threads: Annotated[int, POSITIVE] | None = default(bench_sizes, "threads"),
    scale: PositiveOrNone = default(bench_sizes, "scale"),
    folder: Path | None = default(bench_sizes, "folder"),
    against: Path | None = default(bench_sizes, "against"),
) -> int:
    """Measure time and memory of fusing large files.

    Parameters
    ----------
    out
        Folder for table.md and sizes.json.
    sides
        Rows and columns of the guide, multiples of 512.
    bands
        Bands of the cube.
    ratio
        Guide pixels per cube pixel.
    methods
        What to compare. Without it, all methods without weights.
    threads
        Threads to compute with. Without it, all cores.
    scale
        Keep results as 16-bit integers in steps of this size.
    folder
        A folder on the disk to measure. Without it, the system's temporary folder.
    against
        An earlier sizes.json, to show the change.
    """
    bench_sizes(
        out,
        sides=sides,
        bands=bands,
        ratio=ratio,
        methods=methods,
        threads=threads,
        scale=scale,
        folder=folder,
        against=against,
    )
    print(f"\nwritten: {out / 'table.md'}, {out / 'sizes.json'}")
    return 0


@app.command(sort_key=5)
def rates(
    *,
    methods: Annotated[
        tuple[str, ...] | None, LIST, Parameter(name="--method", choices=(*METHODS, *list_weights()))
    ] = default(bench_rates, "methods"),
    side: Annotated[int, POSITIVE] = default(bench_rates, "side"),
    ratio: Annotated[int, POSITIVE] = default(bench_rates, "ratio"),
    threads: Annotated[int, POSITIVE] = default(bench_rates, "threads"),
) -> int:
    """Measure where the time of the methods goes, against the rates of this machine.

    Parameters
    ----------
    methods
        What to measure. Without it, all methods without weights.
    side
        Rows and columns of the guide.
    ratio
        Guide pixels per cube pixel.
    threads
        Threads to compute with.
    """
    machine, found = bench_rates(methods=methods, side=side, ratio=ratio, threads=threads)
    print(f"this machine, {threads} threads: {machine.flops / 1e9:.0f} GFLOP/s, {machine.bandwidth / 1e9:.1f} GB/s")
    print("\n".join([RATES_HEAD, *(row.line(machine) for row in found)]))
    return 0


app.command(gpu, sort_key=6)
app.command(viewer, sort_key=7)


@app.command(sort_key=7)
def envi(*, bands: int = default(rows, "bands"), side: int = default(rows, "side")) -> int:
    """Measure how fast a large ENVI file opens.

    Parameters
    ----------
    bands
        Bands of the image.
    side
        Rows and columns.
    """
    table = rows(bands, side)
    print("  ".join(f"{key:>12}" for key in table[0]))
    for row in table:
        print("  ".join(f"{v:>12.3f}" if isinstance(v, float) else f"{v!s:>12}" for v in row.values()))
    return 0


@app.command(sort_key=8)
def io(
    *,
    bands: int = default(rows, "bands"),
    side: int = default(rows, "side"),
    repeats: int = default(bench_files, "repeats"),
    folder: Path | None = None,
) -> int:
    """Measure how fast large files open, are read and converted, against plain disk access.

    Parameters
    ----------
    bands
        Bands of the image.
    side
        Rows and columns.
    repeats
        Number of runs; the best counts.
    folder
        A folder on the disk to measure, with 7 GB free. Without it, the system's temporary folder.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        opened = bench_open(bands, side, place)
        print("opening, s: " + ", ".join(f"{key} {seconds:.3f}" for key, seconds in opened.items()), flush=True)
        for interleave in INTERLEAVES:
            found = bench_files(interleave, bands, side, place, repeats)
            load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
            print(f"{found.pop('interleave')}, {found.pop('gigabytes'):.1f} GB, {os.cpu_count()} cores{load}")
            print("\n".join(f"  {key:<18} {value:10.3f}" for key, value in found.items()), flush=True)
    return 0


def _ended(done: Benchmark) -> int:
    """Tell what was written, and return the exit status."""
    print("\nwritten: " + ", ".join(map(str, done.files)))
    if not any(path.suffix == ".png" for path in done.files):
        print(NO_PICTURE)
    return int(any(score.failure for score in done.scores))
