from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.plugins._npe2 import get_readers
from npe2 import PluginManifest

import napari_specfusion

MANIFEST = PluginManifest.from_file(Path(napari_specfusion.__file__).with_name("napari.yaml"))


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda command: command.id)
def test_every_command_leads_somewhere(command: Any) -> None:
    module, name = command.python_name.split(":")
    assert callable(getattr(import_module(module), name))


def test_every_widget_has_its_command() -> None:
    commands = {command.id for command in MANIFEST.contributions.commands}
    assert {widget.command for widget in MANIFEST.contributions.widgets} <= commands


def test_ordinary_pictures_are_left_to_others() -> None:
    patterns = {p for reader in MANIFEST.contributions.readers for p in reader.filename_patterns}
    assert not patterns & {"*", "*.tif", "*.tiff", "*.png", "*.jpg", "*.h5", "*.zarr"}


def readers_of(name: str) -> set[str]:
    """Return the plugins that napari would ask about a file of this name."""
    from napari.plugins import _initialize_plugins
    from npe2 import PluginManager

    _initialize_plugins()
    return {reader.plugin_name for reader in PluginManager.instance().iter_compatible_readers(name)}


@pytest.mark.parametrize(
    "name",
    [
        "photo.tif", "stack.TIFF", "image.png", "data.h5", "table.xml", "a-b-c.xml", "A-METADATA.xml", "a_b.tif",
        "my_basic_model.h5", "scan_reflectance.h5", "IMAGE-SPECTRAL_IMAGE.tif",
    ],
)  # fmt: skip
def test_nobody_is_asked_about_ordinary_files(name: str) -> None:
    assert "napari-specfusion" not in readers_of(name)


@pytest.mark.parametrize(
    "name",
    [
        "PRS_L2D_STD_20201107101404_20201107101408_0001.he5",
        "EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc",
        "NEON_D17_SOAP_DP3_298000_4107000_reflectance.h5",
        "NEON_D02_SERC_DP3_368000_4306000_bidirectional_reflectance.h5",
        "20250504_092952_87_4001_basic_sr_hdf5.h5",
        "20250511_074311_00_4001_ortho_radiance_hdf5.h5",
        "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z-SPECTRAL_IMAGE.TIF",
        "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z-METADATA.XML",
        "DESIS-HSI-L2A-DT1203190212_025-20191203T021128-V0210-SPECTRAL_IMAGE.tif",
        "DESIS-HSI-L2A-DT1203190212_025-20191203T021128-V0210-METADATA.xml",
    ],
)
def test_products_are_claimed_by_their_names(name: str) -> None:
    assert "napari-specfusion" in readers_of(name)
    if name.endswith((".he5", ".nc")):
        assert readers_of(name) == {"napari-specfusion"}, "no question is asked"


ORDINARY = [
    "photo.png", "photo.PNG", "photo.jpg", "scan.tif", "scan.TIFF", "stack.ome.tif", "Image_001_405nm.tif", "array.npy",
    "arrays.npz", "data.h5", "table.csv", "map.jp2", "film.avi", "NEON_D17_photo.tif", "EnMAP.tif", "PRISMA.tif",
]  # fmt: skip


@pytest.mark.parametrize("name", ORDINARY)
def test_nothing_ordinary_makes_napari_ask(name: str, viewer: Any) -> None:
    assert "napari-specfusion" not in get_readers(name)


@pytest.mark.parametrize("name", ["run.mat", "scene.bil", "scene.bip", "scene.bsq", "PRS_L2D_x.he5", "scene.pix"])
def test_what_nobody_else_reads_opens_without_a_question(name: str, viewer: Any) -> None:
    assert list(get_readers(name)) == ["napari-specfusion"]


def test_an_ordinary_picture_is_dropped_and_opened_by_napari(viewer: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", np.zeros((8, 9), np.uint8))
    [layer] = viewer.open(tmp_path / "scan.tif", plugin=None)
    assert "specfusion" not in layer.metadata


def test_folders_are_read_by_both(viewer: Any, tmp_path: Path) -> None:
    # npe2 compares no pattern for a folder: claiming .zarr alone is not possible, not claiming it loses wavelengths
    assert set(get_readers(str(tmp_path))) == {"napari", "napari-specfusion"}


def test_a_file_is_read_by_the_plugin(viewer: Any, pair_files: tuple[Path, Path]) -> None:
    (layer,) = viewer.open(pair_files[0], plugin="napari-specfusion")
    assert layer.metadata["specfusion"]["wavelengths"][0] == 400
    assert not layer.rgb and layer.data.shape[0] == 31


def test_the_sample_pair_lies_together(viewer: Any) -> None:
    viewer.open_sample("napari-specfusion", "pair")
    reference, guide, low = viewer.layers
    assert guide.rgb and low.data.shape[0] == reference.data.shape[0] == 31
    assert np.allclose(low.scale[1:], 4)
    assert np.allclose(low.data_to_world((0, 0, 0))[1:], low.translate[1:])


def test_the_palette_offers_what_a_user_can_run(viewer: Any) -> None:
    from napari._qt.widgets.qt_command_palette import QCommandPalette
    from qtpy.QtWidgets import QApplication

    window = next(w for w in QApplication.topLevelWidgets() if hasattr(w, "_qt_viewer"))
    window._command_palette.update_context(window)
    assert isinstance(window._command_palette, QCommandPalette)
    offered = {command.id for command in window._command_palette._list.iter_top_hits("")}
    assert "napari-specfusion.fuse" in offered and "napari-specfusion.show_rgb" in offered
    assert not offered & {"napari-specfusion.read", "napari-specfusion.save"}
