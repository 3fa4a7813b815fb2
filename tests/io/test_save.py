"""What is saved comes back: bit by bit, with its meaning, whole or not at all."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, OutputError
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io import WRITERS, open_cube, save_cube
from napari_specfusion.io.arrays import blocks
from napari_specfusion.io.save import SaveProgress, find_writer
from napari_specfusion.radiometry.convert import reflectance
from napari_specfusion.tiling.tiles import Box

RNG = np.random.default_rng(0)
VALUES = RNG.integers(-5, 4000, (11, 40, 50)).astype("i2")
VALUES[:, 3:5, 7] = -9999
WAVELENGTHS = np.linspace(400, 1000, 11) + 1 / 3
CUBE = Cube.from_array(
    VALUES,
    wavelengths=WAVELENGTHS,
    fwhm=np.linspace(9, 10, 11),
    good_bands=np.arange(11) != 3,
    nodata=-9999,
    scale=1e-4,
    offset=0.25,
    affine=(30.0, 0.0, 500000.0, 0.0, -30.0, 4.1e6),
    pixel_size=(30.0, 30.0),
    crs="EPSG:32633",
    name="Düne 1",
)
RAMAN = Cube.from_array(
    VALUES.astype("f4") / 7, wavelengths=np.linspace(501.265, 1802.47, 11), spectral_unit="cm-1", nodata=np.nan
)
PLAIN = Cube.from_array(VALUES.astype("u2"))
SCALED = CUBE.replace(scale=np.linspace(1e-4, 2e-4, 11), offset=np.linspace(-1, 1, 11))
SUFFIXES = sorted({suffix for writer in WRITERS.values() for suffix in writer.suffixes})


def same(cube: Cube, other: Cube, skip: tuple[str, ...] = ("metadata",)) -> None:
    """Assert that two cubes have the same stored values and description."""
    assert other.dtype == cube.dtype
    np.testing.assert_array_equal(np.asarray(other.data), np.asarray(cube.data))
    for key, value in cube.describe().items():
        if key not in skip:
            found = getattr(other, key)
            assert (found is None) == (value is None), f"{key}: {found}"
            if value is not None:
                np.testing.assert_array_equal(found, value, err_msg=key)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cube", [CUBE, RAMAN, PLAIN, SCALED], ids=["reflectance", "raman", "plain", "scaled"])
def test_nothing_is_lost(cube: Cube, suffix: str, tmp_path: Path) -> None:
    saved = cube.save(tmp_path / f"scene{suffix}")
    assert saved.notes == ()
    assert set(saved.paths) == set(tmp_path.iterdir())
    same(cube, open_cube(saved.paths[-1]))


@pytest.mark.parametrize("key", WRITERS)
def test_saved_twice_is_the_same_as_saved_once(key: str, tmp_path: Path) -> None:
    suffix = WRITERS[key].suffixes[0]
    described = CUBE.replace(metadata={"sensor": "x", "band_names": tuple(f"b {i}" for i in range(11))})
    first = open_cube(described.save(tmp_path / f"a{suffix}").paths[-1])
    second = open_cube(first.save(tmp_path / f"b{suffix}").paths[-1])
    same(CUBE, second)
    assert second.metadata["sensor"] == "x"
    assert tuple(second.metadata["band_names"])[-1] == "b 10"
    assert "specfusion" not in str(second.metadata)


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 7), (3, 1, 6), (4, 6, 1), (5, 1, 1), (2, 600, 33)])
def test_any_shape(key: str, shape: tuple[int, int, int], tmp_path: Path) -> None:
    cube = Cube.from_array(RNG.random(shape).astype("f4"), wavelengths=np.arange(shape[0]) + 400.0)
    same(cube, open_cube(cube.save(tmp_path / f"x{WRITERS[key].suffixes[0]}").paths[-1]))


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">i2", ">f4"])
def test_every_type_keeps_its_values(key: str, dtype: str, tmp_path: Path) -> None:
    bits = RNG.integers(0, 256, (2, 3, 4, np.dtype(dtype).itemsize), dtype="u1")
    values = bits.view(dtype)[..., 0] if dtype != "?" else bits[..., 0] > 99
    cube = Cube.from_array(values)
    path = tmp_path / f"x{WRITERS[key].suffixes[0]}"
    try:
        saved = cube.save(path)
    except OutputError as error:
        assert key == "ome-tiff" and dtype in {"u8", "i8"}, error
        assert list(tmp_path.iterdir()) == []
        return
    back = open_cube(saved.paths[-1])
    np.testing.assert_array_equal(np.asarray(back.data), values)
    assert (back.dtype == np.dtype(dtype)) == (not saved.notes) or dtype[0] == ">"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(sorted(WRITERS)),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    angle=st.sampled_from([0.0, 0.3, -2.0, math.pi]),
    size=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    corner=st.tuples(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7)),
    flip=st.booleans(),
    shear=st.sampled_from([0.0, 0.0, 0.1]),
    nodata=st.none() | st.integers(-32768, 32767) | st.just(40000.5),
    scale=st.floats(1e-6, 1e6) | st.lists(st.floats(-1e6, -1e-6), min_size=5, max_size=5),
    crs=st.none() | st.sampled_from(["EPSG:4326", "EPSG:32733", "EPSG:25832", "EPSG:3857", "local grid {1}, x"]),
    name=st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable() and text.isascii()),
    data=st.data(),
)
def test_any_description_comes_back(
    key: str, shape: tuple[int, int, int], angle: float, size: tuple[float, float], corner: tuple[float, float],
    flip: bool, shear: float, nodata: float | None, scale: float | list[float], crs: str | None, name: str,
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    bands = shape[0]
    step = data.draw(st.floats(0.1, 50))
    a, d = math.cos(angle) * size[1], math.sin(angle) * size[1]
    b, e = math.sin(angle) * size[0] + shear, (1 if flip else -1) * math.cos(angle) * size[0]
    cube = Cube.from_array(
        np.arange(math.prod(shape), dtype="i2").reshape(shape),
        wavelengths=350 + step * np.arange(bands),
        fwhm=np.full(bands, step),
        nodata=nodata,
        scale=scale if isinstance(scale, float) else np.array(scale[:bands]),
        affine=(a, b, corner[0], d, e, corner[1]),
        pixel_size=(size[0], 2 * size[1]),
        crs=crs,
        name=name,
    )
    saved = cube.save(tmp_path_factory.mktemp("any") / f"x{WRITERS[key].suffixes[0]}")
    back = open_cube(saved.paths[-1])
    fits = nodata is None or nodata == int(nodata)
    skip = ("metadata", "scale", *(() if fits else ("nodata",)))
    same(cube, back, skip)
    np.testing.assert_array_equal(np.broadcast_to(back.scale, bands), np.broadcast_to(cube.scale, bands))
    if not fits and key in {"envi", "tiff", "ome-tiff"}:
        assert any("no-data" in note for note in saved.notes)


@pytest.mark.parametrize("key", WRITERS)
def test_no_data_of_half_precision_is_found_in_wider_numbers(key: str, tmp_path: Path) -> None:
    # -9999 becomes -10000 in float16; a format without that type stores float32, where the two differ
    half = Cube.from_array(VALUES.astype("f2"), nodata=-9999)
    back = open_cube(half.save(tmp_path / f"x{WRITERS[key].suffixes[0]}").paths[-1])
    missing = np.isnan(np.asarray(half.values))
    assert missing.sum() == 22
    np.testing.assert_array_equal(np.isnan(np.asarray(back.values)), missing)


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize(
    "fields",
    [
        {"wavelengths": np.arange(1.0, 12.0)},
        {"wavelengths": np.arange(10.0, 21.0), "spectral_unit": "cm-1"},
        {"wavelengths": np.full(11, 500.0)},
        {"wavelengths": np.linspace(-200.0, 100.0, 11), "spectral_unit": "cm-1"},
        {"fwhm": np.array([np.nan, *range(10)])},
        {"scale": np.array([np.nan, *range(10)]), "offset": np.inf},
        {"scale": 0.0},
        {"name": "caf\udce9", "crs": "caf\udce9", "affine": (1.0, 0.0, 2.0, 0.0, -1.0, 3.0), "pixel_size": (1.0, 1.0)},
        {"name": "x" * 300},
    ],
    ids=["count", "low shifts", "equal", "negative", "fwhm", "scale", "zero", "no text", "long"],
)
def test_odd_descriptions_come_back(fields: dict[str, Any], key: str, tmp_path: Path) -> None:
    cube = PLAIN.replace(**fields)
    saved = cube.save(tmp_path / f"x{WRITERS[key].suffixes[0]}")
    same(cube, open_cube(saved.paths[-1]))


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("names", [5, {"a": 1}, "elevenbands", None])
def test_names_that_are_none_do_no_harm(names: Any, key: str, tmp_path: Path) -> None:
    cube = CUBE.replace(metadata={"band_names": names, "header": names}).select(np.arange(11))
    same(cube, open_cube(cube.save(tmp_path / f"x{WRITERS[key].suffixes[0]}").paths[-1]))


@pytest.mark.parametrize(
    "metadata",
    [
        {"band_names": (";a", *"bcdefghijk")},
        {"band_names": ("a\rb", *"bcdefghijk")},
        {"header": {"Samples": "3", " lines": "3", "x = 1\nbands": "3"}},
        {"header": {"note": "a\n; b", "remark": "; c", "more": "d\rbands = 3", "last": "e\u2028bands = 3"}},
    ],
    ids=["comment", "break", "keys", "values"],
)
def test_text_that_would_break_an_envi_header_stays_out_of_it(metadata: dict[str, Any], tmp_path: Path) -> None:
    cube = CUBE.replace(metadata=metadata)
    same(cube, open_cube(cube.save(tmp_path / "x.hdr").paths[-1]))


# --- where the values come from ---------------------------------------------------------


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("origin", ["bsq", "bil", "bip", "zarr", "tiff", "dask", "crop", "select", "rows"])
def test_in_small_blocks_from_anywhere(key: str, origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SAVED_BLOCK", 4000)
    cube = CUBE
    if origin in {"bsq", "bil", "bip"}:
        cube = open_cube(CUBE.save(tmp_path / f"in.{origin}").paths[-1])
    elif origin in {"zarr", "tiff"}:
        cube = open_cube(CUBE.save(tmp_path / f"in.{origin.removesuffix('f')}").paths[-1])
    elif origin == "dask":
        cube = CUBE.replace(data=da.from_array(VALUES, chunks=(2, 40, 50)))
    elif origin == "rows":
        cube = CUBE.replace(data=da.from_array(VALUES, chunks=(11, 3, 50)))
    elif origin == "crop":
        cube = CUBE.crop(slice(3, 31), slice(7, 44))
    elif origin == "select":
        cube = CUBE.select([2, 5, 9])
    same(cube, open_cube(cube.save(tmp_path / f"out{WRITERS[key].suffixes[0]}").paths[-1]))


@pytest.mark.parametrize("by_bands", [True, False])
def test_blocks_cover_the_cube_once(by_bands: bool) -> None:
    for grid, limit in [((1, 1, 1), 300), ((3, 8, 8), 100), ((16, 64, 64), 9000), ((11, 16, 16), 10**9)]:
        seen = np.zeros(CUBE.shape, int)
        for block in blocks.plan(CUBE, by_bands, grid, limit):
            seen[block.box] += 1
            assert all(part.start % step == 0 for part, step in zip(block.box, grid, strict=True))
            least = grid if by_bands else (CUBE.bands, *grid[1:])
            cell = math.prod(min(step, size) for step, size in zip(least, CUBE.shape, strict=True))
            assert math.prod(part.stop - part.start for part in block.box) * 2 <= max(limit, 2 * cell)
        assert (seen == 1).all()


# --- whole or not at all ------------------------------------------------------------------


@pytest.fixture(params=sorted(WRITERS))
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of every format, saved already."""
    path = tmp_path / f"scene{WRITERS[request.param].suffixes[0]}"
    PLAIN.save(path)
    return path


def test_an_existing_file_is_replaced_only_where_that_is_asked_for(target: Path) -> None:
    before = sorted(target.parent.iterdir())
    with pytest.raises(OutputError, match="exists"):
        CUBE.save(target)
    same(PLAIN.replace(name=open_cube(target).name), open_cube(target))
    CUBE.save(target, overwrite=True)
    same(CUBE, open_cube(target))
    assert sorted(target.parent.iterdir()) == before


def test_what_appears_meanwhile_is_not_replaced(target: Path) -> None:
    other = target.with_name(f"other{target.name.removeprefix('scene')}")
    with pytest.raises(OutputError, match="exists"):
        CUBE.save(other, progress=lambda event: event.done and PLAIN.save(other, overwrite=True))
    np.testing.assert_array_equal(np.asarray(open_cube(other).data), np.asarray(PLAIN.data))
    assert not list(target.parent.glob("*.partial"))


def test_a_stopped_save_leaves_what_was_there(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SAVED_BLOCK", 4000)
    before = sorted(target.parent.iterdir())
    asked = iter([False, True])
    with pytest.raises(Cancelled, match="untouched"):
        CUBE.save(target, overwrite=True, should_stop=lambda: next(asked))
    assert sorted(target.parent.iterdir()) == before
    np.testing.assert_array_equal(np.asarray(open_cube(target).data), np.asarray(PLAIN.data))


def test_a_failing_source_leaves_what_was_there(target: Path) -> None:
    def fail(block: Any) -> Any:
        raise RuntimeError("the disk with the source is gone")

    broken = CUBE.replace(data=da.from_array(VALUES, chunks=(1, 40, 50)).map_blocks(fail, dtype="i2", meta=VALUES))
    before = sorted(target.parent.iterdir())
    with pytest.raises(RuntimeError, match="is gone"):
        broken.save(target, overwrite=True)
    assert sorted(target.parent.iterdir()) == before
    np.testing.assert_array_equal(np.asarray(open_cube(target).data), np.asarray(PLAIN.data))


def test_a_failing_disk_is_told_in_words(target: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of a file's size are Unix's")
    # Compressed chunks of random numbers and the one file of every other format all pass this limit.
    large = Cube.from_array(RNG.integers(0, 60000, (16, 256, 256)).astype("u2"))
    before = sorted(target.parent.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            large.save(target, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(target.parent.iterdir()) == before
    np.testing.assert_array_equal(np.asarray(open_cube(target).data), np.asarray(PLAIN.data))


@pytest.mark.parametrize(("name", "options"), [("x.zarr", {}), ("x.mat", {"version": "7.3"})])
def test_a_file_that_takes_a_part_only_is_told_in_words(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    # HDF5 ends the process where it cannot write what it holds back
    resource = pytest.importorskip("resource", reason="limits of a file's size are Unix's")
    large = Cube.from_array(RNG.integers(0, 60000, (16, 256, 256)).astype("u2"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OutputError, match="too large"):
            large.save(tmp_path / name, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("napari_specfusion.io.atomic.shutil.disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="too full"):
        CUBE.save(target, overwrite=True)


def test_a_disk_that_fills_up_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_specfusion.io.formats.envi.writer.fill", full)
    with pytest.raises(OutputError, match="filled up"):
        CUBE.save(tmp_path / "x.hdr")
    assert list(tmp_path.iterdir()) == []


def test_the_second_of_two_renames_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PLAIN.save(tmp_path / "x.hdr")
    replace = os.replace

    def stubborn(source: Path, to: Path) -> None:
        if source.name == "x.hdr" and "partial" in str(source):
            raise PermissionError(errno.EACCES, "no")
        replace(source, to)

    monkeypatch.setattr(os, "replace", stubborn)
    with pytest.raises(OutputError, match="cannot be written"):
        CUBE.save(tmp_path / "x.hdr", overwrite=True)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.hdr", "x.img"]
    np.testing.assert_array_equal(np.asarray(open_cube(tmp_path / "x.hdr").data), np.asarray(PLAIN.data))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("x.jpeg2000", {}, "no known ending"),
        ("x", {}, "no known ending"),
        ("x.hdr", {"writer": "magic"}, "there is no writer 'magic'"),
        ("none/x.hdr", {}, "does not exist"),
        ("file/x.hdr", {}, "does not exist"),
        ("x.tif", {"interleave": "bip"}, "takes no option interleave"),
        ("x.hdr", {"interleave": "bqs"}, "choose one of bsq, bil, bip"),
        ("x.mat", {"version": "6"}, "'5' or '7.3'"),
        ("folder.tif", {"overwrite": True}, "is not a file"),
        ("folder.zarr", {"overwrite": True}, "is not a Zarr store"),
        ("stranger.hdr", {}, "would be read as its data"),
    ],
)
def test_bad_requests(name: str, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "stranger.dat").touch()
    for folder in ("folder.tif", "folder.zarr"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "precious").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=words):
        save_cube(CUBE, tmp_path / name, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cube_is_not_saved_over_itself(target: Path) -> None:
    cube = open_cube(target)
    with pytest.raises(OutputError, match="read from"):
        cube.crop(slice(1, 5), slice(2, 4)).save(target, overwrite=True)
    np.testing.assert_array_equal(np.asarray(open_cube(target).data), np.asarray(PLAIN.data))


@pytest.mark.parametrize("made", ["values", "data", "counts", "white"])
def test_what_is_computed_of_a_file_is_not_saved_over_it(made: str, target: Path) -> None:
    cube = open_cube(target)
    computed = {
        "values": lambda: Cube.from_array(cube.values),
        "data": lambda: cube.replace(data=cube.data * 2),
        "counts": lambda: reflectance(cube, np.full(11, 5e4)),
        "white": lambda: reflectance(VALUES, cube.replace(data=cube.data | 4096)),
    }[made]()
    with pytest.raises(OutputError, match="read from"):
        computed.save(target, overwrite=True)
    np.testing.assert_array_equal(np.asarray(open_cube(target).data), np.asarray(PLAIN.data))


def test_a_fused_result_is_saved_elsewhere_but_not_over_itself(tmp_path: Path) -> None:
    store = ResultStore.create(
        tmp_path / "fused.zarr",
        (2, 40, 40),
        core=(40, 40),
        tiles=1,
        fields={"name": "f", "wavelengths": np.array([1.0, 2.0])},
    )
    store.write(0, Box(0, 40, 0, 40), RNG.random((2, 40, 40)).astype("f4"))
    cube = store.cube()
    with pytest.raises(OutputError, match="read from"):
        cube.save(tmp_path / "fused.zarr", overwrite=True)
    back = open_cube(cube.save(tmp_path / "copy.hdr").paths[-1])
    same(cube, back)
    assert "store" not in back.metadata


def test_an_envi_pair_keeps_the_name_of_its_data(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "x.dat")
    assert CUBE.save(tmp_path / "x.hdr", overwrite=True).paths == (tmp_path / "x.dat", tmp_path / "x.hdr")
    same(CUBE, open_cube(tmp_path / "x.hdr"))


def test_an_envi_pair_in_capitals_is_replaced(tmp_path: Path) -> None:
    for path in PLAIN.save(tmp_path / "x.hdr").paths:
        path.rename(path.with_name(path.name.upper()))
    CUBE.save(tmp_path / "X.HDR", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.HDR", "X.IMG"]
    same(CUBE, open_cube(tmp_path / "X.HDR"))


def test_other_data_beside_an_envi_file_are_not_left_to_be_taken_for_its_own(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "x.dat")
    with pytest.raises(OutputError, match=r"x\.dat next to .*read as its data"):
        CUBE.save(tmp_path / "x.img", overwrite=True)
    same(PLAIN.replace(name="cube"), open_cube(tmp_path / "x.hdr"))


def test_an_envi_header_of_the_other_name_is_not_left_beside_new_data(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "x.img")
    (tmp_path / "x.hdr").rename(tmp_path / "x.img.hdr")
    with pytest.raises(OutputError, match="exists"):
        CUBE.save(tmp_path / "x.img")
    CUBE.save(tmp_path / "x.img", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.img", "x.img.hdr"]
    same(CUBE, open_cube(tmp_path / "x.img"))
    with pytest.raises(OutputError, match=r"x\.img.* next to"):
        CUBE.save(tmp_path / "x.hdr")


# --- the rest ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", WRITERS)
def test_progress_ends_with_all(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SAVED_BLOCK", 4000)
    events: list[SaveProgress] = []
    CUBE.save(tmp_path / f"x{WRITERS[key].suffixes[0]}", progress=events.append)
    assert events[0].done == 0 and events[0].remaining is None
    assert events[-1].done == events[-1].total
    assert [event.done for event in events] == sorted(event.done for event in events)


def test_the_longest_ending_decides() -> None:
    assert find_writer("a/X.OME.TIF") == "ome-tiff"
    assert find_writer("x.tif") == "tiff"
    assert find_writer("x.png") is None


HELD: list[int] = []


class Counted:
    """An array that counts what is read of it; in a module, since dask copies what it cannot name."""

    shape, dtype, ndim = (32, 512, 512), np.dtype("f4"), 3

    def __getitem__(self, index: Any) -> Any:
        values = np.zeros(self.shape, self.dtype)[index]
        HELD.append(values.nbytes)
        return values


@pytest.mark.parametrize("key", WRITERS)
def test_the_cube_is_never_held(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SAVED_BLOCK", 1 << 20)
    lazy = da.from_array(Counted(), chunks=(1, 512, 512), meta=np.empty((0, 0, 0), "f4"), name="counted")
    options: dict[str, Any] = {"version": "7.3"} if key == "matlab" else {}
    HELD.clear()
    Cube(lazy).save(tmp_path / f"x{WRITERS[key].suffixes[0]}", **options)
    assert max(HELD) <= 1 << 20
    assert sum(HELD) == 32 * 512 * 512 * 4


def test_metadata_that_are_no_text_are_told(tmp_path: Path) -> None:
    cube = CUBE.replace(metadata={"good": {"a": [1, 2.5, "x"]}, "bad": object(), "notes": ("n",)})
    saved = cube.save(tmp_path / "x.npz")
    assert saved.notes == ("metadata left out because they are not plain text or numbers: bad",)
    assert open_cube(tmp_path / "x.npz").metadata["good"] == {"a": [1, 2.5, "x"]}
    saved = CUBE.replace(metadata={"long": "x" * 300_000}).save(tmp_path / "y.npz")
    assert "longer than" in saved.notes[0]


@pytest.mark.parametrize("text", ["", "{", "[1]", "nonsense", '{"scale": "x", "affine": [1], "name": 3, "nodata": []}'])
def test_a_damaged_entry_says_nothing(text: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", data=VALUES, specfusion=np.array(text))
    cube = open_cube(tmp_path / "x.npz")
    assert cube.shape == VALUES.shape
    assert (cube.name, cube.scale, cube.affine, cube.nodata) == ("x", 1.0, None, None)


REAL = (
    "formats/corn_kernel/corn-kernel-hyperspectral.hdr",
    "formats/specim_rock/image.dat",
    "formats/wiser/caltech_4_100_150_nm_epsg4087.tif",
    "cubes/enmap_potsdam_tile_96_32.tif",
    "cubes/jasperRidge2_R198.mat",
)


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("name", REAL)
def test_real_cubes(name: str, key: str, data_dir: Path, tmp_path: Path) -> None:
    if not (data_dir / name).is_file():
        pytest.skip(f"{name} is not there")
    cube = open_cube(data_dir / name)
    same(cube, open_cube(cube.save(tmp_path / f"x{WRITERS[key].suffixes[0]}").paths[-1]))


def test_metadata_in_a_circle(tmp_path: Path) -> None:
    circle: dict[str, object] = {"told": 1}
    circle["again"] = circle
    saved = CUBE.replace(metadata={"circle": circle}).save(tmp_path / "x.npz")
    assert "not plain text or numbers: circle.again" in saved.notes[0]
