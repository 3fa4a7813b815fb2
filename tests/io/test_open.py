"""What holds for every reader, and for `open_cube` and `as_cube` themselves."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import imageio.v3 as imageio
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from scipy.io import savemat

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import AmbiguousArrayError, CubeError, ReadError
from napari_specfusion.io import READERS, as_cube, find_reader, list_arrays, open_cube

MakeFile = Callable[[str], Path]
Values = NDArray[np.uint16]
FILES = [key for key in READERS if key not in {"zarr", "folder"}]


def expected(key: str, values: Values) -> Values:
    return values[:1] if key == "picture" else values


@pytest.mark.parametrize("key", READERS)
def test_pixels_come_back_by_every_way(key: str, make_file: MakeFile, values: Values) -> None:
    path = make_file(key)
    assert find_reader(path) == key
    cube = open_cube(path)
    want = expected(key, values)
    assert cube.shape == want.shape
    assert cube.dtype == (np.int16 if key == "lan" else np.uint16), "ERDAS knows 16 bit with a sign"
    assert (cube.wavelengths is None) == (key != "enmap"), "a product says what its bands are"
    np.testing.assert_array_equal(cube.data.compute(), want)
    np.testing.assert_array_equal(cube.read(slice(2, 8), slice(1, 12)), want[:, 2:8, 1:12])
    np.testing.assert_array_equal(cube.spectrum(3, 12), want[:, 3, 12])
    assert cube.source is not None
    np.testing.assert_array_equal(cube.source.window(slice(None, None, 3), slice(8, 2, -2)), want[:, ::3, 8:2:-2])


@pytest.mark.parametrize("key", READERS)
def test_cube_travels_to_another_process(key: str, make_file: MakeFile, values: Values) -> None:
    cube = open_cube(make_file(key))
    cube.spectrum(0, 0)  # whatever is held open must stay behind
    again = pickle.loads(pickle.dumps(cube.source))
    np.testing.assert_array_equal(again.spectrum(1, 2), expected(key, values)[:, 1, 2])


@pytest.mark.parametrize("key", READERS)
def test_wavelengths_given_win_and_come_out_ascending(key: str, make_file: MakeFile, values: Values) -> None:
    want = expected(key, values)
    falling = np.linspace(700, 400, len(want))
    cube = open_cube(make_file(key), wavelengths=falling, name="mine")
    assert cube.name == "mine"
    assert cube.wavelengths is not None
    np.testing.assert_allclose(cube.wavelengths, falling[::-1])
    np.testing.assert_array_equal(cube.data.compute(), want[::-1])
    np.testing.assert_array_equal(cube.spectrum(1, 2), want[::-1, 1, 2])


@pytest.mark.parametrize("key", READERS)
def test_wavelengths_of_another_length(key: str, make_file: MakeFile) -> None:
    with pytest.raises(ReadError, match="wavelengths has 5 entries"):
        open_cube(make_file(key), wavelengths=[1, 2, 3, 4, 5])


def test_wavelengths_that_are_no_numbers(make_file: MakeFile) -> None:
    with pytest.raises(CubeError, match="not all numbers"):
        open_cube(make_file("npy"), wavelengths=["red", "green"])


def test_very_many_bands_open_at_once(tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.arange(2_000_000, dtype=np.uint32).reshape(-1, 1, 1))
    cube = open_cube(tmp_path / "line.npy")
    assert cube.data.npartitions <= 50_000
    assert cube.spectrum(0, 0)[-1] == 1_999_999


@pytest.mark.parametrize("key", READERS)
def test_missing(key: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="does not exist"):
        open_cube(tmp_path / "nowhere", reader=key)


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xffrubbish\x00" * 300], ids=["empty", "one byte", "rubbish"])
@pytest.mark.parametrize("key", FILES)
def test_no_such_file(key: str, content: bytes, make_file: MakeFile) -> None:
    path = make_file(key)
    path.write_bytes(content)
    with pytest.raises(ReadError, match=path.name):
        open_cube(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("key", FILES)
def test_cut_short(key: str, share: float, make_file: MakeFile) -> None:
    path = make_file(key)
    data = path.with_suffix(".img") if key == "envi" else path
    whole = data.read_bytes()
    data.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ReadError, match="scene"):
        np.asarray(open_cube(path).data)


@pytest.mark.parametrize("key", READERS)
def test_unknown_option(key: str, make_file: MakeFile) -> None:
    with pytest.raises(ReadError, match="takes no option colour"):
        open_cube(make_file(key), colour="red")


def test_unknown_format(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader", encoding="utf-8")
    with pytest.raises(ReadError, match=r"in an unknown format; choose one with reader=: envi, enmap, tiff"):
        open_cube(path)
    with pytest.raises(ReadError, match="there is no reader 'word'"):
        open_cube(path, reader="word")


@pytest.mark.parametrize("key", ["tiff", "npy", "npz", "picture"])
def test_first_bytes_tell_where_the_name_does_not(key: str, make_file: MakeFile) -> None:
    path = make_file(key)
    assert find_reader(path.rename(path.with_suffix(".data"))) == key


def test_importing_and_opening_load_neither_torch_nor_qt(make_file: MakeFile) -> None:
    paths = [str(make_file(key)) for key in ("envi", "tiff", "npy")]
    code = (
        "import sys\nfrom napari_specfusion.io import open_cube\n"
        "heavy = {'h5py', 'imageio', 'tifffile', 'zarr'} & set(sys.modules)\nassert not heavy, heavy\n"
        f"for path in {paths!r}: open_cube(path).layer_data()\n"
        "gui = {'torch', 'qtpy', 'napari', 'magicgui'} & set(sys.modules)\nassert not gui, gui\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestAsCube:
    def test_cube_stays(self, values: Values) -> None:
        cube = Cube.from_array(values)
        assert as_cube(cube).source is cube.source
        assert as_cube(cube, wavelengths=np.arange(11.0) + 400, name="b").name == "b"

    def test_path(self, make_file: MakeFile) -> None:
        assert as_cube(str(make_file("npy")), name="n").name == "n"

    def test_arrays(self, values: Values) -> None:
        assert as_cube(values[0]).shape == (1, 9, 13)
        assert as_cube(da.from_array(values)).shape == values.shape
        assert as_cube(values.tolist()).shape == values.shape

    def test_layer_keeps_its_wavelengths(self, values: Values) -> None:
        cube = Cube.from_array(values, wavelengths=np.arange(11.0) + 400)
        data, keywords, _ = cube.layer_data()
        layer = SimpleNamespace(data=data, metadata=keywords["metadata"], name="layer", rgb=False, multiscale=False)
        assert as_cube(layer) is not None
        np.testing.assert_array_equal(as_cube(layer).wavelengths, cube.wavelengths)

    @pytest.mark.parametrize("bad", [object(), 3, np.array(["a"]), np.zeros((2, 2), complex), np.zeros((0, 2, 2))])
    def test_nothing_else(self, bad: object) -> None:
        with pytest.raises(CubeError):
            as_cube(bad)


# What lies in the folder of real files: path, options, shape, first and last wavelength.
REAL = [
    ("cave/train/balloons.tif", {}, (31, 512, 512), (400.0, 700.0)),
    ("cave/test/superballs.tif", {}, (31, 512, 512), (400.0, 700.0)),
    ("pairs/neon/MLBS_4_hsi.tif", {}, (369, 20, 20), None),
    ("pairs/neon/MLBS_4_rgb.tif", {}, (3, 200, 200), None),
    ("pairs/harv_misregistered/hsi.tif", {}, (369, 27, 10), None),
    ("pairs/harv_misregistered/rgb.tif", {}, (3, 270, 100), None),
    ("pairs/paris_data_hs_pan.mat", {}, (128, 72, 58), None),
    ("pairs/paris_data_hs_pan.mat", {"array": "PCim"}, (1, 216, 174), None),
    ("cubes/jasperRidge2_R198.mat", {}, (198, 100, 100), None),
    ("cubes/pavia.mat", {}, (102, 100, 100), None),
    ("cubes/enmap_potsdam_tile_96_32.tif", {}, (224, 32, 32), (418.24, 2445.53)),
    ("cubes/thp1_raman_witec.mat", {}, (500, 40, 40), (501.265, 1802.47)),
    ("formats/corn_kernel/corn-kernel-hyperspectral.hdr", {}, (580, 31, 43), (366.551, 1048.42)),
    ("formats/specim_rock/image.dat", {}, (450, 38, 23), (378.19, 2503.73)),
    ("formats/wiser/caltech_425_7_7_nm", {}, (425, 7, 7), (376.86, 2500.54)),
    ("formats/wiser/caltech_4_100_150_nm.hdr", {}, (4, 150, 150), (472.02, 852.68)),
    ("formats/wiser/caltech_4_100_150_nm_epsg4087.tif", {}, (4, 139, 168), (472.02, 852.68)),
    ("formats/neon_hdf5/ex.h5", {}, (426, 30, 30), (383.534, 2511.89)),
    ("formats/aviris_ng/ang20170323t202244_rdn_7000-7010.hdr", {}, (425, 10, 10), (376.86, 2500.54)),
]


@pytest.mark.parametrize(("name", "options", "shape", "ends"), REAL, ids=[f"{n}{o or ''}" for n, o, *_ in REAL])
def test_real_files(
    name: str,
    options: dict[str, str],
    shape: tuple[int, int, int],
    ends: tuple[float, float] | None,
    data_dir: Path,
) -> None:
    path = data_dir / name
    if not path.is_file():
        pytest.skip(f"{name} is not there")
    cube = open_cube(path, **options)
    assert cube.shape == shape
    if ends is None:
        assert cube.wavelengths is None
    else:
        assert cube.wavelengths is not None
        np.testing.assert_allclose(cube.wavelengths[[0, -1]], ends, atol=0.01)
    window = cube.read(slice(1, 5), slice(2, 6))
    np.testing.assert_array_equal(cube.values[:, 1:5, 2:6].compute(), window)
    np.testing.assert_array_equal(cube.spectrum(2, 3), window[:, 1, 1])
    low, high = cube.contrast_limits()
    assert -100 < low < high < 1e4


def many_arrays(path: Path) -> Path:
    """Write a cube, a smaller one, a plane, a vector and a text in the format of the path's ending."""
    large, small, plane, vector = np.zeros((4, 5, 6), "f4"), np.ones((2, 3, 4), "f4"), np.ones((7, 8), "f4"), np.ones(6)
    if path.suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["in/large"], file["small"], file["plane"], file["vector"] = large, small, plane, vector
            file["text"] = "words"
    elif path.suffix == ".mat":
        savemat(path, {"large": large, "small": small, "plane": plane, "vector": vector, "text": "words"})
    elif path.suffix == ".npz":
        np.savez(path, large=large, small=small, plane=plane, vector=vector, text=np.array("words"))
    else:
        group = zarr.create_group(path)
        for name, values in (("in/large", large), ("small", small), ("plane", plane), ("vector", vector)):
            group.create_array(name, data=values)
    return path


@pytest.mark.parametrize("suffix", [".h5", ".mat", ".npz", ".zarr"])
def test_the_arrays_of_a_file_are_listed_and_open_by_name(suffix: str, tmp_path: Path) -> None:
    path = many_arrays(tmp_path / f"x{suffix}")
    found = list_arrays(path)
    assert [array.name.rpartition("/")[2] for array in found] == ["large", "small", "plane"]
    assert [array.shape for array in found] == [(4, 5, 6), (2, 3, 4), (7, 8)]
    for array in found:
        cube = open_cube(path, array=array.name)
        assert sorted(n for n in cube.shape if n > 1) == sorted(array.shape)


def test_nothing_is_listed_where_there_is_no_choice(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4)))
    assert list_arrays(tmp_path / "x.npy") == ()
    with pytest.raises(ReadError, match="does not exist"):
        list_arrays(tmp_path / "y.npz")
    (tmp_path / "z.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ReadError, match="cannot be read as NPZ"):
        list_arrays(tmp_path / "z.npz")


@pytest.mark.parametrize("suffix", [".h5", ".mat", ".npz", ".zarr"])
def test_a_choice_is_asked_for_where_two_are_equal(suffix: str, tmp_path: Path) -> None:
    path, values = tmp_path / f"x{suffix}", np.zeros((2, 3, 4), "f4")
    if suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["a"], file["b"] = values, values
    elif suffix == ".mat":
        savemat(path, {"a": values, "b": values})
    elif suffix == ".npz":
        np.savez(path, a=values, b=values)
    else:
        group = zarr.create_group(path)
        for name in "ab":
            group.create_array(name, data=values)
    with pytest.raises(AmbiguousArrayError, match=r"a \(2 x 3 x 4\).*b \(2 x 3 x 4\)"):
        open_cube(path)


def test_wavelengths_from_a_text_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 5)))
    path = tmp_path / "w.csv"
    for text in ("400, 410,420\n", "wavelength\n400\n410\n420\n", "400;410;420", " 400 410\t420 "):
        path.write_text(text, encoding="utf-8")
        assert open_cube(tmp_path / "x.npy", wavelengths=path).wavelengths.tolist() == [400, 410, 420]
    assert as_cube(np.zeros((3, 4, 5)), wavelengths=str(path)).wavelengths.tolist() == [400, 410, 420]
    path.write_text("400\n410\n", encoding="utf-8")
    with pytest.raises(ReadError, match="wavelengths has 2 entries for 3 bands"):
        open_cube(tmp_path / "x.npy", wavelengths=path)
    path.write_text("400\nmany\n", encoding="utf-8")
    with pytest.raises(ReadError, match="more than numbers"):
        open_cube(tmp_path / "x.npy", wavelengths=path)
    with pytest.raises(ReadError, match="is a folder, and only files"):
        open_cube(tmp_path / "x.npy", wavelengths=tmp_path)


def test_the_folder_that_a_scanner_leaves(tmp_path: Path) -> None:
    folder = tmp_path / "leaf"
    inner = folder / "capture"
    inner.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype("u2")
    for name in ("leaf", "WHITEREF_leaf", "DARKREF_leaf"):
        Cube.from_array(values if name == "leaf" else values + 1).save(inner / f"{name}.hdr")
    imageio.imwrite(folder / "leaf.png", np.zeros((4, 5, 3), "u1"))  # a preview
    for path in (folder, inner):
        assert find_reader(path) == "envi"
        np.testing.assert_array_equal(open_cube(path).data, values)
    # several captures, or pictures beside a header: no one can tell
    Cube.from_array(values).save(inner / "root.hdr")
    assert find_reader(folder) == "folder"
    (tmp_path / "bands").mkdir()
    Cube.from_array(values).save(tmp_path / "bands" / "x.hdr")
    for band in (1, 2):
        imageio.imwrite(tmp_path / "bands" / f"band_{band}.png", np.zeros((4, 5), "u1"))
    assert open_cube(tmp_path / "bands").bands == 2


def test_a_path_that_no_file_can_have() -> None:
    with pytest.raises(ReadError, match="NUL character"):
        open_cube("a\0b.npy")
