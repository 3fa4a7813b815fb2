from __future__ import annotations

import ast
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest

import napari_specfusion as sf
from napari_specfusion.errors import FusionError, SpecFusionError
from napari_specfusion.fusion.recipe import Origin, Recipe
from napari_specfusion.samples.scene import sample_scene

FILES = {"cube": Origin(Path("cube.hdr")), "guide": Origin(Path("guide.tif"))}


def calls(script: str) -> dict[str, str]:
    """Return what each variable of a script is given, as text."""
    return {
        node.targets[0].id: ast.unparse(node.value)  # type: ignore[attr-defined]
        for node in ast.parse(script).body
        if isinstance(node, ast.Assign)
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "sf.fuse(cube, guide, model='auto')"),
        ({"method": "detail", "ratio": 4.0}, "sf.fuse(cube, guide, model='detail', ratio=4)"),
        ({"ratio": 2.5, "tile": 256}, "sf.fuse(cube, guide, model='auto', ratio=2.5, tile=256)"),
        ({"tile": None, "device": "cuda"}, "sf.fuse(cube, guide, model='auto', tile=None, device='cuda')"),
        (
            {"out": Path("f.zarr"), "overwrite": True},
            "sf.fuse(cube, guide, model='auto', out='f.zarr', overwrite=True)",
        ),
        (
            {"precision": "float64", "scale": 1e-4},
            "sf.fuse(cube, guide, model='auto', precision='float64', scale=0.0001)",
        ),
        ({"aligning": "tags"}, "sf.fuse(scene, model='auto')"),
        ({"aligning": "off", "trust": False}, "sf.fuse(scene, model='auto', align=False)"),
        ({"method": "fit", "device": "cpu"}, "sf.fuse(scene, model=model, device='cpu')"),
        ({"method": "weights", "weights": Path("w.pth")}, "sf.fuse(scene, model=model)"),
    ],
)
def test_only_what_differs_from_the_usual_is_named(fields: dict[str, Any], expected: str) -> None:
    assert calls(Recipe("a", "b", **FILES, **fields).script())["fused"] == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"aligning": "tags", "ratio": 4.0}, "sf.align(cube, guide, start='tags', ratio=4)"),
        ({"aligning": "off"}, "sf.Scene(cube, guide)"),
        ({"aligning": "hand"}, "sf.Alignment.load('alignment.json').scene(cube, guide)"),
        ({"trust": False}, "sf.align(cube, guide)"),
    ],
)
def test_each_way_to_align_makes_a_scene(fields: dict[str, Any], expected: str) -> None:
    assert calls(Recipe("a", "b", **FILES, **fields).script())["scene"] == expected


def test_fitting_and_weights_make_a_model() -> None:
    fitted = calls(Recipe("a", "b", **FILES, method="fit", minutes=2.5, device="cpu").script())
    assert fitted["model"] == "sf.fit(scene, minutes=2.5, device='cpu')"
    loaded = calls(Recipe("a", "b", **FILES, method="weights", weights=Path("w.pth")).script())
    assert loaded["model"] == "sf.load_weights('w.pth', ratio=scene.factor)"
    with pytest.raises(FusionError, match="choose one"):
        Recipe("a", "b", **FILES, method="weights").script()


@pytest.mark.parametrize(
    "path",
    [r"C:\new\table's.hdr", 'a\n\'"quoted".hdr', "\u6e2c\u8a66 {x}.tif", "end\\"],
    ids=["windows", "quotes", "text", "end"],
)
def test_any_path_and_name_survive(path: str) -> None:
    windows = Origin(PureWindowsPath(path) if "C:" in path else Path(path))  # type: ignore[arg-type]
    script = Recipe(path, path, windows, None).script()
    given = ast.parse(calls(script)["cube"]).body[0].value.args[0].value  # type: ignore[attr-defined]
    assert given == path
    # a name is only in a comment, which must end with its line
    assert calls(script)["guide"] == "..."


def test_the_options_of_the_reader_are_kept() -> None:
    origin = Origin(
        Path("raw.mat"),
        {"array": "Y", "size": (3, 4), "axes": np.str_("yxb"), "bands": np.array([1, 2])},
        wavelengths=Path("nm.txt"),
        references=(Path("white.hdr"), None),
        panel=0.5,
    )
    assert ast.unparse(ast.parse(origin.expression())) == (
        "sf.reflectance(sf.open_cube('raw.mat', array='Y', size=(3, 4), axes='yxb', bands=[1, 2], "
        "wavelengths='nm.txt'), 'white.hdr', None, panel=0.5)"
    )
    assert Origin(Path("p.he5"), part="guide").expression() == "sf.open_scene('p.he5').guide"
    foreign = Recipe("a", "b", Origin(Path("a.tif"), foreign=True), FILES["guide"]).script()
    assert "another reader" in foreign and calls(foreign)["cube"] == "sf.open_cube('a.tif')"


@pytest.mark.parametrize("fields", [{}, {"aligning": "off", "trust": False}, {"out": "fused.zarr"}])
def test_a_script_runs_and_fuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    scene = sample_scene(64, 4)
    scene.hsi.save(tmp_path / "it's.hdr")
    scene.guide.save(tmp_path / "guide.npz")
    fields = {key: Path(value) if key == "out" else value for key, value in fields.items()}
    recipe = Recipe("a", "b", Origin(Path("it's.hdr")), Origin(Path("guide.npz")), method="glp", ratio=4, **fields)
    found: dict[str, Any] = {}
    exec(compile(recipe.script(), "script", "exec"), found)
    expected = sf.fuse(sf.Scene(scene.hsi, scene.guide, 4), model="glp")
    assert np.allclose(found["fused"].read(), expected.read(), atol=1e-5)
    assert (tmp_path / "fused.zarr").exists() == ("out" in fields)


def test_a_script_with_a_gap_says_so_when_it_runs() -> None:
    with pytest.raises(SpecFusionError):
        exec(compile(Recipe("a", "b").script(), "script", "exec"), {})
