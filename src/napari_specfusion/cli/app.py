"""The package on the command line: ``python -m napari_specfusion --help``."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_specfusion.cli import commands
from napari_specfusion.errors import SpecFusionError, needs_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

FAILED, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 for success, 1 for an answer of no, 2 for an error."""
    # before torch is loaded: threads that spin while they wait all but stop a busy machine, and themselves
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["bench"]:
        # its own parser knows its options
        run, options = commands.bench, argparse.Namespace(rest=arguments[1:])
    else:
        options = _parser().parse_args(arguments)
        run = options.run
    try:
        return run(options)
    except SpecFusionError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m napari_specfusion",
        description="Fuse a hyperspectral cube with a sharper image of the same scene.",
    )
    names = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = names.add_parser("demo", help="the whole path on a sample pair, in napari or without a window")
    demo.set_defaults(run=_demo)
    demo.add_argument("--headless", action="store_true", help="do without a window even where there is a display")
    demo.add_argument("--size", type=int, default=256, help="rows and columns of the guide (%(default)s)")
    demo.add_argument("--out", default="demo-output", help="folder of what it makes without a window (%(default)s)")
    demo.add_argument("--minutes", type=commands.positive, help="how long to fit the network without a window")

    fuse = names.add_parser("fuse", help="fuse a pair into a .zarr folder")
    fuse.set_defaults(run=commands.fuse_files)
    _add_pair(fuse)
    fuse.add_argument("--out", required=True, help=".zarr folder to write; an unfinished one is continued")
    fuse.add_argument(
        "--model", default="subspace", help="auto, bicubic, gsa, glp, subspace, trained weights or a file (%(default)s)"
    )
    fuse.add_argument("--tile", type=commands.tile, default="auto", help="side in pixels, auto or whole (%(default)s)")
    fuse.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (%(default)s)")
    fuse.add_argument(
        "--precision",
        default="float32",
        choices=("float32", "float64", "bfloat16", "float16"),
        help="the half ones are for networks (%(default)s)",
    )
    fuse.add_argument("--overwrite", action="store_true", help="start afresh in place of what lies there")

    fit = names.add_parser("fit", help="train a network on a pair, without a reference")
    fit.set_defaults(run=commands.fit_files)
    _add_pair(fit)
    fit.add_argument("--out", required=True, help="weight file to write (.safetensors)")
    fit.add_argument("--minutes", type=commands.positive, default=3.0, help="how long to train (%(default)g)")
    fit.add_argument("--model", default="lso-s", help="network to train (%(default)s)")
    fit.add_argument("--overwrite", action="store_true", help="replace the file")

    train = names.add_parser("train", help="train a network on sharp cubes; called again, it goes on")
    train.set_defaults(run=commands.train_files)
    train.add_argument("--data", required=True, help="folder of sharp cubes of one sensor, one file each")
    train.add_argument("--out", required=True, help="folder of the training: state, log and weights.safetensors")
    train.add_argument("--model", default="lso-s", help="network to train (%(default)s)")
    train.add_argument("--ratio", type=int, default=4, help="guide pixels per cube pixel (%(default)s)")
    train.add_argument("--srf", default="rgb", help="response of the guide: a name or a CSV file (%(default)s)")
    train.add_argument("--base", default="subspace", help="method to correct: subspace or bicubic (%(default)s)")
    train.add_argument("--protocol", nargs="+", default=["lso", "specsolver"], help="how pairs are simulated (both)")
    train.add_argument("--loss", default="l1", help="l1 or l1+sam (%(default)s)")
    train.add_argument("--steps", type=int, default=4000, help="optimiser steps (%(default)s)")
    train.add_argument("--batch", type=int, default=8, help="crops a step (%(default)s)")
    train.add_argument("--patch", type=int, default=64, help="side of a crop in pixels (%(default)s)")
    train.add_argument("--rate", type=commands.positive, default=1e-3, help="highest learning rate (%(default)g)")
    train.add_argument("--seed", type=int, default=0, help="of the weights and the crops (%(default)s)")
    train.add_argument("--validate-every", type=int, default=250, metavar="STEPS", help="(%(default)s)")
    train.add_argument("--validation", nargs="+", metavar="SCENE", help="scenes kept for validation (two are picked)")
    train.add_argument("--start", metavar="FILE", help="weights to begin with, of train; any ratio")
    train.add_argument("--one-scale", action="store_true", help="leave out the pairs one scale down")
    train.add_argument(
        "--white", type=commands.positive, default=65535.0, help="stored integer of reflectance 1 (%(default)g)"
    )
    train.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (%(default)s)")
    train.add_argument("--compile", action="store_true", help="compile the network: worth it for hours on a GPU")

    check = names.add_parser("check", help="say whether a pair belongs together, and how the cube was taken")
    check.set_defaults(run=commands.check_files)
    _add_pair(check)

    evaluate = names.add_parser("evaluate", help="score fused cubes against a reference")
    evaluate.set_defaults(run=commands.evaluate_files)
    evaluate.add_argument("reference", metavar="REFERENCE", help="the true sharp cube")
    evaluate.add_argument("estimates", metavar="ESTIMATE", nargs="+", help="cubes on the same pixels")
    evaluate.add_argument("--ratio", type=commands.ratio, required=True, help="guide pixels per cube pixel, for ERGAS")

    convert = names.add_parser("convert", help="write a cube in another format")
    convert.set_defaults(run=commands.convert_file)
    convert.add_argument("cube", metavar="IN", help="a cube in any format that can be read")
    convert.add_argument("out", metavar="OUT", help="what to write: .hdr, .tif, .ome.tif, .zarr, .npz or .mat")
    convert.add_argument("--reader", help="format of IN, where its name does not say it")
    convert.add_argument(
        "--array", metavar="NAME", help="which array of IN, where it holds several (HDF5, MATLAB, ...)"
    )
    convert.add_argument("--axes", help="what the axes of an HDF5 array are: b, y and x in their order, such as yxb")
    convert.add_argument("--wavelengths", metavar="FILE", help="text file of one number per band, in nm")
    convert.add_argument("--interleave", choices=("bsq", "bil", "bip"), help="order of the numbers in an ENVI file")
    convert.add_argument("--overwrite", action="store_true", help="replace what lies there")

    calibrate = names.add_parser("calibrate", help="turn counts into reflectance with white and dark references")
    calibrate.set_defaults(run=commands.calibrate_file)
    calibrate.add_argument("raw", metavar="RAW", help="a cube in counts, or the folder of a Specim capture")
    calibrate.add_argument("--out", required=True, help="what to write: .hdr, .tif, .ome.tif, .zarr, .npz or .mat")
    calibrate.add_argument("--white", help="white reference (WHITEREF_ beside RAW)")
    calibrate.add_argument("--dark", help="dark reference (DARKREF_ beside RAW)")
    calibrate.add_argument(
        "--panel", type=commands.positive, default=1.0, help="reflectance of the panel (%(default)g)"
    )
    calibrate.add_argument(
        "--times",
        nargs=2,
        type=commands.positive,
        metavar=("RAW", "WHITE"),
        help="integration times, where they differ",
    )
    calibrate.add_argument(
        "--dead", choices=("nan", "interpolate"), default="nan", help="what becomes of dead pixels (%(default)s)"
    )
    calibrate.add_argument("--saturation", type=commands.positive, help="count at which the sensor is full")
    calibrate.add_argument("--overwrite", action="store_true", help="replace what lies there")

    names.add_parser("bench", help="measure speed and quality; bench --help lists what", add_help=False)
    return parser


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cube", metavar="CUBE", help="the cube with many bands and few pixels")
    parser.add_argument("guide", metavar="GUIDE", help="the sharper image of the same ground")
    parser.add_argument("--ratio", type=commands.ratio, help="guide pixels per cube pixel, such as 4 or 10/3")


def _demo(options: argparse.Namespace) -> int:
    if options.headless or not _has_window():
        return commands.demo_headless(options)
    from napari_specfusion.widgets._demo import show_demo

    show_demo(options.size)
    return 0


def _has_window() -> bool:
    """Whether there is a display, and napari with a Qt binding to use it."""
    display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not display:
        return False
    if find_spec("napari") is None or not any(map(find_spec, ("PyQt6", "PySide6", "PyQt5"))):
        print(f"Going on without a window: one {needs_extra('napari')}.", file=sys.stderr)
        return False
    return True
