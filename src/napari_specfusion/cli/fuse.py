"""``fuse``: two files into a .zarr folder."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_specfusion.cli.arguments import Align, Name, RatioOrNone, Tile, default
from napari_specfusion.cli.files import open_pair
from napari_specfusion.cli.progress import ProgressLine
from napari_specfusion.fusion.destination import check_output
from napari_specfusion.fusion.engine import Precision, fuse
from napari_specfusion.fusion.recipe import Origin, Recipe
from napari_specfusion.weights.load import load_weights

__all__ = ["fuse_files"]

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".tar", ".pt")


def fuse_files(
    cube: Path,
    guide: Path,
    /,
    *,
    out: Path,
    model: Name = default(fuse, "model"),
    ratio: RatioOrNone = default(fuse, "ratio"),
    align: Align = default(fuse, "align"),
    tile: Tile = default(fuse, "tile"),
    device: Name = default(fuse, "device"),
    precision: Precision = default(fuse, "precision"),
    scale: float | None = default(fuse, "scale"),
    overwrite: bool = default(fuse, "overwrite"),
    scheduler: Annotated[str | None, Parameter(metavar="ADDRESS")] = None,
) -> int:
    """Fuse a cube with a sharper image of the same scene.

    Parameters
    ----------
    cube
        The cube with many bands and few pixels.
    guide
        The sharper image of the same scene.
    out
        The .zarr folder to write. An unfinished one of the same fusion is continued.
    model
        A method such as subspace or glp, shipped weights, a weight file, or auto, which tries all that fit and takes
        the best.
    ratio
        Guide pixels per cube pixel, such as 4 or 10/3. Without it, taken from the two files.
    align
        Bring the guide onto the cube's grid first, if it lies otherwise. --no-align trusts equal corners.
    tile
        Side of a tile in pixels; whole fuses the image in one piece.
    device
        Where to compute: cpu, cuda, mps, or auto for the fastest there is.
    precision
        Number format. bfloat16, float16 and tf32 are for networks only; tf32 is float32 with rounded products on NVIDIA
        GPUs.
    scale
        Keep 16-bit integers: a value is the integer times this number. Without it, floating-point numbers.
    overwrite
        Replace what is there, once the new result is complete.
    scheduler
        Fuse on the cluster of this dask scheduler, such as tcp://10.0.0.1:8786. Its workers need the files, and the
        folder to write, under the same paths.
    """
    from napari_specfusion.fusion.cluster import connect

    scene = open_pair(cube, guide, ratio, align=align, check=lambda *pair: check_output(out, pair, overwrite=overwrite))
    chosen: Any = model
    name, method, weights = model, model, None
    if model.lower().endswith(WEIGHT_SUFFIXES):
        chosen, name = load_weights(model, scene.factor), Path(model).name
        method, weights = "weights", Path(model)
    recipe = Recipe(
        scene.hsi.name,
        scene.guide.name,
        Origin(cube),
        Origin(guide),
        method,
        weights=weights,
        ratio=None if ratio is None else float(ratio),
        aligning="auto" if align else "off",
        trust=align,
        tile=tile,
        device=device,
        out=out,
        overwrite=overwrite,
        precision=precision,
        scale=scale,
    )
    with nullcontext() if scheduler is None else connect(scheduler) as client, ProgressLine(f"Fusing ({name})") as line:
        fused = fuse(
            scene,
            align=align,
            model=chosen,
            tile=tile,
            device=device,
            precision=precision,
            scale=scale,
            out=out,
            overwrite=overwrite,
            client=client,
            recipe=recipe,
            progress=line.fusion,
        )
    print(f"{fused}\nwritten to {out}")
    return 0
