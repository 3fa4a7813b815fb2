from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_specfusion as sf
from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.errors import FusionError
from napari_specfusion.fusion.recipe import Origin, Recipe
from napari_specfusion.fusion.recipe_record import read_recipe, recipe_metadata
from napari_specfusion.samples.scene import sample_scene

WHERE = Path("data").absolute()
# odd names, as a header with braces or an XML file could spoil them
FULL = Recipe(
    'low "res" {cube} <a & b>',
    "g\u00fcide; 2",
    Origin(
        WHERE / "ra{w}.mat",
        {"array": "Y", "bands": [1, 2], "reader": None, "linear": True},
        WHERE / "nm.txt",
        (WHERE / "white.hdr", None),
        0.5,
    ),
    Origin(WHERE / "p.he5", part="guide", foreign=True),
    "weights",
    2.5,
    WHERE / "w.pth",
    3.5,
    "tags",
    False,
    256,
    "cuda:1",
    WHERE / "f.zarr",
    True,
    "float64",
    1e-4,
)


def test_a_recipe_survives_as_plain_data() -> None:
    stored = json.loads(json.dumps(recipe_metadata(FULL)))
    assert read_recipe(stored) == FULL
    assert read_recipe(recipe_metadata(Recipe("a", "b"))) == Recipe("a", "b")


def test_options_that_are_arrays_become_lists_and_paths_whole() -> None:
    origin = Origin(Path("a.npz"), {"bands": np.array([1, 2]), "size": (3, np.int64(4)), "data": Path("b.raw")})
    read = read_recipe(json.loads(json.dumps(recipe_metadata(Recipe("a", "b", origin)))))
    assert read is not None and read.cube is not None
    assert read.cube.path == Path("a.npz").absolute()
    assert read.cube.options == {"bands": [1, 2], "size": [3, 4], "data": str(Path("b.raw").absolute())}


@pytest.mark.parametrize("ending", ["f.zarr", "f.hdr", "f.tif", "f.ome.tif", "f.npz", "f.mat"])
def test_every_format_keeps_it(tmp_path: Path, ending: str) -> None:
    cube = sample_scene(64).hsi
    cube.replace(metadata={"method": "glp", **recipe_metadata(FULL)}).save(tmp_path / ending)
    assert read_recipe(sf.open_cube(tmp_path / ending).metadata) == FULL


# --- what a file of unknown origin may hold -----------------------------------------


def damaged(path: str, value: Any) -> dict[str, Any]:
    stored = copy.deepcopy(json.loads(json.dumps(recipe_metadata(FULL))))
    *parents, last = path.split(".")
    at = stored["recipe"]
    for name in parents:
        at = at[name]
    at[last] = value
    return stored


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 2),
        ("version", None),
        ("cube_name", 3),
        ("guide_name", "x" * 5000),
        ("method", ["auto"]),
        ("ratio", float("nan")),
        ("ratio", float("inf")),
        ("ratio", -4),
        ("ratio", True),
        ("minutes", "5"),
        ("scale", {}),
        ("aligning", "exec"),
        ("aligning", []),
        ("trust", 1),
        ("tile", 0),
        ("tile", "all"),
        ("tile", [256]),
        ("device", None),
        ("weights", 5),
        ("out", {"a": 1}),
        ("cube", "cube.hdr"),
        ("cube.path", None),
        ("cube.options", []),
        ("cube.options", {"x=1); import os; os.system('true'); f(y": 1}),
        ("cube.options", {"lambda": 1}),
        ("cube.options", {"size": float("inf")}),
        ("cube.options", {"size": {"a": 1}}),
        ("cube.options", {"size": [[[[1]]]]}),
        ("cube.options", {"size": [1] * 30_000}),
        ("cube.references", "white.hdr"),
        ("cube.references", ["a", "b", "c"]),
        ("cube.part", "__class__"),
        ("cube.foreign", "yes"),
        ("cube.panel", -1),
    ],
)
def test_a_damaged_record_is_none(path: str, value: Any) -> None:
    assert read_recipe(damaged(path, value)) is None


@pytest.mark.parametrize("stored", [{}, {"recipe": None}, {"recipe": "x"}, {"recipe": []}, {"recipe": {"version": 1}}])
def test_no_record_is_none(stored: dict[str, Any]) -> None:
    assert read_recipe(stored) is None


def test_entries_that_are_not_known_are_passed_over() -> None:
    assert read_recipe(damaged("mood", "good")) == FULL


@pytest.mark.parametrize("text", ["'); import os #", "\n\nimport os\n", '"""', "\\", "\u2028import os", "{0}"])
def test_a_script_of_a_record_holds_nothing_but_the_calls(text: str) -> None:
    stored = damaged("cube_name", text)
    for path in ("method", "device", "weights", "cube.path"):
        *parents, last = path.split(".")
        at = stored["recipe"]
        for name in parents:
            at = at[name]
        at[last] = text
    read = read_recipe(stored)
    assert read is not None
    body = ast.parse(read.script()).body
    assert isinstance(body[0], ast.Import) and body[0].names[0].name == "napari_specfusion"
    assert all(isinstance(line, ast.Assign) for line in body[1:])
    called = {ast.unparse(node.func) for line in body for node in ast.walk(line) if isinstance(node, ast.Call)}
    assert called <= {"sf.open_cube", "sf.open_scene", "sf.reflectance", "sf.align", "sf.fuse"}


# --- what a run keeps ---------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    scene = sample_scene(64)
    scene.hsi.replace(name="cube").save(tmp_path / "cube.hdr")
    scene.guide.replace(name="guide").save(tmp_path / "guide.npz")
    return tmp_path / "cube.hdr", tmp_path / "guide.npz"


def test_a_result_on_disk_tells_the_call_that_made_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    sf.fuse(*files, model="glp", ratio=4, tile=32, device="cpu", scale=1e-4, out=tmp_path / "f.zarr")
    cube = sf.open_cube(tmp_path / "f.zarr")
    read = read_recipe(cube.metadata)
    assert read == Recipe(
        "cube", "guide", Origin(files[0]), Origin(files[1]), "glp", ratio=4, tile=32, device="cpu",
        out=tmp_path / "f.zarr", scale=1e-4,
    )  # fmt: skip
    assert RunRecord.read(cube.metadata) == RunRecord("glp", "cube", "guide", 4)
    found: dict[str, Any] = {}
    exec(read.script().replace("f.zarr", "again.zarr"), found)
    assert np.array_equal(found["fused"].read(), cube.read())


def test_wavelengths_of_the_call_are_kept(files: tuple[Path, Path]) -> None:
    given = np.linspace(400, 900, 31)
    read = read_recipe(sf.fuse(*files, model="bicubic", wavelengths=given, align=False).metadata)
    assert read is not None and read.cube is not None and read.cube.options == {"wavelengths": given.tolist()}
    assert (read.aligning, read.trust) == ("off", False)


def test_a_run_on_images_in_memory_keeps_what_it_is_given() -> None:
    scene = sample_scene(64).replace(reference=None)
    assert read_recipe(sf.fuse(scene, model="bicubic").metadata) is None
    assert read_recipe(sf.fuse(scene, model="bicubic", recipe=Recipe("a", "b")).metadata) == Recipe("a", "b")
    with pytest.raises(FusionError, match="give a Recipe"):
        sf.fuse(scene, model="bicubic", recipe="x")  # type: ignore[arg-type]
