"""What is typed becomes a value, and what is not typed is the default of the public function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from napari_specfusion import fit, fuse, open_cube, reflectance, train
from napari_specfusion.bench.airborne import bench_airborne
from napari_specfusion.bench.align import bench_align
from napari_specfusion.bench.cave import bench_cave
from napari_specfusion.bench.files import bench_files, rows
from napari_specfusion.bench.network import bench_network
from napari_specfusion.cli.app import app
from napari_specfusion.cli.headless import run_headless
from napari_specfusion.io import save_cube
from napari_specfusion.training import TrainingOptions

# a line with what must be given, and the functions whose defaults the rest has
LINES: list[tuple[str, tuple[Callable[..., Any], ...]]] = [
    ("demo", (run_headless,)),
    ("fuse cube guide --out x.zarr", (fuse,)),
    ("fit cube guide --out x.safetensors", (fit,)),
    ("train --data x --out y", (train,)),
    ("convert x y.hdr", (open_cube, save_cube)),
    ("reflectance x --out y.hdr", (reflectance, save_cube)),
    ("bench cave --data x", (bench_cave,)),
    ("bench airborne --data x", (bench_airborne,)),
    ("bench align --data x", (bench_align,)),
    ("bench network", (bench_network,)),
    ("bench envi", (rows,)),
    ("bench io", (rows, bench_files)),
]


def parsed(line: str) -> dict[str, Any]:
    """Return what a command would be called with."""
    _, bound, _ = app.parse_args(line.split(), exit_on_error=False, print_error=False)
    bound.apply_defaults()
    return dict(bound.arguments)


@pytest.mark.parametrize(("line", "functions"), LINES, ids=[line for line, _ in LINES])
def test_defaults_are_those_of_the_public_functions(line: str, functions: tuple[Callable[..., Any], ...]) -> None:
    _, bound, _ = app.parse_args(line.split(), exit_on_error=False, print_error=False)
    typed, values = set(bound.arguments), parsed(line)
    public = {
        name: parameter.default
        for function in functions
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }
    # options has a test of its own; without names of validation scenes, train gets its own default
    shared = set(values) & set(public) - typed - {"options", "validation"}
    assert shared
    for name in shared:
        expected = Path(public[name]) if name == "out" and public[name] is not None else public[name]
        assert values[name] == expected, name


def test_a_training_has_the_options_of_the_dataclass() -> None:
    assert vars(parsed("train --data x --out y")["options"]) == vars(TrainingOptions())


def test_every_option_of_a_training_can_be_typed() -> None:
    line = (
        "train --data x --out y --model lso --ratio 8 --base bicubic --protocol lso --loss l1+sam --one-scale "
        "--directions 5 --steps 10 --batch 2 --patch 32 --rate 1e-2 --seed 7 --validate-every 3 --noise 30 40 "
        "--gain 1.2 --validation a b "
        "--srf pan --start w.safetensors --white 255 --device cpu --compile"
    )
    values = parsed(line)
    assert vars(values.pop("options")) == vars(
        TrainingOptions("lso", 8, "bicubic", ("lso",), "l1+sam", False, 5, 10, 2, 32, 1e-2, 7, 3, (30.0, 40.0), 1.2)
    )
    assert values == {
        "data": Path("x"),
        "out": Path("y"),
        "srf": "pan",
        "validation": ("a", "b"),
        "start": Path("w.safetensors"),
        "white": 255.0,
        "device": "cpu",
        "compile_network": True,
    }


@pytest.mark.parametrize(("text", "value"), [("4", Fraction(4)), ("3.5", Fraction(7, 2)), ("10/3", Fraction(10, 3))])
def test_ratios_are_read_exactly(text: str, value: Fraction) -> None:
    found = parsed(f"fuse cube guide --out x.zarr --ratio {text}")["ratio"]
    assert isinstance(found, Fraction)
    assert found == value


@pytest.mark.parametrize(("text", "value"), [("128", 128), ("auto", "auto"), ("whole", None)])
def test_tiles_are_a_number_or_a_word(text: str, value: object) -> None:
    assert parsed(f"fuse cube guide --out x.zarr --tile {text}")["tile"] == value


def test_lists_take_several_values() -> None:
    values = parsed("bench cave --data x --ratio 4 8 --method bicubic glp --weights a b --noise 30 40 --no-memory")
    assert values["ratios"] == (4, 8)
    assert values["cross"] is None
    assert values["methods"] == ("bicubic", "glp")
    assert values["weights"] == (Path("a"), Path("b"))
    assert values["noise"] == (30.0, 40.0)
    assert values["memory"] is False
    assert parsed("bench cave --data x --cross --ratio 4")["cross"] == ()
    assert parsed("evaluate truth one two --ratio 4")["estimate"] == (Path("one"), Path("two"))
    assert parsed("reflectance x --out y.hdr --times 1 2.5")["times"] == (1.0, 2.5)


def test_noise_is_off_or_a_pair() -> None:
    values = parsed("bench airborne --data x --noise off 35/40.5 --guide rgb pan --list cubes.toml")
    assert values["noises"] == (None, (35.0, 40.5))
    assert values["guides"] == ("rgb", "pan")
    assert values["listed"] == Path("cubes.toml")
