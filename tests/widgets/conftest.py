"""A real napari window, and a small pair in files and in layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("napari", reason="the widgets need napari")

from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets._console import show_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

SIZE = 96


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Return a small sample pair with its reference."""
    found = sample_scene(SIZE, 4)
    assert found.reference is not None
    return found.replace(
        hsi=found.hsi.replace(name="low-res cube"),
        guide=found.guide.replace(name="guide"),
        reference=found.reference.replace(name="reference"),
    )


@pytest.fixture
def pair_files(scene: Scene, tmp_path: Path) -> tuple[Path, Path]:
    """Write the pair as an ENVI cube and an RGB picture; return the header's and the picture's path."""
    import tifffile

    values = scene.hsi.read().astype("<f4")
    bands, height, width = values.shape
    assert scene.hsi.wavelengths is not None
    header = (
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {bands}\nheader offset = 0\ndata type = 4\n"
        "interleave = bsq\nbyte order = 0\nwavelength units = Nanometers\n"
        f"wavelength = {{{', '.join(f'{w:g}' for w in scene.hsi.wavelengths)}}}\n"
    )
    (tmp_path / "cube.hdr").write_text(header, encoding="utf-8")
    values.tofile(tmp_path / "cube.bsq")
    picture = np.moveaxis(scene.guide.read()[::-1], 0, -1)
    tifffile.imwrite(tmp_path / "guide.tif", picture, photometric="rgb")
    return tmp_path / "cube.hdr", tmp_path / "guide.tif"


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any], qtbot: Any) -> Any:
    """Return a napari window on screen, as plugins see it."""
    found = make_napari_viewer_proxy(show=True)
    qtbot.wait(80)
    return found


@pytest.fixture
def pair_in(viewer: Any, scene: Scene) -> Any:
    """Return the window with reference, guide and cube in it."""
    assert scene.reference is not None
    show_in(viewer, scene.reference)
    show_in(viewer, scene.guide)
    show_in(viewer, scene.hsi)
    return viewer


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> Callable[[str], Any]:
    """Return a function that opens one of the plugin's widgets by its name."""

    def open_widget(name: str) -> Any:
        widget = viewer.window.add_plugin_dock_widget("napari-specfusion", name, tabify=False)[1]
        qtbot.waitUntil(widget.isVisible)
        return widget

    return open_widget
