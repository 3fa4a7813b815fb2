"""Errors that name the extra which is missing."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion import Cube, SpecFusionError, open_cube
from napari_specfusion.cli.app import main
from napari_specfusion.errors import EXTRAS, needs_extra

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURES = {"scene.h5": b"\x89HDF\r\n\x1a\n", "scene.mat": b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n"}


def opens(name: str) -> Callable[[Path], object]:
    def attempt(folder: Path) -> object:
        (folder / name).write_bytes(SIGNATURES.get(name, b"") + bytes(600))
        return open_cube(folder / name)

    return attempt


def saves_matlab(folder: Path) -> object:
    return Cube.from_array(np.zeros((2, 3, 4), np.float32)).save(folder / "out.mat", version="7.3")


@pytest.mark.parametrize(
    ("package", "attempt"),
    [
        ("h5py", opens("scene.h5")),
        ("h5py", opens("scene.mat")),
        ("h5py", saves_matlab),
        ("rasterio", opens("scene.pix")),
    ],
)
def test_a_missing_extra_is_named(
    package: str, attempt: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SpecFusionError) as caught:
        attempt(tmp_path)
    assert f'pip install "napari-specfusion[{EXTRAS[package]}]"' in str(caught.value)
    assert not (tmp_path / "out.mat").exists()


def test_a_missing_window_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setitem(sys.modules, "napari", None)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--size", "8"]) == 2  # too small
    assert needs_extra("napari") in capsys.readouterr().err


def test_every_extra_has_its_words() -> None:
    file = Path(__file__).parent.parent / "pyproject.toml"
    if not file.is_file():
        pytest.skip("pyproject.toml is not part of this copy")
    assert set(EXTRAS.values()) == set(
        tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )
