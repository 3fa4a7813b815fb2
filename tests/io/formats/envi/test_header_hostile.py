"""ENVI headers made to do harm: whatever they say, they open or are refused in words, fast and in little memory."""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_specfusion.errors import ReadError, SpecFusionError
from napari_specfusion.io import open_cube
from napari_specfusion.io.formats.envi.header import _KEYS

if TYPE_CHECKING:
    from pathlib import Path

CORE = {"samples": "5", "lines": "4", "bands": "3", "data type": "2", "interleave": "bsq", "byte order": "0"}
HUGE = ["1000000000000", "9" * 30, "9" * 400, "1e308", "1e-320", "-1", "0", "nan", "inf", "4294967296", "2.5", "0x10"]

keys = st.one_of(st.sampled_from(sorted(_KEYS)), st.text(max_size=15))
scalars = st.one_of(st.text(max_size=20), st.integers().map(str), st.floats().map(str), st.sampled_from(HUGE))
lists = st.lists(scalars, max_size=6).map(lambda items: "{" + ", ".join(items) + "}")
maps = st.lists(st.one_of(st.sampled_from(["UTM", "WGS-84", "rotation=9e99", "units=m"]), scalars), max_size=10)
values = st.one_of(
    scalars,
    lists,
    maps.map(lambda items: "{UTM, " + ", ".join(items) + "}"),
    st.sampled_from(["{", "}", "{}", "{1, 2", "}}{", "{{1}, {2}", "{1}\n{2}", "\n{3}"]),
)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32"])


def opened(header: Path) -> None:
    """Open and read one pixel; only this package's errors may come out, and they name the file."""
    try:
        cube = open_cube(header)
        assert cube.shape[0] * cube.shape[1] * cube.shape[2] * cube.dtype.itemsize <= 120
        cube.spectrum(0, 0)
        cube.values.compute()
    except SpecFusionError as error:
        assert "scene" in str(error)
        assert len(str(error)) < 3000


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(st.tuples(keys, values), max_size=8),
    core=st.dictionaries(st.sampled_from(sorted(CORE)), values, max_size=2),
    encoding=encodings,
    tail=st.binary(max_size=40),
)
def test_any_header_opens_or_says_why(
    entries: list[tuple[str, str]], core: dict[str, str], encoding: str, tail: bytes, tmp_path: Path
) -> None:
    lines = [*(CORE | core).items(), *entries]
    text = "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in lines)
    (tmp_path / "scene.hdr").write_bytes(text.encode(encoding, "replace") + tail)
    (tmp_path / "scene.img").write_bytes(bytes(120))
    opened(tmp_path / "scene.hdr")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_any_bytes_open_or_say_why(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "scene.hdr").write_bytes(b"ENVI\n" + raw)
    (tmp_path / "scene.img").write_bytes(bytes(120))
    opened(tmp_path / "scene.hdr")


@pytest.mark.parametrize("key", ["bands", "lines", "samples", "header offset"])
@pytest.mark.parametrize("number", ["1000000000000", "9" * 400, "1e300"])
def test_a_header_that_claims_a_trillion(key: str, number: str, tmp_path: Path) -> None:
    text = "ENVI\n" + "".join(f"{name} = {value}\n" for name, value in (CORE | {key: number}).items())
    (tmp_path / "scene.hdr").write_text(text + "bbl = {1}\nfwhm = {1}\nband names = {a}\n", encoding="utf-8")
    (tmp_path / "scene.img").write_bytes(bytes(120))
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match=r"has 120 bytes, but its header describes|whole number"):
            open_cube(tmp_path / "scene.hdr")
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


BOMBS = {
    "digits": b"band names = {" + b"1" * (4 << 20) + b", b, c}\n",
    "digits as a list": b"wavelength = {" + b"1" * (4 << 20) + b"}\n",
    "blanks": b"band names = {1" + b" " * (4 << 20) + b"x, b, c}\n",
    "brackets": b"wavelength = {1, 2, 3}\nwavelength units = " + b"(" * (4 << 20) + b"\n",
    "braces": b"description = {" * (1 << 18) + b"}",
    "lists never closed": b"description = {\n" + b"\n" * (4 << 20),
    "keys": b"".join(b"k%d = 1\n" % number for number in range(300_000)),
    "commas": b"wavelength = {" + b"," * (4 << 20) + b"}\n",
    "short numbers": b"wavelength = {" + b"1," * (2 << 20) + b"}\n",
    "key of blanks": b"a " * (2 << 20) + b"= 1\n",
    "too long": b"\n" * (9 << 20),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_large_headers_cost_what_they_weigh(bomb: str, tmp_path: Path) -> None:
    text = "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in CORE.items())
    (tmp_path / "scene.hdr").write_bytes(text.encode() + BOMBS[bomb])
    (tmp_path / "scene.img").write_bytes(bytes(120))
    start = time.process_time()
    try:
        open_cube(tmp_path / "scene.hdr").spectrum(0, 0)
    except SpecFusionError as error:
        assert len(str(error)) < 3000
    # processor time, and far above what they take: only a cost that grows faster than the file breaks it
    assert time.process_time() - start < 20


def test_the_header_names_no_file_to_follow(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.img").write_bytes(bytes(120))
    more = {
        "data file": "../secret.img",
        "file name": str(tmp_path / "secret.img"),
        "raster data file": "../secret.img",
    }
    text = "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in (CORE | more).items())
    (inside / "scene.hdr").write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match="There is no data file next to"):
        open_cube(inside / "scene.hdr")
