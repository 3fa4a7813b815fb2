"""Make the pictures of the documentation: a real napari window, driven through the sample pair.

Needs a display, or `xvfb-run -a -s "-screen 0 1400x900x24 +extension GLX"` in front of it.
"""

from __future__ import annotations

import sys
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtTest import QTest
from scipy.ndimage import affine_transform

from napari_specfusion.alignment import align
from napari_specfusion.io import as_cube
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets._layers import rgb_layer_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_specfusion.data.cube import Cube

IMAGES = Path(__file__).parent / "images"
PLUGIN = "napari-specfusion"
SIZE = (1320, 820)
# how the guide of the pair that is not aligned lies: degrees, and pixels (y, x)
TURN, MOVE = 4.0, (9.0, -6.0)
# squares along a side of a checkerboard
SQUARES = 8


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("The window did not get there in time.")
        QTest.qWait(50)


def draw_alignment() -> None:
    """Draw a pair in squares of the cube and of the guide, before and after it is aligned."""
    scene = sample_scene()
    sharp = scene.guide.read()
    angle = np.deg2rad(TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(sharp.shape[1:]) - 1) / 2
    offset = middle - turn @ (middle + MOVE)
    turned = as_cube(np.stack([affine_transform(band, turn, offset, cval=np.nan) for band in sharp]))
    aligned = align(scene.hsi, turned, ratio=scene.factor)
    Image.fromarray(checkerboard(scene.hsi, turned, int(scene.factor))).save(IMAGES / "unaligned.png")
    Image.fromarray(checkerboard(aligned.hsi, aligned.guide, int(aligned.factor))).save(IMAGES / "aligned.png")


def checkerboard(cube: Cube, guide: Cube, ratio: int) -> NDArray[np.uint8]:
    """Return a picture ``(y, x, 3)`` of a guide with every other square taken from the cube."""
    low, sharp = (np.nan_to_num(np.asarray(rgb_layer_data(image)[0], np.float32), nan=1.0) for image in (cube, guide))
    low = low.repeat(ratio, axis=0).repeat(ratio, axis=1)
    height, width = (min(sizes) for sizes in zip(low.shape[:2], sharp.shape[:2], strict=True))
    side = height // SQUARES
    y, x = np.ogrid[:height, :width]
    squares = ((y // side + x // side) % 2 == 1)[..., None]
    picture = np.where(squares, low[:height, :width], sharp[:height, :width])
    return np.asarray(255 * picture.repeat(2, axis=0).repeat(2, axis=1), np.uint8)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    draw_alignment()
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    viewer.window.resize(*SIZE)

    def shoot(name: str) -> None:
        QTest.qWait(400)
        viewer.screenshot(IMAGES / f"{name}.png", canvas_only=False, flash=False)

    def dock(name: str) -> Any:
        return viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=False)[1]

    viewer.open_sample(PLUGIN, "pair")

    fuse = dock("Fuse")
    wait_for(lambda: fuse.preflight.done)
    shoot("fuse")
    # a run that takes a while, and two that wait for it
    for method in ("fit", "detail", "subspace"):
        fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(method))
        fuse.start()
    wait_for(lambda: "left" in fuse.status.text())
    shoot("queue")
    for run in fuse.queue.waiting:
        fuse.remove_run(run)
    fuse.cancel()
    wait_for(fuse.progress.isHidden)
    # small tiles, so that there is something to see while they land
    fuse.tile_combo.addItem("64 px", 64)
    fuse.tile_combo.setCurrentIndex(fuse.tile_combo.count() - 1)
    results = []
    for method in ("bicubic", "subspace"):
        fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(method))
        fuse.start()
        wait_for(fuse.progress.isHidden)
        results.append(viewer.layers[f"fused {method}"])
    shoot("fused")
    viewer.window.remove_dock_widget(fuse)

    viewer.layers["fused bicubic"].visible = False
    viewer.layers["reference"].visible = True
    viewer.layers.selection.active = viewer.layers["fused subspace"]
    spectra = dock("Spectra")
    viewer.dims.set_current_step(0, 20)
    for point in ((97.0, 200.0), (212.0, 106.0)):
        spectra.pins.add(point)
    spectra.regions.draw()
    viewer.layers["Regions"].add_ellipses([[[20, 84], [20, 140], [72, 140], [72, 84]]])
    viewer.layers["Regions"].mode = "pan_zoom"
    wait_for(lambda: bool(spectra.plot.bands()))
    spectra.point_at((208.0, 142.0))
    wait_for(lambda: bool(spectra.plot.curve_data()))
    shoot("spectra")
    viewer.window.remove_dock_widget(spectra)

    for name in ("Pinned spectra", "Regions"):
        viewer.layers.remove(name)
    quality = dock("Quality")
    for result in results:
        quality.estimate_combo.setCurrentText(result.name)
        quality.compare()
        wait_for(lambda: quality.compare_button.isEnabled())
    quality.add_map("sam")
    wait_for(lambda: quality.compare_button.isEnabled())
    shoot("quality")
    quality.mode_combo.setCurrentIndex(1)
    quality.mode_combo.activated.emit(1)
    for result in results:
        quality.estimate_combo.setCurrentText(result.name)
        quality.compare()
        wait_for(lambda: quality.compare_button.isEnabled())
    quality.add_map("expected")
    wait_for(lambda: quality.compare_button.isEnabled())
    shoot("judged")

    # the result left of the line, the cube it was made of right of it
    both = quality.see_both
    for layer in viewer.layers:
        # maps and other results would lie over the two
        layer.visible = layer.name in ("fused subspace", "low-res cube")
    both.other_combo.setCurrentText("low-res cube")
    both.how_combo.setCurrentIndex(both.how_combo.findData("swipe"))
    wait_for(lambda: "swipe" in viewer.layers)
    shoot("swipe")
    viewer.window.remove_dock_widget(quality)

    viewer.layers.clear()
    opener = dock("Open cube")
    with TemporaryDirectory() as folder, chdir(folder):
        scene = sample_scene()
        np.savez("still_life.npz", cube=scene.hsi.read(), wavelengths=scene.hsi.wavelengths)
        opener.path_edit.set_path("still_life.npz")
        wait_for(opener.add_button.isEnabled)
        opener.add()
        shoot("open")
    viewer.window.remove_dock_widget(opener)
    viewer.close()


if __name__ == "__main__":
    main()
