from __future__ import annotations

import json
import math
import subprocess
import sys
from functools import reduce
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion import open_cube, sample_scene
from napari_specfusion.__main__ import main
from napari_specfusion.cli import app as face
from napari_specfusion.cli import check

if TYPE_CHECKING:
    from pathlib import Path

SIZE, RATIO = 64, 4


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of a pair and its reference."""
    folder = tmp_path_factory.mktemp("pair")
    scene = sample_scene(SIZE, RATIO)
    assert scene.reference is not None
    files = {}
    for name, cube in (("cube", scene.hsi), ("guide", scene.guide), ("reference", scene.reference)):
        files[name] = str(folder / f"{name}.npy")
        np.save(files[name], cube.read())
    return files


def test_fuse_writes_a_cube_that_evaluate_scores(
    pair: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fused.zarr"
    command = ["fuse", pair["cube"], pair["guide"], "--out", str(out), "--model", "glp", "--ratio", "4"]
    assert main([*command, "--tile", "32"]) == 0
    assert open_cube(out).shape == (31, SIZE, SIZE)
    assert "written to" in capsys.readouterr().out

    assert main(["evaluate", pair["reference"], str(out), "--ratio", "4"]) == 0
    table = capsys.readouterr().out
    assert "PSNR" in table
    assert str(out) in table

    assert main(command) == 2
    assert "error: " in capsys.readouterr().err
    assert main([*command, "--overwrite", "--tile", "whole"]) == 0


def test_scores_can_be_json(pair: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", pair["reference"], pair["reference"], "--ratio", "4", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)[pair["reference"]]
    # an infinite PSNR is no number of JSON
    assert scores["psnr"] is None and scores["sam"] == 0 and scores["ssim"] == pytest.approx(1)
    assert len(scores["bands"]["scc"]) == 31


def test_judge_needs_no_reference(pair: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for method in ("bicubic", "glp"):
        names.append(str(tmp_path / f"{method}.zarr"))
        main(["fuse", pair["cube"], pair["guide"], "--out", names[-1], "--model", method])
    capsys.readouterr()
    assert main(["judge", pair["cube"], pair["guide"], *names]) == 0
    table = capsys.readouterr().out
    assert "HQNR" in table and "Overshoot [%]" in table and all(name in table for name in names)
    # 16 x 16 pixels of a cube are too few for a trial
    assert f"{names[1]}: No trial one scale down" in table and "Trial PSNR" not in table

    assert main(["judge", pair["cube"], pair["guide"], *names, "--no-trial", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged[names[1]]["hqnr"] > judged[names[0]]["hqnr"]
    assert judged[names[0]]["reduced"] is None and judged[names[0]]["note"] == ""
    assert len(judged[names[0]]["bands"]["cube_residual"]) == 31

    out = tmp_path / "error.tif"
    assert main(["judge", pair["cube"], pair["guide"], names[1], "--no-trial", "--map", str(out)]) == 0
    assert open_cube(out).shape == (1, SIZE, SIZE)
    assert main(["judge", pair["cube"], pair["guide"], *names, "--map", str(out)]) == 2
    assert "give one result" in capsys.readouterr().err


def test_fuse_says_what_it_chose(pair: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuse", pair["cube"], pair["guide"], "--model", "auto", "--out", str(tmp_path / "fused.zarr")]) == 0
    assert "was chosen" in capsys.readouterr().out


def test_convert_writes_another_format(
    pair: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["convert", pair["cube"], str(tmp_path / "cube.hdr"), "--interleave", "bip"]
    assert main(command) == 0
    assert "written to" in capsys.readouterr().out
    np.testing.assert_array_equal(open_cube(tmp_path / "cube.hdr").read(), np.load(pair["cube"]))
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_convert_names_an_array_and_its_axes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    values = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype("u2")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["first"], file["second"] = np.zeros((3, 3, 3)), values
    np.savez(tmp_path / "x.npz", first=np.zeros((9, 9, 9)), second=values)
    (tmp_path / "nm.txt").write_text("400 500 600 700 800 900", encoding="utf-8")
    command = ["convert", str(tmp_path / "x.h5"), str(tmp_path / "x.hdr")]
    assert main(command) == 2
    assert "Name one with" in capsys.readouterr().err
    assert main([*command, "--array", "second", "--axes", "yxb", "--wavelengths", str(tmp_path / "nm.txt")]) == 0
    cube = open_cube(tmp_path / "x.hdr")
    np.testing.assert_array_equal(cube.data, values.transpose(2, 0, 1))
    assert cube.wavelengths is not None and cube.wavelengths[-1] == 900
    assert main(["convert", str(tmp_path / "x.npz"), str(tmp_path / "y.hdr"), "--array", "second"]) == 0
    np.testing.assert_array_equal(open_cube(tmp_path / "y.hdr").data, values)
    assert main(["convert", str(tmp_path / "nm.txt"), str(tmp_path / "z.hdr"), "--axes", "byx"]) == 2


def test_check_tells_in_words(pair: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", pair["cube"], pair["guide"]]) == 0
    told = capsys.readouterr().out
    assert "belong together" in told
    assert "PSF" in told


def test_check_fails_for_strangers(pair: dict[str, str], tmp_path: Path) -> None:
    noise = tmp_path / "noise.npy"
    np.save(noise, np.random.default_rng(0).random((3, SIZE, SIZE), np.float32))
    assert main(["check", pair["cube"], str(noise)]) == 1


def test_an_error_is_one_line_and_leaves_nothing(
    pair: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fused.zarr"
    wrong = [
        ["fuse", pair["guide"], pair["cube"], "--out", str(out)],
        ["fuse", str(tmp_path / "none.hdr"), pair["guide"], "--out", str(out)],
        ["fuse", pair["cube"], pair["guide"], "--out", str(out), "--model", "magic"],
        ["fuse", pair["cube"], pair["guide"], "--out", str(out), "--model", str(tmp_path / "none.safetensors")],
        ["fuse", pair["cube"], pair["guide"], "--out", str(tmp_path / "fused.tif")],
        ["fuse", pair["cube"], pair["guide"], "--out", str(tmp_path / "no" / "fused.zarr")],
        ["fit", pair["cube"], pair["guide"], "--out", str(tmp_path / "weights.bin")],
        ["evaluate", pair["reference"], pair["cube"], "--ratio", "4"],
        ["judge", pair["cube"], pair["guide"], pair["cube"]],
        ["demo", "--headless", "--size", "8", "--out", str(tmp_path)],
    ]
    for command in wrong:
        assert main(command) == 2, command
        told = capsys.readouterr().err.splitlines()
        assert [line for line in told if line.startswith("error: ")] == told[-1:], command
        assert not any(tmp_path.iterdir()), command


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["melt"],
        ["fuse", "a", "b"],
        ["fuse", "a", "b", "--out", "c.zarr", "--ratio", "four"],
        ["fuse", "a", "b", "--out", "c.zarr", "--tile", "small"],
        ["fuse", "a", "b", "--out", "c.zarr", "--precision", "int8"],
        ["fuse", "a", "b", "c", "--out", "c.zarr"],
        ["fuse", "a", "b", "--out", "c.zarr", "--no-such-option"],
        ["fit", "a", "b", "--out", "w.safetensors", "--minutes", "-1"],
        ["fit", "a", "b", "--out", "w.safetensors", "--minutes", "nan"],
        ["evaluate", "a", "--ratio", "4"],
        ["judge", "a", "b"],
        ["reflectance", "a", "--out", "b.hdr", "--times", "1"],
        ["reflectance", "a", "--out", "b.hdr", "--times", "1", "-1"],
        ["bench"],
        ["bench", "nothing"],
        ["bench", "cave", "--data", "x", "--ratio", "1"],
        ["bench", "cave", "--data", "x", "--method", "magic"],
        ["bench", "airborne", "--data", "x", "--noise", "35"],
    ],
)
def test_a_wrong_line_shows_the_usage(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("usage: napari-specfusion")
    assert shown.err.splitlines()[-1].startswith("error: ")
    assert not shown.out


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "open_pair", interrupted)
    assert main(["check", "a", "b"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("worth", [True, False])
def test_fit_writes_weights_that_fuse_takes(worth: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_specfusion.training.fitting.MIN_GAIN", -math.inf if worth else math.inf)
    scene = sample_scene(192, RATIO)
    cube, guide = str(tmp_path / "cube.npy"), str(tmp_path / "guide.npy")
    np.save(cube, scene.hsi.read())
    np.save(guide, scene.guide.read())
    weights, out = tmp_path / "weights.safetensors", tmp_path / "fused.zarr"
    command = ["fit", cube, guide, "--out", str(weights), "--minutes", "0.04"]
    assert main(command) == int(not worth)
    assert weights.exists() == worth
    if worth:
        assert main(command) == 2
        assert main(["fuse", cube, guide, "--out", str(out), "--model", str(weights)]) == 0
        assert open_cube(out).shape == (31, 192, 192)


@pytest.mark.parametrize(
    "command", [*face.COMMANDS, *(f"bench {name}" for name in ("cave", "airborne", "align", "network", "envi", "io"))]
)
def test_help_explains_every_argument(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: napari-specfusion {command}" in shown
    if command != "bench":
        app = reduce(lambda parent, name: parent[name], command.split(), face.app)
        arguments = app.assemble_argument_collection(parse_docstring=True)
        assert arguments
        for argument in arguments.filter_by(show=True):
            assert argument.parameter.help, argument.name
            assert argument.names[0].lstrip("-").upper() in shown.upper()


def test_the_list_of_commands_says_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in face.COMMANDS:
        assert f" {name} " in shown
        first = str(face.app[name].help).splitlines()[0].split()[:3]
        assert " ".join(first) in shown


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("napari-specfusion")


@pytest.mark.parametrize("command", ["--help", "fuse --help", "train --help", "bench cave --help", "melt"])
def test_asking_for_help_loads_neither_torch_nor_qt(command: str) -> None:
    code = (
        "import sys; from napari_specfusion.cli.app import main; main(sys.argv[1:]); "
        "sys.exit('torch' in sys.modules or 'qtpy' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, *command.split()], capture_output=True, check=False).returncode == 0
    )


def two_cubes(folder: Path) -> Path:
    """Write two sharp cubes to a folder of their own."""
    made = folder / "cubes"
    made.mkdir()
    reference = sample_scene(SIZE, RATIO).reference
    assert reference is not None
    for name in ("one", "other"):
        reference.save(made / f"{name}.tif")
    return made


def test_train_for_several_ratios_writes_weights_that_fuse_takes(
    pair: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = two_cubes(tmp_path), tmp_path / "run"
    command = ["train", "--data", str(folder), "--validation", "other", "--out", str(run), "--base", "subspace"]
    command += ["--ratios", "2", "4", "--protocol", "lso", "--one-scale", "--loss", "huber"]
    assert main([*command, "--steps", "1", "--patch", "16", "--batch", "1"]) == 0
    assert "on the validation scenes after 1 steps; subspace alone" in capsys.readouterr().out
    weights = str(run / "weights.safetensors")
    out = str(tmp_path / "fused.zarr")
    assert main(["fuse", pair["cube"], pair["guide"], "--model", weights, "--ratio", "4", "--out", out]) == 0
    assert open_cube(out).shape == (31, SIZE, SIZE)


def test_train_any_writes_weights_that_fuse_takes(
    pair: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = two_cubes(tmp_path), tmp_path / "run"
    command = ["train-any", "--data", str(folder), "--validation", "other", "--out", str(run), "--base", "subspace"]
    command += ["--ratio", "2", "4", "--guide", "rgb", "--pairs", "2", "--steps", "2", "--patch", "16", "--batch", "1"]
    assert main(command) == 0
    assert "over subspace on the validation cubes after 2 steps" in capsys.readouterr().out
    weights = str(run / "weights.safetensors")
    out = str(tmp_path / "fused.zarr")
    assert main(["fuse", pair["cube"], pair["guide"], "--model", weights, "--ratio", "4", "--out", out]) == 0
    assert open_cube(out).shape == (31, SIZE, SIZE)
