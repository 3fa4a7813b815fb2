"""``bench gpu``: measure a GPU."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_specfusion.bench.gpu import bench_gpu
from napari_specfusion.cli.arguments import POSITIVE, Name, Positive, default
from napari_specfusion.fusion.engine import Precision
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.registry import NETWORKS

__all__ = ["gpu"]

LIST = Parameter(consume_multiple=1)


def gpu(
    *,
    out: Path = Path(default(bench_gpu, "out")),
    device: Name = default(bench_gpu, "device"),
    networks: Annotated[tuple[str, ...], LIST, Parameter(name="--network", choices=tuple(NETWORKS))] = default(
        bench_gpu, "networks"
    ),
    sides: Annotated[tuple[int, ...], LIST, Parameter(name="--side", metavar="PIXELS...")] = default(
        bench_gpu, "sides"
    ),
    precisions: Annotated[tuple[Precision, ...], LIST, Parameter(name="--precision")] = default(
        bench_gpu, "precisions"
    ),
    methods: Annotated[tuple[str, ...], LIST, Parameter(name="--method", choices=(*METHODS, *NETWORKS))] = default(
        bench_gpu, "methods"
    ),
    whole: Annotated[int, POSITIVE] = default(bench_gpu, "side"),
    bands: Annotated[int, POSITIVE] = default(bench_gpu, "bands"),
    ratio: Annotated[int, POSITIVE] = default(bench_gpu, "ratio"),
    seconds: Positive = default(bench_gpu, "seconds"),
    folder: Path | None = default(bench_gpu, "folder"),
) -> int:
    """Measure networks and fusions on a GPU, in every precision.

    Parameters
    ----------
    out
        Folder for table.md and gpu.json.
    device
        Where to compute: cpu, cuda, mps, or auto for the fastest there is.
    networks
        Networks to measure alone, with random weights.
    sides
        Rows and columns of their tiles.
    precisions
        Number formats.
    methods
        Methods, and networks with random weights, to fuse a whole pair with.
    whole
        Rows and columns of that pair's guide, a multiple of 256.
    bands
        Bands of the cube.
    ratio
        Guide pixels per cube pixel.
    seconds
        Begin nothing new after this time.
    folder
        A folder on the disk to measure. Without it, the system's temporary folder.
    """
    rates = bench_gpu(
        out,
        device=device,
        networks=networks,
        sides=sides,
        precisions=precisions,
        methods=methods,
        side=whole,
        bands=bands,
        ratio=ratio,
        seconds=seconds,
        folder=folder,
    )
    print(f"\nwritten: {out / 'table.md'}, {out / 'gpu.json'}")
    return int(any(row.failure and row.rate != row.rate for rows in rates for row in rows))
