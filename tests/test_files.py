"""Only regular files and folders are read, text only up to a limit, and no link is followed out of its folder."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_specfusion import memory
from napari_specfusion.errors import OutputError, ReadError, SpecFusionError
from napari_specfusion.files import as_path, text_of
from napari_specfusion.io import open_cube
from napari_specfusion.sensor.srf import read_srf


@pytest.mark.parametrize("path", [3, None, b"a", ["a"], "", "a\0b", "n" * 5000, 1.5])
def test_what_is_not_a_path_is_told(path: Any) -> None:
    with pytest.raises(ReadError, match=r"path"):
        as_path(path)
    with pytest.raises(OutputError):
        as_path(path, OutputError)
    with pytest.raises(SpecFusionError):
        open_cube(path)


def test_a_path_stays_as_it_is(tmp_path: Path) -> None:
    assert as_path("a/b.tif") == as_path(Path("a/b.tif")) == Path("a/b.tif")
    assert as_path(tmp_path) == tmp_path


def test_text_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + b"x" * 97)
    assert text_of(tmp_path / "a.csv", 100) == "x" * 97
    with pytest.raises(ReadError, match="more than 99 bytes"):
        text_of(tmp_path / "a.csv", 99)
    with pytest.raises(ReadError, match="is a folder, and only files are read"):
        text_of(tmp_path, 10)
    with pytest.raises(ReadError, match="does not exist"):
        text_of(tmp_path / "b.csv", 10)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadError, match="as text"):
        text_of(tmp_path / "a.csv", 99)


def test_a_long_response_table_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LONGEST_RESPONSE", 20)
    (tmp_path / "a.csv").write_text("nm,red\n400,0.1\n500,0.2\n", encoding="utf-8")
    with pytest.raises(ReadError, match="more than 20 bytes"):
        read_srf(tmp_path / "a.csv", [400, 500])


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no such device")
def test_devices_and_sockets_are_refused(tmp_path: Path) -> None:
    for call in (text_of, read_srf):
        with pytest.raises(ReadError, match="is a device, and only files"):
            call(Path("/dev/zero"), 10)
    with pytest.raises(ReadError, match="is a device, and only files and folders"):
        open_cube("/dev/zero", reader="tiff")
    if sys.platform == "linux":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(tmp_path / "s.hdr")[-100:])
            with pytest.raises(ReadError, match="is a socket"):
                open_cube(tmp_path / "s.hdr")
