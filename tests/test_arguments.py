"""What callers give: each check lets the right thing through and tells in words what is wrong."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_specfusion as package
from napari_specfusion import arguments
from napari_specfusion.arguments import callback, choice, flag, instance, number, numbers, short, text, whole
from napari_specfusion.device import pick_device
from napari_specfusion.errors import FusionError, ModelError, SceneError, SpecFusionError


@pytest.fixture(scope="module")
def pair() -> package.Scene:
    values = np.random.default_rng(1).random((4, 24, 24), dtype=np.float32).cumsum(axis=2) / 24
    return package.simulate(package.as_cube(values, wavelengths=[450, 520, 600, 680]), 4)


def test_whole_numbers() -> None:
    assert whole("side", 3, 1, 3) == whole("side", np.int8(3)) == whole("side", np.uint64(3)) == 3
    for value in (True, np.True_, 3.0, "3", None, [3], np.array([3]), math.nan, 0, 4, -1, 10**400, 3j, Fraction(3)):
        with pytest.raises(ModelError, match=r"^side is .*; it must be a whole number from 1 to 3\.$"):
            whole("side", value, 1, 3, ModelError)


def test_numbers() -> None:
    assert number("minutes", 2) == number("minutes", np.float32(2)) == number("minutes", Fraction(4, 2)) == 2
    for value in (True, "2", None, math.nan, math.inf, -math.inf, 0, -1.0, [2.0], 2j, 10**400, Fraction(10**400)):
        with pytest.raises(SceneError, match="must be a finite number above 0"):
            number("minutes", value, above=0.0, error=SceneError)
    assert numbers("shift", (1, 2.5), (2,)).tolist() == [1.0, 2.5]
    assert numbers("waves", np.arange(3, dtype=">u2")).tolist() == [0.0, 1.0, 2.0]
    lists: list[Any] = [[], [[1], [2, 3]], ["1"], "12", None, [True], [math.nan], [1j], np.zeros((2, 2)), b"ab", 3]
    for value in (*lists, np.array(["2020"], "M8[Y]"), object()):
        with pytest.raises(SpecFusionError, match=r"waves"):
            numbers("waves", value)


def test_names_flags_functions_and_objects() -> None:
    assert flag("align", np.False_) is False
    assert choice("model", "a", ("a", "b")) == text("model", "a") == "a"
    callback("progress", None)
    callback("progress", print)
    assert instance("scene", 3, int, "an int") == 3
    for call in (
        lambda value: flag("align", value),
        lambda value: choice("model", value, ("a", "b")),
        lambda value: text("model", value),
        lambda value: callback("progress", value),
        lambda value: instance("scene", value, Path, "a path"),
    ):
        for value in (0, [], {}, np.zeros(3), (1,)):
            with pytest.raises(SpecFusionError):
                call(value)


def test_long_and_broken_values_are_told_in_one_line() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert short(Broken()) == "a Broken"
    assert len(short("x" * 10_000)) == 100
    assert "\n" not in short(np.zeros((50, 50)))
    assert arguments.short(3) == "3"


@pytest.mark.parametrize("name", ["banana", "cuda:99", "meta", "", 3, None, [], b"cpu", "cpu:x", np.zeros(2)])
def test_devices_that_cannot_compute(name: Any, pair: package.Scene) -> None:
    with pytest.raises(FusionError):
        pick_device(name)
    for call in (
        lambda: package.fit(pair, steps=0, device=name),
        lambda: package.choose(pair, device=name),
        lambda: package.fuse(pair, model="bicubic", device=name),
        lambda: package.train([pair.hsi.replace(name=n) for n in "abc"], "never-made", device=name),
    ):
        with pytest.raises(SpecFusionError):
            call()
    assert not Path("never-made").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none() -> None:
    with pytest.raises(FusionError, match=r"The device 'cuda' cannot be used \(.*\); choose 'cpu', or 'auto'\."):
        pick_device("cuda")


WRONG: list[tuple[str, Any]] = [
    ("Scene(cube, array)", lambda p: package.Scene(p.hsi, np.zeros((3, 24, 24)))),
    ("Scene(psf=3)", lambda p: package.Scene(p.hsi, p.guide, psf=3)),
    ("Scene(ratio=True)", lambda p: package.Scene(p.hsi, p.guide, ratio=True)),
    ("Scene(ratio huge)", lambda p: package.Scene(p.hsi, p.guide, ratio=10**400)),
    ("Cube(3)", lambda p: package.Cube(3)),
    ("Cube(tensor)", lambda p: package.Cube(torch.zeros((2, 3, 3)))),
    ("Cube(name=3)", lambda p: p.hsi.replace(name=3)),
    ("as_cube ragged", lambda p: package.as_cube([[1, 2], [3]])),
    ("from_array ragged", lambda p: package.Cube.from_array([[1, 2], [3]])),
    ("as_cube wavelengths NaN", lambda p: package.as_cube(np.zeros((2, 3, 3)), wavelengths=[1, np.nan])),
    ("as_cube wavelengths text", lambda p: package.as_cube(np.zeros((2, 3, 3)), wavelengths=["a", "b"])),
    ("open NUL", lambda p: package.open_cube("a\0b.tif")),
    ("open long", lambda p: package.open_cube("n" * 5000)),
    ("open 3", lambda p: package.open_cube(3)),
    ("open reader=[]", lambda p: package.open_cube(Path(__file__), reader=[])),
    ("fuse out=3", lambda p: package.fuse(p, model="bicubic", out=3)),
    ("fuse out NUL", lambda p: package.fuse(p, model="bicubic", out="a\0.zarr")),
    ("fuse out long", lambda p: package.fuse(p, model="bicubic", out="n" * 5000 + ".zarr")),
    ("fuse tile=0.5", lambda p: package.fuse(p, model="bicubic", tile=0.5)),
    ("fuse tile=array", lambda p: package.fuse(p, model="bicubic", tile=np.zeros(3))),
    ("fuse tile=-1", lambda p: package.fuse(p, model="bicubic", tile=-1)),
    ("fuse precision", lambda p: package.fuse(p, model="bicubic", precision=np.zeros(3))),
    ("fuse progress", lambda p: package.fuse(p, model="bicubic", progress=3)),
    ("fuse align", lambda p: package.fuse(p, model="bicubic", align="yes")),
    ("fuse model=3", lambda p: package.fuse(p, model=3)),
    ("fuse 3", lambda p: package.fuse(3, 4)),
    ("align ratio", lambda p: package.align(p.hsi, p.guide, ratio=float("nan"))),
    ("align model", lambda p: package.align(p.hsi, p.guide, model=[])),
    ("align start", lambda p: package.align(p.hsi, p.guide, start=Fraction(10**400))),
    ("align should_stop", lambda p: package.align(p.hsi, p.guide, should_stop="no")),
    ("fit scene", lambda p: package.fit(np.zeros((2, 3, 3)), steps=1)),
    ("fit minutes str", lambda p: package.fit(p, minutes="3")),
    ("fit minutes NaN", lambda p: package.fit(p, minutes=float("nan"))),
    ("fit minutes inf", lambda p: package.fit(p, minutes=float("inf"))),
    ("fit steps str", lambda p: package.fit(p, steps="3")),
    ("fit steps bool", lambda p: package.fit(p, steps=True)),
    ("fit seed", lambda p: package.fit(p, steps=1, seed=-1)),
    ("fit model", lambda p: package.fit(p, [], steps=1)),
    ("choose side", lambda p: package.choose(p, side="x")),
    ("choose candidates", lambda p: package.choose(p, ["glp"])),
    ("calibrate", lambda p: package.calibrate(p.hsi)),
    ("evaluate ratio", lambda p: package.evaluate(p.hsi, p.hsi, -4)),
    ("evaluate border", lambda p: package.evaluate(p.hsi, p.hsi, 4, border=1.5)),
    ("evaluate clip", lambda p: package.evaluate(p.hsi, p.hsi, 4, clip=np.zeros(2))),
    ("train options", lambda p: package.train([p.hsi], "never-made", {"steps": 1})),
    ("train scenes", lambda p: package.train(3, "never-made")),
    ("train out", lambda p: package.train([p.hsi], 3)),
    ("TrainingOptions steps", lambda p: package.TrainingOptions(steps="3")),
    ("TrainingOptions bool", lambda p: package.TrainingOptions(batch=True)),
    ("AnySensorOptions", lambda p: package.AnySensorOptions(ratios="48")),
    ("create_model", lambda p: package.create_model("lso", 3.0, 2, 4)),
    ("create_model huge", lambda p: package.create_model("lso", 3, 2, 4, width=10**9)),
    ("simulate shift", lambda p: package.simulate(p.hsi, 2, shift="ab")),
    ("simulate noise", lambda p: package.simulate(p.hsi, 2, noise=40)),
    ("sample_scene", lambda p: package.sample_scene(10**9)),
    ("Psf", lambda p: package.Psf("2")),
    ("Psf NaN", lambda p: package.Psf(2.0, float("nan"))),
    ("spectrum", lambda p: p.hsi.spectrum(0.5, 1)),
    ("crop", lambda p: p.hsi.crop(3, 4)),
    ("read", lambda p: p.hsi.read("a")),
    ("select", lambda p: p.hsi.select([9])),
    ("save", lambda p: p.hsi.save(3)),
    ("load_weights", lambda p: package.load_weights(3)),
    ("Alignment.load", lambda p: package.Alignment.load(None)),
    ("evaluate block", lambda p: package.evaluate(p.hsi, p.hsi, 4, block=10**400)),
    ("panel huge", lambda p: package.reflectance(p.hsi, 1.0, panel=10**400)),
    ("saturation huge", lambda p: package.reflectance(p.hsi, 1.0, saturation=10**400)),
    ("check", lambda p: p.check(watch=3)),
    ("reflectance huge", lambda p: package.reflectance(p.hsi, 10**400)),
    ("reflectance", lambda p: package.reflectance(p.hsi, 1.0, times=3)),
]


@pytest.mark.parametrize(("name", "call"), WRONG, ids=[name for name, _ in WRONG])
def test_wrong_arguments_end_in_words(name: str, call: Any, pair: package.Scene) -> None:
    with pytest.raises(SpecFusionError) as caught:
        call(pair)
    words = str(caught.value)
    assert "\n" not in words.rstrip()
    assert len(words) > 20
    assert not Path("never-made").exists()
