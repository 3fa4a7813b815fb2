"""*Save selected layers*."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

import napari_specfusion
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import OutputError
from napari_specfusion.io import WRITERS, open_cube
from napari_specfusion.io.save import find_writer
from napari_specfusion.widgets import _writer
from napari_specfusion.widgets._layers import layer_data
from napari_specfusion.widgets._writer import save_layer

MANIFEST = PluginManifest.from_file(Path(napari_specfusion.__file__).with_name("napari.yaml"))
CLAIMED = [suffix for writer in MANIFEST.contributions.writers for suffix in writer.filename_extensions]
VALUES = np.random.default_rng(0).integers(0, 4000, (5, 20, 30)).astype("i2")
CUBE = Cube.from_array(
    VALUES,
    wavelengths=np.linspace(450, 850, 5),
    nodata=0,
    scale=1e-4,
    affine=(2.0, 0.0, 100.0, 0.0, -2.0, 200.0),
    pixel_size=(2.0, 2.0),
    crs="EPSG:32633",
    name="field",
)


@pytest.mark.parametrize("suffix", CLAIMED)
def test_a_layer_is_saved_with_what_it_was_read_from(suffix: str, tmp_path: Path) -> None:
    data, keywords, _ = CUBE.layer_data()
    written = save_layer(str(tmp_path / f"x{suffix}"), data, keywords)
    back = open_cube(written[-1])
    np.testing.assert_array_equal(np.asarray(back.data), VALUES)
    assert back.dtype == VALUES.dtype
    assert (back.scale, back.nodata, back.crs, back.affine) == (1e-4, 0, "EPSG:32633", CUBE.affine)
    np.testing.assert_array_equal(back.wavelengths, CUBE.wavelengths)


def test_every_claim_has_its_writer_and_every_writer_is_claimed() -> None:
    assert len(CLAIMED) == len(set(CLAIMED))
    assert {find_writer(f"x{suffix}") for suffix in CLAIMED} == set(WRITERS)


@pytest.mark.parametrize("bands", [1, 3])
def test_pictures_keep_wavelengths_and_place(bands: int, tmp_path: Path) -> None:
    data, keywords, _ = layer_data(CUBE.select(range(bands)))
    [*_, path] = save_layer(str(tmp_path / "x.tif"), data, keywords)
    back = open_cube(path)
    np.testing.assert_allclose(back.read(), CUBE.select(range(bands)).read())
    assert (back.crs, back.affine) == (CUBE.crs, CUBE.affine)
    if bands == 3:
        np.testing.assert_array_equal(back.wavelengths, CUBE.wavelengths[:3])


def test_a_strange_layer_and_its_first_level(tmp_path: Path) -> None:
    levels = [VALUES, VALUES[:, ::2, ::2]]
    save_layer(str(tmp_path / "x.npz"), levels, {"name": "strange", "metadata": {}})
    back = open_cube(tmp_path / "x.npz")
    np.testing.assert_array_equal(np.asarray(back.data), VALUES)
    assert back.name == "strange"


def test_what_is_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", told.append)
    save_layer(str(tmp_path / "x.hdr"), VALUES.astype("i1"), {"name": "n"})
    assert "int8 was stored as int16" in told[0]
    with pytest.raises(OutputError, match="no known ending"):
        save_layer(str(tmp_path / "x.docx"), VALUES, {"name": "n"})


def test_nothing_is_loaded_before_it_is_needed() -> None:
    assert not {"napari", "open_cube", "save_cube"} & set(vars(_writer))


def test_ordinary_pictures_are_still_saved_by_napari(viewer: Any, tmp_path: Path) -> None:
    manager = PluginManager.instance()
    for name in ("x.tif", "x.png", "x.npz"):
        writer, _ = manager.get_writer(str(tmp_path / name), ["image"])
        assert writer is not None and writer.plugin_name == "napari", name


def test_a_viewer_saves_the_selected_layer(viewer: Any, tmp_path: Path) -> None:
    data, keywords, _ = CUBE.layer_data()
    viewer.add_image(data, **keywords)
    for name in ("a.hdr", "b.zarr", "c.ome.tif", "d.mat"):
        written = viewer.layers.save(str(tmp_path / name), selected=True)
        np.testing.assert_array_equal(np.asarray(open_cube(written[-1]).data), VALUES)
    written = viewer.layers.save(str(tmp_path / "e.tif"), selected=True, plugin="napari-specfusion")
    assert open_cube(written[-1]).crs == "EPSG:32633"
    # saved again, it replaces the file
    viewer.layers.save(str(tmp_path / "a.hdr"), selected=True)


def test_the_activity_bar_shows_how_far_a_save_is(viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari.utils import progress

    seen: list[tuple[str, int, int]] = []
    update = progress.update

    def told(bar: Any, n: int = 1) -> None:
        update(bar, n)
        seen.append((bar.desc, bar.n, bar.total))

    monkeypatch.setattr(progress, "update", told)
    monkeypatch.setattr("napari_specfusion.memory.SAVED_BLOCK", 1200)
    data, keywords, _ = CUBE.layer_data()
    save_layer(str(tmp_path / "x.hdr"), data, keywords)
    done = [n for _, n, _ in seen]
    assert seen[0][0].startswith("Saving x.hdr") and done == sorted(done)
    assert len(set(done)) > 3 and done[-1] == seen[-1][2]
    assert not progress._all_instances
