"""Pipes never end and links lead anywhere: what opens files refuses the first and does not follow the others."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.alignment.alignment import Alignment
from napari_specfusion.errors import OutputError, ReadError, SpecFusionError
from napari_specfusion.files import check_file, check_inside
from napari_specfusion.io import list_arrays, open_cube, open_scene
from napari_specfusion.io.metadata.wavelength_file import read_wavelengths
from napari_specfusion.io.registry import READERS
from napari_specfusion.radiometry import reflectance
from napari_specfusion.sensor.srf import read_srf
from napari_specfusion.training.folder import TrainingFolder
from napari_specfusion.weights import load_weights
from napari_specfusion.weights.files import read_card

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
SECONDS = 30.0


def answer(call: Callable[[], Any]) -> BaseException | None:
    """Return the error of a call that must end; where it waits for ever, only its thread is lost."""
    caught: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            caught.append(error)
        else:
            caught.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert caught, "it waits for ever"
    return caught[0]


READS: dict[str, Callable[[Path], Any]] = {
    **{f"reader {key}": lambda path, key=key: open_cube(path, reader=key) for key in READERS},
    "scene": open_scene,
    "arrays": list_arrays,
    "spectral response": lambda path: read_srf(path, [400.0, 500.0]),
    "wavelengths": read_wavelengths,
    "wavelengths of a cube": lambda path: open_cube(_npy(path), wavelengths=path),
    "weights": load_weights,
    "card": read_card,
    "alignment": Alignment.load,
    "capture": lambda path: reflectance(path, 1.0),
}


def _npy(path: Path) -> Path:
    np.save(path.parent / "cube.npy", np.ones((2, 3, 4)))
    return path.parent / "cube.npy"


@needs_pipes
@pytest.mark.parametrize("name", ["a.tif", "a.hdr", "a.nc", "a.safetensors", "a.csv"])
@pytest.mark.parametrize("read", READS)
def test_a_pipe_is_refused_by_every_reader(read: str, name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    found = answer(lambda: READS[read](tmp_path / name))
    assert isinstance(found, SpecFusionError)
    assert "is a pipe" in str(found)


@needs_pipes
def test_a_pipe_instead_of_a_training_state(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    os.mkfifo(tmp_path / "state.pt")
    assert isinstance(answer(folder.read_state), OutputError)


@needs_pipes
@pytest.mark.parametrize("key", READERS)
def test_pipes_beside_a_file(key: str, tmp_path: Path, make_file: Callable[[str], Path]) -> None:
    path = make_file(key)
    folder = path if path.is_dir() else path.parent
    for ending in (".hdr", ".img", ".tfw", ".wld", ".aux.xml", ".ovr", ".png", ".msk", ".prj"):
        for name in (f"{path.stem}{ending}", f"{path.name}{ending}"):
            if not (folder / name).exists():
                os.mkfifo(folder / name)
    found = answer(lambda: open_cube(path).spectrum(0, 0))
    assert found is None or isinstance(found, SpecFusionError)


@pytest.mark.parametrize("key", READERS)
def test_links_out_of_the_folder_are_not_followed(
    key: str, tmp_path: Path, make_file: Callable[[str], Path], link: Callable[[Path, Path], None]
) -> None:
    path = make_file(key)
    opened = open_cube(path).spectrum(0, 0)
    away = tmp_path.with_name(f"{tmp_path.name}-away")
    away.mkdir()
    moved = [p for p in sorted(tmp_path.rglob("*")) if p.is_file() and p != path]
    for number, file in enumerate(moved):
        target = away / f"{number}{file.suffix}"
        file.rename(target)
        link(file, target)
    if moved:
        with pytest.raises(ReadError, match="out of the folder of"):
            open_cube(path).spectrum(0, 0)
    else:  # a file alone: what the user names may be a link
        path.rename(away / path.name)
        link(path, away / path.name)
        np.testing.assert_array_equal(open_cube(path).spectrum(0, 0), opened)


def test_what_lies_inside(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    real, seen = tmp_path / "real", tmp_path / "seen"
    for folder in (real, seen):
        folder.mkdir()
    for name in ("a.hdr", "a.img", "b.img"):
        (real / name).write_bytes(b"x")
    link(seen / "a.hdr", real / "a.hdr")
    link(seen / "a.img", real / "a.img")
    check_inside(seen / "a.img", seen / "a.hdr")  # both lie in the folder of the header that was opened
    check_inside(real / "b.img", real)
    with pytest.raises(ReadError, match=r"leads out of the folder of a\.hdr, and such links are not followed; copy"):
        check_inside(tmp_path / "c.img", real / "a.hdr")
    link(seen / "loop", seen / "loop")
    with pytest.raises(ReadError, match="loop"):
        check_file(seen / "loop")
