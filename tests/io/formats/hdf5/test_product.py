"""Products of agencies: real structure, the right bands at the right wavelengths, in physical values."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import ReadError, SceneError
from napari_specfusion.io import find_reader, open_cube, open_scene
from napari_specfusion.io.registry import PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tests_io_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


products = _load("products")
RANDOM = np.random.default_rng(3)


def whole(shape: tuple[int, ...], high: int = 9000) -> Any:
    return RANDOM.integers(1, high, shape)


def neon(folder: Path) -> tuple[Path, Any]:
    values = whole((9, 11, 40)).astype("i2")
    values[2, 3] = -9999
    return products.write_neon(folder / "NEON_D02_SERC_DP3_368000_4306000_reflectance.h5", values), np.where(
        values == -9999, np.nan, values / 1e4
    ).transpose(2, 0, 1)


def emit(folder: Path) -> tuple[Path, Any]:
    values = RANDOM.random((9, 11, 30)).astype("f4")
    values[0, 0] = -9999
    path = products.write_emit(folder / "EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc", values)
    return path, np.where(values == -9999, np.nan, values).transpose(2, 0, 1)


def tanager(kind: str) -> Callable[[Path], tuple[Path, Any]]:
    def make(folder: Path) -> tuple[Path, Any]:
        values = RANDOM.random((30, 9, 11)).astype("f4")
        values[:, 8, 10] = -9999
        path = products.write_tanager(folder / f"20250511_074311_00_4001_{kind}_sr_hdf5.h5", kind, values)
        return path, np.where(values == -9999, np.nan, values)

    return make


def prisma(level: str) -> Callable[[Path], tuple[Path, Any]]:
    def make(folder: Path) -> tuple[Path, Any]:
        vnir, swir = (whole((bands, 9, 11), 60000).astype("u2") for bands in (13, 21))
        path = products.write_prisma(folder / f"PRS_{level}_STD_20201107101404.he5", level, vnir, swir, None)
        if level == "L1":
            parts = vnir[3:][::-1] / 100, swir[:-1][::-1] / 100
        else:
            parts = vnir[3:][::-1] / 65535 * 1.2, swir[:-1][::-1] / 65535 * 1.0 - 0.1
        centres = np.concatenate([np.linspace(406, 977, 10), np.linspace(943, 2497, 20)])
        return path, np.concatenate(parts)[np.argsort(centres)]

    return make


MAKERS: dict[str, Callable[[Path], tuple[Path, Any]]] = {
    "neon": neon,
    "emit": emit,
    "tanager basic": tanager("basic"),
    "tanager ortho": tanager("ortho"),
    "prisma L1": prisma("L1"),
    "prisma L2C": prisma("L2C"),
    "prisma L2D": prisma("L2D"),
}


def test_every_product_is_tested() -> None:
    # HyperSpy's signals, which no agency makes, have tests of their own
    assert {name.partition(" ")[0] for name in MAKERS} == set(PRODUCTS) - {"hyperspy"}


@pytest.mark.parametrize("name", MAKERS)
def test_physical_values_come_back_by_every_way(name: str, tmp_path: Path) -> None:
    path, want = MAKERS[name](tmp_path)
    assert find_reader(path) == "hdf5"
    cube = open_cube(path)
    assert cube.shape == want.shape
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(cube.values.compute(), want, **close)
    np.testing.assert_allclose(cube.read(slice(1, 8), slice(2, 9)), want[:, 1:8, 2:9], **close)
    np.testing.assert_allclose(cube.spectrum(2, 3), want[:, 2, 3], **close)
    again = pickle.loads(pickle.dumps(cube.source))
    np.testing.assert_array_equal(again.spectrum(4, 5), cube.source.spectrum(4, 5))  # type: ignore[union-attr]
    assert np.all(np.diff(cube.wavelengths) >= 0)  # type: ignore[arg-type]
    assert 370 < cube.wavelengths[0] < 420 and 2480 < cube.wavelengths[-1] < 2520  # type: ignore[index]
    assert cube.fwhm is not None and 5 < cube.fwhm.min() <= cube.fwhm.max() < 13


@pytest.mark.parametrize("name", MAKERS)
def test_products_are_told_without_their_name(name: str, tmp_path: Path) -> None:
    path, want = MAKERS[name](tmp_path)
    assert open_cube(path.rename(tmp_path / "download.bin")).metadata["product"].lower().startswith(name.split()[0])
    cube = open_cube(tmp_path / "download.bin", wavelengths=np.linspace(900, 400, len(want)))
    assert cube.wavelengths is not None and cube.fwhm is None


def test_neon_names_its_windows_of_water(tmp_path: Path) -> None:
    cube = open_cube(neon(tmp_path)[0])
    bad = cube.wavelengths[~cube.good]  # type: ignore[index]
    assert bad.size and np.all(((bad >= 1340) & (bad <= 1445)) | ((bad >= 1790) & (bad <= 1955)))
    assert cube.affine == (1, 0, 368000, 0, -1, 4307000)
    assert cube.crs == "EPSG:32618"


def test_a_real_tile_of_neon(data_dir: Path) -> None:
    path = data_dir / "formats/neon_hdf5/ex.h5"
    if not path.is_file():
        pytest.skip("the tile is not there")
    cube = open_cube(path)
    with h5py.File(path) as file:
        stored = file["SJER/Reflectance/Reflectance_Data"][()].transpose(2, 0, 1)
        centres = file["SJER/Reflectance/Metadata/Spectral_Data/Wavelength"][()]
    assert cube.shape == (426, 30, 30)
    np.testing.assert_array_equal(cube.data.compute(), stored)
    np.testing.assert_array_equal(cube.wavelengths, centres)
    assert (cube.scale, cube.nodata, cube.crs) == (1e-4, -9999, "EPSG:32611")
    assert cube.affine == (1, 0, 257000, 0, -1, 4112000)
    np.testing.assert_allclose(cube.spectrum(29, 0), stored[:, 29, 0] * 1e-4, rtol=1e-6)
    low, high = cube.contrast_limits()
    assert 0 <= low < high < 1


def test_good_wavelengths_are_the_products_own(tmp_path: Path) -> None:
    assert np.flatnonzero(~open_cube(emit(tmp_path)[0]).good).tolist() == [15]
    assert np.flatnonzero(~open_cube(tanager("ortho")(tmp_path)[0]).good).tolist() == [2]


def test_emit_radiance(tmp_path: Path) -> None:
    path = products.write_emit(tmp_path / "EMIT_L1B_RAD.nc", RANDOM.random((5, 6, 7)), "radiance")
    assert open_cube(path).shape == (7, 5, 6)


def test_tanager_lies_on_its_grid(tmp_path: Path) -> None:
    cube = open_cube(tanager("ortho")(tmp_path)[0])
    assert cube.affine == (30, 0, 570300, 0, -30, 3555450)
    assert (cube.crs, cube.pixel_size) == ("EPSG:32613", (30, 30))
    swath = open_cube(tanager("basic")(tmp_path)[0])
    assert swath.affine is None and "32613" in swath.metadata["Planet_Ortho_Framing"]


def test_prisma_swir_counts_as_bad_where_vnir_sees_too(tmp_path: Path) -> None:
    cube = open_cube(prisma("L2D")(tmp_path)[0])
    # SWIR centres start at 943 nm, VNIR ends at 977 nm: one SWIR band lies between
    np.testing.assert_allclose(cube.wavelengths[~cube.good], [943])  # type: ignore[index]
    assert cube.affine == (30, 0, 352740, 0, -30, 4987250)
    assert cube.crs == "EPSG:32632"
    assert any("overlap the VNIR bands" in note for note in cube.metadata["notes"])


def test_prisma_zero_is_no_data_on_the_map(tmp_path: Path) -> None:
    vnir, swir = np.zeros((4, 3, 3), "u2"), np.zeros((2, 3, 3), "u2")
    vnir[3], swir[0] = 7, 7
    vnir[:, 0, 0] = swir[:, 0, 0] = 0
    cube = open_cube(products.write_prisma(tmp_path / "a.he5", "L2D", vnir, swir, None))
    assert np.all(np.isnan(cube.spectrum(0, 0))) and np.all(np.isfinite(cube.spectrum(1, 1)))


@pytest.mark.parametrize("level", ["L1", "L2B", "L2C", "L2D"])
def test_prisma_opens_as_a_scene(level: str, tmp_path: Path) -> None:
    """The scene's guide is the panchromatic image of PRS_..._PCO, six times finer (ASI's specification, issue 2.3)."""
    vnir, swir = (whole((bands, 5, 4)).astype("u2") for bands in (8, 9))
    pan = whole((30, 24)).astype("u2")
    scene = open_scene(products.write_prisma(tmp_path / "PRS.he5", level, vnir, swir, pan))
    assert scene.factor == 6
    assert (scene.hsi.shape, scene.guide.shape) == ((13, 5, 4), (1, 30, 24))
    np.testing.assert_array_equal(scene.guide.data.compute()[0], pan)
    np.testing.assert_array_equal(scene.guide.source.window(slice(2, 9), slice(20, 3, -4))[0], pan[2:9, 20:3:-4])  # type: ignore[union-attr]
    scale = 0.01 if level == "L1" else 0.8 / 65535
    np.testing.assert_allclose(scene.guide.read()[0], pan * scale, rtol=1e-5)
    if level == "L2D":
        assert scene.guide.affine == (5, 0, 352740, 0, -5, 4987250)
    again = pickle.loads(pickle.dumps(scene.guide.source))
    np.testing.assert_array_equal(again.spectrum(29, 1), pan[29, 1])


def test_what_is_no_scene(tmp_path: Path) -> None:
    for path in (prisma("L2D")(tmp_path)[0], emit(tmp_path)[0]):
        with pytest.raises(ReadError, match=r"holds no sharper image for its cube; open two files"):
            open_scene(path)
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5)))
    with pytest.raises(ReadError, match="holds no sharper image"):
        open_scene(tmp_path / "a.npy")
    with pytest.raises(ReadError, match="does not exist"):
        open_scene(tmp_path / "nowhere.he5")
    small = whole((5, 4)).astype("u2")
    cube = whole((8, 5, 4)).astype("u2")
    with pytest.raises(SceneError, match="guide must be larger"):
        open_scene(products.write_prisma(tmp_path / "b.he5", "L1", cube, cube, small))


@pytest.mark.parametrize("wrong", [np.zeros(5), np.full(8, np.nan), np.zeros(8)], ids=["short", "nan", "none used"])
def test_prisma_without_wavelengths(wrong: Any, tmp_path: Path) -> None:
    cube = whole((8, 5, 4)).astype("u2")
    path = products.write_prisma(tmp_path / "a.he5", "L1", cube, cube, None)
    with h5py.File(path, "r+") as file:
        file.attrs["List_Cw_Vnir"] = file.attrs["List_Cw_Swir"] = wrong
    with pytest.raises(ReadError, match="List_Cw_Vnir"):
        open_cube(path)


# --- EnMAP and DESIS -------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1], ids=["image", "metadata"])
def test_enmap_by_either_file(which: int, tmp_path: Path) -> None:
    values = whole((12, 7, 9)).astype("<i2")
    values[:, 0, 0] = -32768
    path = products.write_enmap(tmp_path, values)[which]
    assert find_reader(path) == "enmap"
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), values)
    np.testing.assert_allclose(cube.wavelengths, np.linspace(418.24, 2445.53, 12), atol=1e-3)
    np.testing.assert_allclose(cube.fwhm, 7 + np.arange(1, 13) / 10)
    assert (cube.scale, cube.offset, cube.nodata) == (1e-4, 0, -32768)
    assert np.all(np.isnan(cube.spectrum(0, 0)))
    np.testing.assert_allclose(cube.spectrum(3, 4), values[:, 3, 4] * 1e-4, rtol=1e-6)
    assert cube.name == products.ENMAP


def test_desis_has_a_gain_for_each_band(tmp_path: Path) -> None:
    values = whole((10, 7, 9)).astype("<i2")
    for path in products.write_desis(tmp_path, values):
        cube = open_cube(path)
        np.testing.assert_array_equal(cube.data.compute(), values)
        np.testing.assert_allclose(cube.wavelengths, np.linspace(401.7, 999.5, 10), atol=1e-3)
        numbers = np.arange(1, 11)[:, None, None]
        np.testing.assert_allclose(cube.read(), values * (numbers * 1e-4) + numbers / 100, rtol=1e-5)
        np.testing.assert_array_equal(cube.fwhm, [3.5] * 10)


def test_as_many_bands_as_columns_are_no_riddle(tmp_path: Path) -> None:
    values = whole((9, 9, 9)).astype("<i2")
    for write in (products.write_enmap, products.write_desis):
        for path in write(tmp_path, values):
            np.testing.assert_array_equal(open_cube(path).data.compute(), values)


def test_enmap_image_alone(tmp_path: Path) -> None:
    image, metadata = products.write_enmap(tmp_path, whole((4, 5, 6)).astype("<i2"))
    metadata.unlink()
    cube = open_cube(image)
    assert cube.wavelengths is None
    assert "METADATA.XML" in cube.metadata["notes"][-1]


def test_enmap_metadata_alone(tmp_path: Path) -> None:
    image, metadata = products.write_enmap(tmp_path, whole((4, 5, 6)).astype("<i2"))
    image.unlink()
    with pytest.raises(ReadError, match=r"SPECTRAL_IMAGE\.TIF next to it"):
        open_cube(metadata)


def test_enmap_of_two_products(tmp_path: Path) -> None:
    image, metadata = products.write_enmap(tmp_path, whole((4, 5, 6)).astype("<i2"))
    kept = metadata.read_bytes()
    products.write_enmap(tmp_path, whole((7, 5, 6)).astype("<i2"))
    metadata.write_bytes(kept)
    with pytest.raises(ReadError, match=r"describes 4 bands, .* has 7"):
        open_cube(image)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>\n<level_X>&c;'
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<level_X>&a;</level_X>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB.encode(), "declares a document type"),
        (OUTSIDE.encode(), "declares a document type"),
        (OUTSIDE.encode("utf-16"), "declares a document type"),
        (b'<!DOCTYPE level_X SYSTEM "http://example.org/x.dtd"><level_X/>', "declares a document type"),
        (b"<a>" * 1000, "nests more than 200"),
        (b"<level_X><specific>", "not a complete XML"),
        (b"<level_X/>", "describes no bands"),
        (b"\0\0\0", "not a complete XML"),
        (
            b"<a><bandCharacterisation><bandID><wavelengthCenterOfBand>NaN</wavelengthCenterOfBand></bandID>"
            b"</bandCharacterisation></a>",
            "does not give a wavelength",
        ),
    ],
    ids=["bomb", "outside", "outside utf-16", "remote", "deep", "cut", "empty", "binary", "nan"],
)
def test_hostile_metadata(content: bytes, words: str, tmp_path: Path) -> None:
    _, metadata = products.write_enmap(tmp_path, whole((4, 5, 6)).astype("<i2"))
    metadata.write_bytes(content)
    with pytest.raises(ReadError, match=words):
        open_cube(metadata)


def test_metadata_are_no_gigabytes(tmp_path: Path) -> None:
    _, metadata = products.write_enmap(tmp_path, whole((4, 5, 6)).astype("<i2"))
    with metadata.open("ab") as file:
        file.truncate(65 << 20)
    with pytest.raises(ReadError, match="more than 67108864 bytes"):
        open_cube(metadata)


def test_a_cube_of_a_product_is_a_cube(tmp_path: Path) -> None:
    assert isinstance(open_cube(prisma("L2D")(tmp_path)[0]), Cube)


def test_gains_that_some_bands_lack_are_told(tmp_path: Path) -> None:
    _, metadata = products.write_enmap(tmp_path, whole((4, 5, 6)).astype("<i2"))
    assert open_cube(metadata).scale == 1e-4 and not open_cube(metadata).metadata["notes"]
    metadata.write_text(
        metadata.read_text(encoding="utf-8").replace("<GainOfBand>0.0001</GainOfBand>", "", 1), encoding="utf-8"
    )
    cube = open_cube(metadata)
    assert cube.scale == 1 and "scale of the bands was left out" in cube.metadata["notes"][0]
