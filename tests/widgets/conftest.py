"""A real napari window, and a small pair in files and in layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

pytest.importorskip("napari", reason="the widgets need napari")

from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._panel import apart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene

SIZE = 96
# how the guide of the turned pair lies: degrees, and (y, x) in pixels
TURN, MOVE = 3.0, np.array([3.0, -5.0])


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


@pytest.fixture(scope="session")
def turned() -> tuple[Cube, Cube]:
    """Return a cube of 48 x 48 pixels and a guide that is turned by 3 degrees and moved by a few pixels against it."""
    found = sample_scene(192, 4)
    angle = np.deg2rad(TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, 95.5)
    offset = middle - turn @ (middle + MOVE)
    guide = [affine_transform(band, turn, offset, order=3, mode="reflect") for band in found.guide.read()]
    return found.hsi.replace(name="cube"), found.guide.replace(
        data=da.asarray(np.stack(guide)), name="guide", source=None
    )


@pytest.fixture(scope="session")
def true_matrix() -> NDArray[np.float64]:
    """Return the matrix from cube to guide pixels of the turned pair, but for the cube's own shift."""
    angle = np.deg2rad(TURN)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, 95.5)
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = back, middle + MOVE - back @ middle
    scene = sample_scene(192, 4)
    assert scene.shift is not None
    own = np.diag([4.0, 4.0, 1.0])
    own[:2, 2] = 1.5 + np.array(scene.shift)
    return np.asarray(matrix @ own)


@pytest.fixture
def turned_in(viewer: Any, turned: tuple[Cube, Cube]) -> Any:
    """Return the window with the turned pair in it."""
    show_in(viewer, turned[1])
    show_in(viewer, turned[0])
    return viewer


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
        with apart():
            widget = viewer.window.add_plugin_dock_widget("napari-specfusion", name, tabify=False)[1]
        qtbot.waitUntil(widget.isVisible)
        return widget

    return open_widget
