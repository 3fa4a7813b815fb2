"""Zarr stores: this package's own, other OME-Zarr, and plain arrays."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import dask.array as da
import numcodecs
import numpy as np
import pytest
import zarr

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube
from napari_specfusion.io.formats.zarr import pyramid
from napari_specfusion.io.formats.zarr.reader import _KNOWN_CODECS, _codecs

Link = Callable[[Path, Path], None]

CUBE = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)


def save(path: Path, values: np.ndarray, axes: str, version: str = "0.5", **specfusion: Any) -> Path:
    group = zarr.create_group(path)
    group.create_array("0", data=values, chunks=(4,) * values.ndim)
    image = {
        "axes": [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}]}],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    else:
        group.attrs["multiscales"] = [image | {"version": version}]
    if specfusion:
        group.attrs["specfusion"] = specfusion
    return path


def test_description_comes_back(tmp_path: Path) -> None:
    described = {
        "wavelengths": [400.0, 500.0, 600.0, 700.0, 800.0],
        "spectral_unit": "nm",
        "fwhm": None,
        "good_bands": [True, True, False, True, True],
        "nodata": None,
        "scale": [1.0, 2.0, 1.0, 1.0, 1.0],
        "offset": 0.5,
        "name": "fused",
        "affine": [1.0, 0.0, 5.0, 0.0, -1.0, 6.0],
        "crs": "EPSG:32633",
        "pixel_size": [1.0, 1.0],
        "something new": 1,
    }
    cube = open_cube(save(tmp_path / "x.zarr", CUBE, "cyx", **described))
    np.testing.assert_array_equal(cube.data.compute(), CUBE)
    np.testing.assert_allclose(cube.spectrum(1, 2), CUBE[:, 1, 2] * [1, 2, 1, 1, 1] + 0.5)
    np.testing.assert_allclose(cube.wavelengths, described["wavelengths"])
    assert cube.good.sum() == 4
    assert cube.nodata is None
    assert (cube.name, cube.crs) == ("fused", "EPSG:32633")
    assert cube.affine == (1, 0, 5, 0, -1, 6)
    assert cube.pixel_size == (1, 1)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("axes", "order"), [("cyx", (0, 1, 2)), ("yxc", (1, 2, 0)), ("yx", None), ("tcyx", (0, 1, 2))])
def test_axes(axes: str, order: tuple[int, int, int] | None, version: str, tmp_path: Path) -> None:
    want = CUBE[:1] if order is None else CUBE
    stored = CUBE[0] if order is None else CUBE.transpose(order)
    cube = open_cube(save(tmp_path / "x.zarr", stored[None] if axes[0] == "t" else stored, axes, version))
    np.testing.assert_array_equal(cube.data.compute(), want)
    np.testing.assert_array_equal(cube.spectrum(2, 3), want[:, 2, 3])
    np.testing.assert_array_equal(cube.read(slice(1, 4), slice(2, 6)), want[:, 1:4, 2:6])


def test_plain_array_in_a_folder_of_another_name(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "cube", data=CUBE)
    np.testing.assert_array_equal(open_cube(tmp_path / "cube").data.compute(), CUBE)


def test_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ReadError, match="is not a Zarr store"):
        open_cube(tmp_path / "empty.zarr")
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(ReadError, match="without an OME-Zarr image"):
        open_cube(tmp_path / "group.zarr")
    with pytest.raises(ReadError, match=r"axes tcyx of shape \(2, 5, 6, 7\)"):
        open_cube(save(tmp_path / "movie.zarr", np.stack([CUBE, CUBE]), "tcyx"))
    with pytest.raises(ReadError, match=r"axes cyx for shape \(5, 6, 7, 1\)"):
        open_cube(save(tmp_path / "four.zarr", CUBE[..., None], "cyx"))
    (tmp_path / "group.zarr" / "zarr.json").write_text("{ not json", encoding="utf-8")
    with pytest.raises(ReadError, match="cannot be read as Zarr"):
        open_cube(tmp_path / "group.zarr")
    with pytest.raises(ReadError, match="wavelengths has 2 entries"):
        open_cube(save(tmp_path / "lies.zarr", CUBE, "cyx", wavelengths=[1.0, 2.0]))


def array_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    return found


def test_wavelengths_in_the_labels_of_the_channels(tmp_path: Path) -> None:
    path = save(tmp_path / "x.zarr", CUBE, "cyx")
    ome = zarr.open_group(path).attrs["ome"]
    channels = [{"label": f"Raman {1000 + 10 * i} cm-1"} for i in range(5)]
    zarr.open_group(path, mode="a").attrs["ome"] = ome | {"omero": {"channels": channels}}
    cube = open_cube(path)
    assert cube.spectral_unit == "cm-1"
    np.testing.assert_allclose(cube.wavelengths, 1000 + 10 * np.arange(5))


@pytest.mark.parametrize("version", [2, 3])
def test_group_of_arrays(version: int, tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "g.zarr", zarr_format=version)
    group.create_array("cube", data=CUBE.transpose(1, 2, 0), chunks=(3, 4, 5))
    group.create_array("mask", data=CUBE[0])
    group.create_array("wavelength", data=np.linspace(700, 400, 5))
    cube = open_cube(tmp_path / "g.zarr")
    np.testing.assert_array_equal(cube.data.compute(), CUBE[::-1])
    np.testing.assert_allclose(cube.wavelengths, np.linspace(400, 700, 5))
    assert open_cube(tmp_path / "g.zarr", array="mask").shape == (1, 6, 7)
    with pytest.raises(ReadError, match="no variable 'cub'; choose one of"):
        open_cube(tmp_path / "g.zarr", array="cub")


def test_first_image_of_several(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "g.zarr")
    group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    save(tmp_path / "g.zarr" / "0", CUBE, "cyx")
    np.testing.assert_array_equal(open_cube(tmp_path / "g.zarr").data.compute(), CUBE)


def test_sharded_and_missing_chunks(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "x.zarr", shape=(8, 64, 64), dtype="f4", chunks=(2, 16, 16), shards=(8, 32, 32), fill_value=7.0
    )
    array[:, :32] = 1.0
    cube = open_cube(tmp_path / "x.zarr")
    np.testing.assert_array_equal(cube.spectrum(40, 3), 7.0)
    np.testing.assert_array_equal(cube.spectrum(4, 63), 1.0)


@pytest.mark.parametrize("level", ["../secret", "a/../../secret", "/../secret", "link"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_no_way_out(level: str, version: str, tmp_path: Path, link: Link) -> None:
    zarr.create_array(tmp_path / "secret", data=CUBE)
    path = save(tmp_path / "x.zarr", CUBE, "cyx", version)
    if level == "link":
        link(path / level, tmp_path / "secret")
    group = zarr.open_group(path, mode="a")
    image = {"axes": list("cyx"), "datasets": [{"path": level}]}
    if version == "0.5":
        group.attrs["ome"] = {"multiscales": [image]}
    else:
        group.attrs["multiscales"] = [image]
    with pytest.raises(ReadError, match="outside the folder"):
        open_cube(path)


@pytest.mark.parametrize(("version", "sharded"), [(2, False), (3, False), (3, True)])
def test_links_out_of_the_folder_are_not_followed(
    version: Literal[2, 3], sharded: bool, tmp_path: Path, link: Link
) -> None:
    options: dict[str, Any] = {"shards": (4, 6, 7)} if sharded else {}
    values = np.ones((4, 6, 7), "u1")
    for name in ("x.zarr", "secret.zarr"):
        data = values + (name == "secret.zarr")
        zarr.create_array(
            tmp_path / name, data=data, chunks=(2, 6, 7), compressors=None, zarr_format=version, **options
        )
    chunk = "0.0.0" if version == 2 else "c/0/0/0"
    (tmp_path / "x.zarr" / chunk).rename(tmp_path / "x.zarr" / "moved")
    link(tmp_path / "x.zarr" / chunk, tmp_path / "secret.zarr" / chunk)
    cube = open_cube(tmp_path / "x.zarr")
    for read in (lambda: cube.spectrum(0, 0), lambda: np.asarray(cube.data[0])):
        with pytest.raises(ReadError, match="out of the folder"):
            read()
    # inside it, links are files like others
    (tmp_path / "x.zarr" / chunk).unlink()
    link(tmp_path / "x.zarr" / chunk, tmp_path / "x.zarr" / "moved")
    np.testing.assert_array_equal(open_cube(tmp_path / "x.zarr").read(), values)
    # and so are folders that a link leads to
    link(tmp_path / "y.zarr", tmp_path / "x.zarr")
    np.testing.assert_array_equal(open_cube(tmp_path / "y.zarr").read(), values)
    for name in ("zarr.json", ".zarray"):
        if (tmp_path / "x.zarr" / name).exists():
            (tmp_path / "x.zarr" / name).unlink()
            link(tmp_path / "x.zarr" / name, tmp_path / "secret.zarr" / name)
    with pytest.raises(ReadError, match="out of the folder"):
        open_cube(tmp_path / "x.zarr")


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ([10**12, 10**6, 10**6], [1, 1, 1]),
        ([10**9, 4, 4], [1, 4, 4]),
        ([4, 10**6, 10**6], [4, 10**6, 10**6]),
        ([-4, 6, 7], [4, 4, 4]),
        ([5, 6, 7], [0, 4, 4]),
        ([5, 6], [10**18, 4, 4]),
    ],
)
def test_absurd_sizes(shape: list[int], chunks: list[int], tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", data=CUBE, chunks=(4, 4, 4))
    metadata = array_json(tmp_path / "x.zarr")
    metadata["shape"] = shape
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = chunks
    (tmp_path / "x.zarr" / "zarr.json").write_text(json.dumps(metadata), encoding="utf-8")
    with pytest.raises(ReadError, match=r"x\.zarr"):
        open_cube(tmp_path / "x.zarr")


def test_a_large_empty_array_opens_at_once(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", shape=(500, 100_000, 100_000), dtype="f4", chunks=(1, 64, 64), fill_value=3)
    cube = open_cube(tmp_path / "x.zarr")
    assert cube.data.npartitions <= 20_000
    assert cube.spectrum(99_999, 5).tolist() == [3.0] * 500


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_pickled_chunks_are_never_unpacked(place: str, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "x.zarr"
    zarr.create_array(path, data=CUBE, zarr_format=2, chunks=(5, 6, 7), compressors=None)
    metadata = json.loads((path / ".zarray").read_text(encoding="utf-8"))
    metadata[place] = {"id": "pickle"} if place == "compressor" else [{"id": "pickle"}]
    (path / ".zarray").write_text(json.dumps(metadata), encoding="utf-8")
    (path / "0.0.0").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ReadError, match=r"x\.zarr"):
        np.asarray(open_cube(path).data)
    assert not (tmp_path / "sprung").exists()


def test_codecs_are_looked_at_wherever_they_stand() -> None:
    inner = {"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}], "index_codecs": [{"name": "crc32c"}]}
    assert _codecs({"codecs": [{"name": "sharding_indexed", "configuration": inner}]}) - _KNOWN_CODECS == {"pickle"}
    assert _codecs({"compressor": None, "filters": [{"id": "pickle"}]}) == {"pickle"}


BOMB = bytes(96 << 20)


def zstd_without_size(data: bytes) -> bytes:
    """Return a frame of zstd that does not tell how long it is: one byte over and over, in blocks."""
    head = struct.pack("<IBB", 0xFD2FB528, 0, 0x58)
    blocks, left = b"", len(data)
    while left:
        part = min(left, 1 << 17)
        left -= part
        blocks += struct.pack("<I", part << 3 | 1 << 1 | (left == 0))[:3] + data[:1]
    return head + blocks


PACKED = {
    "gzip": (gzip.compress, "gzip", numcodecs.GZip()),
    "gzip, one after another": (lambda d: gzip.compress(d[:400]) + gzip.compress(d[400:]), "gzip", numcodecs.GZip()),
    "zstd": (numcodecs.Zstd().encode, "zstd", numcodecs.Zstd()),
    "zstd without a size": (zstd_without_size, "zstd", numcodecs.Zstd()),
    "blosc": (numcodecs.Blosc("lz4").encode, "blosc", numcodecs.Blosc("lz4")),
    "zlib": (zlib.compress, "numcodecs.zlib", numcodecs.Zlib()),
    "bz2": (bz2.compress, "numcodecs.bz2", numcodecs.BZ2()),
    "lzma": (lzma.compress, "numcodecs.lzma", numcodecs.LZMA()),
    "lz4": (numcodecs.LZ4().encode, "numcodecs.lz4", numcodecs.LZ4()),
}


def packed_store(path: Path, kind: str, version: int, chunk: bytes, sharded: bool = False) -> None:
    """Write a store of one chunk, 5 x 6 x 7, that holds `chunk` as it comes."""
    _, name, codec = PACKED[kind]
    if version == 2:
        zarr.create_array(path, shape=CUBE.shape, dtype=CUBE.dtype, chunks=CUBE.shape, zarr_format=2, compressors=codec)
        (path / "0.0.0").write_bytes(chunk)
        return
    inner = [{"name": "bytes", "configuration": {"endian": "little"}}]
    inner.append({"name": name, "configuration": {k: v for k, v in codec.get_config().items() if k != "id"}})
    if name in {"gzip", "zstd", "blosc"}:
        inner[1] = {"gzip": zarr.codecs.GzipCodec, "zstd": zarr.codecs.ZstdCodec, "blosc": zarr.codecs.BloscCodec}[
            name
        ]().to_dict()
    zarr.create_array(path, shape=CUBE.shape, dtype=CUBE.dtype, chunks=CUBE.shape)
    metadata = array_json(path)
    metadata["codecs"] = inner
    if sharded:
        options = {"chunk_shape": list(CUBE.shape), "codecs": inner, "index_codecs": inner[:1], "index_location": "end"}
        metadata["codecs"] = [{"name": "sharding_indexed", "configuration": options}]
        chunk += struct.pack("<QQ", 0, len(chunk))
    (path / "zarr.json").write_text(json.dumps(metadata), encoding="utf-8")
    (path / "c" / "0" / "0").mkdir(parents=True, exist_ok=True)
    (path / "c" / "0" / "0" / "0").write_bytes(chunk)


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not")
@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("store", ["2", "3", "sharded"])
class TestPackedChunks:
    def test_open(self, kind: str, store: str, tmp_path: Path) -> None:
        plain = kind != "zstd without a size"
        values = CUBE if plain else np.full_like(CUBE, 0)
        chunk = bytes(PACKED[kind][0](values.tobytes()))
        packed_store(tmp_path / "x.zarr", kind, 2 if store == "2" else 3, chunk, store == "sharded")
        np.testing.assert_array_equal(open_cube(tmp_path / "x.zarr").data.compute(), values)

    def test_bombs_are_refused(self, kind: str, store: str, tmp_path: Path) -> None:
        chunk = bytes(PACKED[kind][0](BOMB))
        packed_store(tmp_path / "x.zarr", kind, 2 if store == "2" else 3, chunk, store == "sharded")
        cube = open_cube(tmp_path / "x.zarr")
        with pytest.raises(ReadError, match=r"unpacks to more than \d+"):
            cube.spectrum(0, 0)

    def test_damaged_ones_are_refused(self, kind: str, store: str, tmp_path: Path) -> None:
        chunk = bytes(PACKED[kind][0](CUBE.tobytes()))
        for damaged in (chunk[:3], chunk[:8], chunk[: len(chunk) // 2], b"\xff" * 64):
            packed_store(tmp_path / "x.zarr", kind, 2 if store == "2" else 3, damaged, store == "sharded")
            with pytest.raises(ReadError, match=r"x\.zarr"):
                open_cube(tmp_path / "x.zarr").spectrum(0, 0)
            shutil.rmtree(tmp_path / "x.zarr")


def test_shards_of_absurdly_many_chunks(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", shape=(8, 4096, 4096), dtype="u1", chunks=(1, 1, 1), shards=(8, 4096, 4096))
    with pytest.raises(ReadError, match="shards of 134217728 chunks"):
        open_cube(tmp_path / "x.zarr")


# --- coarser copies ----------------------------------------------------------------------------


def copies(cube: Any) -> tuple[Any, ...]:
    return tuple(cube.source.coarser)


def test_coarser_copies_of_a_large_cube_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "COARSEST_SIDE", 8)
    values = np.random.default_rng(0).random((5, 32, 24), np.float32)
    Cube.from_array(values, name="large").save(tmp_path / "large.zarr")
    cube = open_cube(tmp_path / "large.zarr")
    assert [copy.shape for copy in copies(cube)] == [(5, 16, 12), (5, 8, 6)]
    assert isinstance(cube.layer_data()[0], da.Array)
    monkeypatch.setattr(memory, "SHOWN_WHOLE", 100)
    levels, keywords, _ = cube.layer_data()
    assert keywords["multiscale"] and [level.shape for level in levels] == [(5, 32, 24), (5, 16, 12), (5, 8, 6)]
    np.testing.assert_allclose(np.asarray(levels[1]), values.reshape(5, 16, 2, 12, 2).mean(axis=(2, 4)), rtol=1e-6)
    # a part of it has none
    assert isinstance(cube.crop(slice(0, 20), slice(0, 20)).layer_data()[0], da.Array)


@pytest.mark.parametrize("damage", ["gone", "other bands", "other size", "other type", "outside"])
def test_damaged_copies_are_left_out(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "COARSEST_SIDE", 8)
    path = tmp_path / "large.zarr"
    Cube.from_array(np.ones((5, 32, 24), np.float32)).save(path)
    shape, dtype = {"other bands": (4, 8, 6), "other size": (5, 9, 6)}.get(damage, (5, 8, 6)), np.float32
    shutil.rmtree(path / "2")
    group = zarr.open_group(path)
    if damage == "outside":
        ome: Any = dict(group.attrs["ome"])  # type: ignore[arg-type]
        ome["multiscales"][0]["datasets"][2]["path"] = "../elsewhere"
        group.attrs["ome"] = ome
    elif damage != "gone":
        group.create_array("2", shape=shape, dtype=np.int16 if damage == "other type" else dtype)
    cube = open_cube(path)
    assert [copy.shape for copy in copies(cube)] == [(5, 16, 12)]
    assert cube.read().shape == (5, 32, 24)
