"""Call the public functions with wrong arguments at random, and report what ends in anything but a SpecFusionError.

A case takes a call that works and replaces one to three of its arguments: by other types, shapes, ranges, types of
numbers, devices and names. A call may answer or refuse; it must not raise anything else, crash, or never end.

    python tools/fuzz_calls.py --seed 1 --cases 10000
    python tools/fuzz_calls.py --only fuse:1:4711     # one case again; --keep does nothing here

A case is its function, seed and number: the same three make the same call.
"""

from __future__ import annotations

import inspect
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fuzzing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Imports that a call may cause take a minute on a busy machine.
LIMITS = fuzzing.Limits(hang=240.0, slow=60.0, spare=1500 << 20)
# A call that would run for long is stopped after so many seconds.
STOP_SECONDS = 1.0


@dataclass(frozen=True)
class Call:
    """A call that works, and how often it is drawn.

    Attributes
    ----------
    function
        What to call.
    good
        Arguments with which it works.
    kept
        Arguments that are never replaced: without them a right call runs for hours.
    """

    function: Callable[..., Any]
    good: Mapping[str, Any] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


# --- what works ------------------------------------------------------------------------------


def calls() -> dict[str, Call]:
    """Return the calls by the names of their functions."""
    import napari_specfusion as package
    from napari_specfusion.quality.metrics import quality_maps
    from napari_specfusion.sensor.srf import Srf, analytic_srf, as_srf, read_srf

    rng = np.random.default_rng(0)
    waves = [450.0, 520.0, 600.0, 680.0]
    sharp = rng.random((4, 24, 24), dtype=np.float32).cumsum(axis=2) / 24
    cube = package.as_cube(sharp, wavelengths=waves)
    pair = package.simulate(cube, 4, srf="rgb")
    known = package.CalibratedScene(pair)
    low, guide = pair.hsi, pair.guide
    white = np.full((4, 6), 2.0)
    stop = {"should_stop": Stop()}
    options = package.TrainingOptions(steps=1, batch=1, patch=8, validate_every=1, directions=2, protocols=("lso",))
    planes = package.AnySensorOptions(
        ratios=(2,), guides=("pan",), pairs=1, steps=1, batch=1, patch=8, validate_every=1
    )
    several = [cube.replace(name=name) for name in "abc"]
    made = {
        "Cube": Call(package.Cube, {"data": cube.data, "wavelengths": waves}),
        "Scene": Call(package.Scene, {"hsi": low, "guide": guide}),
        "Psf": Call(package.Psf, {"sigma": 2.0}),
        "Srf": Call(Srf, {"matrix": pair.srf.matrix}),
        "TrainingOptions": Call(package.TrainingOptions),
        "AnySensorOptions": Call(package.AnySensorOptions),
        "as_cube": Call(package.as_cube, {"obj": sharp}),
        "open_cube": Call(package.open_cube, {"path": "scene.hdr"}),
        "open_scene": Call(package.open_scene, {"path": "scene.hdr"}),
        "list_arrays": Call(package.list_arrays, {"path": "scene.npz"}),
        "list_guides": Call(package.list_guides, {"path": "scene.npz", "cube": cube}),
        "load_weights": Call(package.load_weights, {"path": "a.pth"}),
        "create_model": Call(package.create_model, {"name": "lso-s", "bands": 4, "guide_bands": 3, "ratio": 4}),
        "analytic_srf": Call(analytic_srf, {"name": "rgb", "wavelengths": waves}),
        "read_srf": Call(read_srf, {"path": "a.csv", "wavelengths": waves}),
        "as_srf": Call(as_srf, {"srf": pair.srf, "wavelengths": waves, "bands": 4}),
        "evaluate": Call(package.evaluate, {"reference": cube, "estimate": sharp * 0.9, "ratio": 4}),
        "quality_maps": Call(quality_maps, {"reference": cube, "estimate": sharp * 0.9}),
        "judge": Call(package.judge, {"scene": known, "result": sharp * 0.9, "trial": False, **stop}, ("should_stop",)),
        "judgement_maps": Call(
            package.judgement_maps, {"scene": known, "result": sharp * 0.9, **stop}, ("should_stop",)
        ),
        "expected_error": Call(
            package.expected_error, {"scene": known, "result": sharp * 0.9, **stop}, ("should_stop",)
        ),
        "preview": Call(
            package.preview,
            {"scene": known, "at": (3.0, 5.0), "size": 8, "methods": ["glp"], "trial": False, "found": None, **stop},
            ("found", "should_stop"),
        ),
        "true_colour": Call(package.true_colour, {"cube": cube, "stretch": 2.0}),
        "composite": Call(package.composite, {"cube": cube, "wavelengths": (680.0, 520.0, 450.0), "stretch": 2.0}),
        "index_map": Call(package.index_map, {"cube": cube, "formula": "(R680 - R520) / (R680 + R520)"}),
        "component_colours": Call(package.component_colours, {"cube": cube, "method": "PCA", "stretch": 2.0}),
        "pca": Call(package.pca, {"cube": cube, "count": 2}),
        "mnf": Call(package.mnf, {"cube": cube, "count": 2}),
        **spectra_calls(cube),
        "simulate": Call(package.simulate, {"sharp": cube, "ratio": 4}),
        "sample_scene": Call(package.sample_scene, {"size": 16, "ratio": 4}),
        "reflectance": Call(package.reflectance, {"raw": low, "white": white}),
        "check_references": Call(package.check_references, {"raw": low, "white": white}),
        "find_references": Call(package.find_references, {"path": "scene.hdr"}),
        "align": Call(package.align, {"hsi": low, "guide": guide, **stop}, ("should_stop",)),
        "Alignment.load": Call(package.Alignment.load, {"path": "a.json"}),
        "calibrate": Call(package.calibrate, {"scene": pair}),
        "CalibratedScene": Call(package.CalibratedScene, {"scene": pair}),
        "choose": Call(package.choose, {"scene": known, **stop}, ("should_stop",)),
        "fuse": Call(package.fuse, {"hsi": low, "guide": guide, "model": "bicubic", "align": False, "tile": None}),
        "fuse a scene": Call(package.fuse, {"hsi": known, "model": "glp", **stop}, ("should_stop",)),
        "fit": Call(package.fit, {"scene": known, "steps": 1, **stop}, ("should_stop",)),
        "train": Call(
            package.train,
            {"scenes": several, "out": "run", "options": options, **stop},
            ("should_stop", "compile_network"),  # compiling takes minutes
        ),
        "train_any_sensor": Call(
            package.train_any_sensor,
            {"cubes": several, "out": "any", "validation": ["a"], "options": planes, **stop},
            ("should_stop",),
        ),
    }
    methods = (
        "spectrum",
        "read",
        "sample",
        "select",
        "crop",
        "replace",
        "save",
        "from_array",
    )
    for name in methods:
        method = getattr(cube, name, None)
        if callable(method):
            made[f"cube.{name}"] = Call(method, METHODS.get(name, {}))
    for name in ("replace", "check"):
        made[f"scene.{name}"] = Call(getattr(pair, name))
    return made


def spectra_calls(cube: Any) -> dict[str, Call]:
    """Return the calls about spectra."""
    import napari_specfusion as package

    picked = package.Spectrum.of_pixel(cube, 3, 4)
    one = {"spectrum": picked}
    return {
        "Spectrum": Call(package.Spectrum, {"values": picked.values, "wavelengths": picked.wavelengths}),
        "Spectrum.of_pixel": Call(package.Spectrum.of_pixel, {"cube": cube, "y": 1, "x": 2}),
        "region_spectra": Call(package.region_spectra, {"cube": cube, "labels": np.eye(24, dtype=np.uint8)}),
        "polygon_mask": Call(package.polygon_mask, {"corners": [(0, 0), (0, 5), (5, 5)], "height": 8, "width": 9}),
        "remove_continuum": Call(package.remove_continuum, one),
        "remove_baseline": Call(package.remove_baseline, one),
        "smooth": Call(package.smooth, {**one, "window": 3}),
        "derivative": Call(package.derivative, {**one, "window": 3}),
        "normalise": Call(package.normalise, {**one, "scale": "area"}),
        "resample": Call(package.resample, {**one, "wavelengths": [500.0, 600.0], "fwhm": [9.0, 9.0]}),
        "difference": Call(package.difference, {**one, "other": picked}),
        "rank_spectra": Call(package.rank_spectra, {**one, "library": [picked, picked]}),
        "angle_map": Call(package.angle_map, {"cube": cube, **one}),
        "read_library": Call(package.read_library, {"path": "spectra.csv"}),
        "save_spectra": Call(package.save_spectra, {"path": "b.sli", "spectra": [picked], "overwrite": True}),
    }


METHODS: dict[str, dict[str, Any]] = {
    "spectrum": {"y": 1, "x": 2},
    "save": {"path": "saved.npz", "overwrite": True},
    "from_array": {"array": np.ones((3, 4, 5))},
    "select": {"bands": [0, 2]},
    "crop": {"rows": slice(1, 9), "columns": slice(0, 5)},
}


class Stop:
    """Stops a call when it has run for a while."""

    def __init__(self) -> None:
        self.until = 0.0

    def __call__(self) -> bool:
        """Whether to stop."""
        return time.monotonic() > self.until


def write_files() -> None:
    """Write small files that the calls open into the working folder."""
    from napari_specfusion import as_cube

    cube = as_cube(np.arange(60.0).reshape(3, 4, 5), wavelengths=[400.0, 500.0, 600.0])
    for name in ("scene.hdr", "scene.npz"):
        cube.save(name, overwrite=True)
    Path("spectra.csv").write_text("nm,leaf\n400,1\n500,2\n", encoding="utf-8")
    Path("a.csv").write_text("nm,red\n400,1\n700,2\n", encoding="utf-8")


# --- what is wrong ------------------------------------------------------------------------------


def numbers(draw: random.Random) -> Any:
    """Return a number of some type."""
    value = draw.choice([0, 1, -1, 2, 3, 7, 64, 65, 1000, 10**6, -(10**6), 2**31, 2**63, 10**400, True, False])
    kind = draw.choice([int, int, float, np.float32, np.int8, np.uint64, Fraction, complex, str, np.float64])
    try:
        return kind(value)
    except (OverflowError, ValueError):
        return draw.choice([float("nan"), float("inf"), -float("inf"), 1e308, 1e-320, -0.0, np.float32("nan"), 2.5])


def texts(draw: random.Random) -> Any:
    """Return a text: a device, a name, a path."""
    devices = ["cuda", "cuda:99", "mps", "meta", "cpu:7", "xpu", "banana", "CPU", "auto", "cpu", "vulkan"]
    names = [
        "",
        " ",
        "detail",
        "subspace",
        "lso-s",
        "pan",
        "corner",
        "shift",
        "tags",
        "nm",
        "yxb",
        "nan",
        "zarr",
    ]
    paths = [
        "a\0b",
        "n" * 5000,
        "..",
        ".",
        "none/none.zarr",
        "x.zarr",
        "x.npz",
        "x.hdr",
        "a.csv",
        "scene.img",
        "\ud800",
    ]
    return draw.choice(draw.choice([devices, names, paths]))


def arrays(draw: random.Random) -> Any:
    """Return an array of some shape and type of numbers."""
    shape = draw.choice(
        [(), (0,), (1,), (3,), (4,), (2, 2), (3, 3), (4, 6), (4, 6, 6), (3, 24, 24), (0, 4, 4), (5, 2, 2)]
    )
    kinds = [
        "f4",
        "f8",
        "f2",
        "i1",
        "u2",
        "i8",
        "?",
        "c8",
        "U3",
        "S2",
        "O",
        "M8[s]",
        "m8[ns]",
        "V4",
        ">f4",
        "longdouble",
    ]
    array = np.zeros(shape, draw.choice(kinds))
    if array.dtype.kind in "fi" and array.size and draw.random() < 0.6:
        array = array + draw.choice([1.0, np.nan, np.inf, -1e30, 1e38])
    made = draw.choice(
        ["plain", "plain", "list", "masked", "dask", "unknown", "tensor", "strided", "frame", "broadcast"]
    )
    return ARRAYS[made](array)


def _unknown(array: Any) -> Any:
    import dask.array as da

    lazy = da.from_array(array, chunks=array.shape)
    return lazy[lazy.ravel() > 0] if array.dtype.kind in "fiu" and array.ndim == 1 else lazy


def _tensor(array: Any) -> Any:
    import torch

    try:
        return torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError):
        return array


def _dask(array: Any) -> Any:
    import dask.array as da

    return da.from_array(array, chunks=array.shape)


def _frame(array: Any) -> Any:
    try:
        import xarray
    except ImportError:
        return array
    return xarray.DataArray(array)


ARRAYS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda array: array,
    "list": lambda array: array.tolist(),
    "masked": lambda array: np.ma.masked_all_like(array),
    "dask": _dask,
    "unknown": _unknown,
    "tensor": _tensor,
    "strided": lambda array: array[..., ::-1] if array.ndim else array,
    "frame": _frame,
    "broadcast": lambda array: np.broadcast_to(array, (2, *array.shape)),
}


OBJECTS: list[Any] = [
    None, None, [], (), {}, set(), b"", b"bytes", [[1, 2], [3]], [1, "a"], (1,), (1, 2), (1.0, float("nan")),
    ("a", "b"), {"a": 1}, object(), int, range(3), slice(0, 2), slice(None, None, -1), Ellipsis, NotImplemented,
    Path("x.tif"), lambda *_, **__: True, len, Exception("no"), float, [None], [[]], {1: 2}, frozenset({1}),
    memoryview(b"ab"), bytearray(b"a"), np.float64, iter([1, 2]), type, Fraction(1, 3), Fraction(10**400), 1j,
]  # fmt: skip


def objects(draw: random.Random) -> Any:
    """Return something else."""
    return draw.choice(OBJECTS)


def wrong(draw: random.Random, known: Sequence[Any]) -> Any:
    """Return a value for an argument: of another type, another range, or of another argument."""
    kind = draw.random()
    if kind < 0.3:
        return numbers(draw)
    if kind < 0.5:
        return texts(draw)
    if kind < 0.7:
        return arrays(draw)
    return draw.choice(known) if kind < 0.8 else objects(draw)


def _yes(*_: Any) -> bool:
    return True


def arguments(case: fuzzing.Case, call: Call, known: Sequence[Any]) -> dict[str, Any]:
    """Return the arguments of a case."""
    draw = random.Random(str(case))
    names = [
        parameter.name
        for parameter in inspect.signature(call.function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in call.kept
    ]
    given = dict(call.good)
    for name in draw.sample(names, min(len(names), draw.choice((1, 1, 1, 2, 3)))):
        given[name] = wrong(draw, known)
        if name in ("progress", "should_stop") and callable(given[name]):
            given[name] = _yes  # what a caller's own function raises is the caller's
    return given


# --- one case ---------------------------------------------------------------------------------


def start(folder: Path, kinds: Sequence[str]) -> Any:
    """Make what the calls need; return what runs a case."""
    inner = folder / "outer" / "inner"  # so that ".." is a folder of this run too
    inner.mkdir(parents=True, exist_ok=True)
    os.chdir(inner)
    write_files()
    made = calls()
    known = [value for call in made.values() for name, value in call.good.items() if name not in call.kept]

    def attempt(case: fuzzing.Case) -> tuple[str, str]:
        call = made[case.kind]
        given = arguments(case, call, known)
        for value in given.values():
            if isinstance(value, Stop):
                value.until = time.monotonic() + STOP_SECONDS
        verdict, details = fuzzing.watched(lambda: use(call.function(**given)), 0, LIMITS, "answered")
        if details:
            changed = {name: short(value) for name, value in given.items() if value is not call.good.get(name)}
            details = f"{changed} {details}"
        return verdict, details

    return attempt


def use(answer: Any) -> None:
    """Use an answer a little: what is lazy may fail later."""
    import napari_specfusion as package

    repr(answer)
    if isinstance(answer, package.Cube):
        answer.spectrum(0, 0)
    elif isinstance(answer, package.Scene):
        answer.check()


def short(value: Any) -> str:
    """Return a value as text for a finding."""
    try:
        text = f"{type(value).__name__} {value!r}"
    except Exception:
        text = type(value).__name__
    return " ".join(text.encode("ascii", "backslashreplace").decode().split())[:100]


KINDS = (
    "Cube", "Scene", "Psf", "Srf", "TrainingOptions", "AnySensorOptions", "as_cube", "open_cube", "open_scene",
    "list_arrays", "list_guides", "load_weights", "create_model", "analytic_srf", "read_srf", "as_srf", "evaluate",
    "quality_maps",
    "judge", "judgement_maps", "expected_error", "preview",
    "true_colour", "composite", "index_map", "component_colours", "pca", "mnf",
    "Spectrum", "Spectrum.of_pixel", "region_spectra", "polygon_mask", "remove_continuum", "remove_baseline", "smooth",
    "derivative", "normalise", "resample", "difference", "rank_spectra", "angle_map", "read_library", "save_spectra",
    "simulate", "sample_scene", "reflectance", "check_references", "find_references", "align", "Alignment.load",
    "calibrate", "CalibratedScene", "choose", "fuse", "fuse a scene", "fit", "train", "train_any_sensor",
    "cube.spectrum", "cube.read", "cube.sample", "cube.select", "cube.crop", "cube.replace", "cube.save",
    "cube.from_array", "scene.replace", "scene.check",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run what the command line says; 1 if a call did what it must not."""
    with tempfile.TemporaryDirectory() as name:
        found, _ = fuzzing.main(start, KINDS, LIMITS, Path(name), __doc__ or "", argv)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
