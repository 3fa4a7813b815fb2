from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion import open_cube, sample_scene
from napari_specfusion.__main__ import main
from napari_specfusion.cli import app as face
from napari_specfusion.cli import commands

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
        ["fit", "a", "b", "--out", "w.safetensors", "--minutes", "-1"],
    ],
)
def test_a_wrong_line_shows_the_usage(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "check_files", interrupted)
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


def test_the_demo_goes_to_napari_only_where_there_is_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "posix" or face.sys.platform == "darwin":
        pytest.skip("there is a display always")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not face._has_window()
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(face, "find_spec", lambda name: None)
    assert not face._has_window()


def test_bench_hands_its_options_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "cave", "--help"])
    assert stop.value.code == 0
    assert "--protocol" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "value"), [("4", 4), ("3.5", 3.5), ("10/3", 10 / 3)])
def test_ratios_are_read_exactly(text: str, value: float) -> None:
    assert float(commands.ratio(text)) == value
