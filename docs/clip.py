"""Make the clip of the documentation: two files are dropped onto a real napari window, and the fused cube grows.

Needs a display, or `xvfb-run -a -s "-screen 0 1400x900x24 +extension GLX"` in front of it.
"""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtTest import QTest
from screenshots import IMAGES, PLUGIN, wait_for

from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

SIZE = (1160, 690)
# width of the panel, and how far the last two pictures are enlarged
PANEL, ZOOM = 370, 3.0
# pixels along a side of the guide, and a place in it to look at closely
GUIDE, PLACE = 512, (0.55, 0.72)
TILE = 64
METHOD = "detail"
COLOURS = 128
FONT = ImageFont.load_default(15)
# milliseconds that a picture stays, of the way of a hand, of a growing result, and to read
HAND, GROW, READ = 90, 120, 1600
STEPS = 7


class Clip:
    """Pictures of a window, each with the time that it stays.

    Attributes
    ----------
    frames
        Pairs of a picture and milliseconds.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.frames: list[tuple[Image.Image, int]] = []

    def shoot(self, stay: int, draw: Callable[[ImageDraw.ImageDraw], None] = lambda _: None) -> None:
        """Take a picture and draw on it; one that shows nothing new lets the last stay longer."""
        picture = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3].copy())
        draw(ImageDraw.Draw(picture))
        if self.frames and np.array_equal(np.asarray(picture), np.asarray(self.frames[-1][0])):
            picture, before = self.frames.pop()
            stay += before
        self.frames.append((picture, stay))

    def move(self, start: tuple[float, float], end: tuple[float, float], name: str = "") -> None:
        """Show a hand that goes from one place in the window to another, with a file of this name."""
        for part in np.linspace(0, 1, STEPS):
            # slow at both ends
            eased = 3 * part**2 - 2 * part**3
            y, x = (a + eased * (b - a) for a, b in zip(start, end, strict=True))
            self.shoot(HAND, lambda draw, y=y, x=x: draw_hand(draw, y, x, name))

    def save(self, path: Path) -> None:
        """Write the clip as a GIF of few colours."""
        pictures = [picture for picture, _ in self.frames]
        # one palette for all, from pictures of every part
        some = [np.asarray(picture) for picture in pictures[:: max(1, len(pictures) // 8)]]
        palette = Image.fromarray(np.concatenate(some)).quantize(COLOURS, dither=Image.Dither.NONE)
        flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
        times = [stay for _, stay in self.frames]
        flat[0].save(path, save_all=True, append_images=flat[1:], duration=times, loop=0, optimize=False)


def draw_hand(draw: ImageDraw.ImageDraw, y: float, x: float, name: str) -> None:
    """Draw a pointer, and beside it the file that it carries."""
    if name:
        width = draw.textlength(name, font=FONT)
        box = (x + 12, y + 14, x + 28 + width, y + 40)
        draw.rounded_rectangle(box, 5, fill=(245, 245, 245), outline=(0, 122, 204), width=2)
        draw.text((x + 20, y + 27), name, fill=(20, 20, 20), font=FONT, anchor="lm")
    arrow = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
    draw.polygon([(x + a, y + b) for a, b in arrow], fill=(255, 255, 255), outline=(0, 0, 0))


def middle_of(widget: QWidget, window: QWidget) -> tuple[float, float]:
    """Return where the middle of a widget lies in its window, (y, x) in pixels."""
    place = widget.mapTo(window, widget.rect().center())
    return float(place.y()), float(place.x())


def main() -> None:
    """Drop the pair, check it, fuse it, and write the clip."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    window = viewer.window._qt_window
    QTest.qWait(800)
    clip = Clip(viewer)
    canvas = middle_of(viewer.window._qt_viewer, window)

    def drop(path: Path) -> None:
        clip.move((SIZE[1] - 60.0, 40.0), canvas, path.name)
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path))])
        place, button, keys = QPointF(0, 0), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        event = QDropEvent(place, Qt.DropAction.CopyAction, data, button, keys)
        viewer.window._qt_viewer.dropEvent(event)
        QTest.qWait(600)

    def press(widget: QWidget, act: Callable[[], Any]) -> None:
        place = middle_of(widget, window)
        clip.move(canvas, place)
        act()

    with TemporaryDirectory() as folder, chdir(folder):
        scene = sample_scene(GUIDE)
        scene.hsi.save("cube.bsq")
        photo = np.moveaxis(scene.guide.read(), 0, -1)
        Image.fromarray(np.asarray(255 * photo.clip(0, 1), np.uint8)).save("photo.png")
        clip.shoot(800)
        drop(Path("cube.bsq").resolve())
        clip.shoot(READ)
        drop(Path("photo.png").resolve())
        clip.shoot(READ)

        fuse = viewer.window.add_plugin_dock_widget(PLUGIN, "Fuse", tabify=False)[1]
        window.resizeDocks([fuse.parentWidget()], [PANEL], Qt.Orientation.Horizontal)
        QTest.qWait(100)
        clip.shoot(READ // 2)
        wait_for(lambda: fuse.preflight.done)
        viewer.reset_view()
        fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(METHOD))
        fuse.tile_combo.addItem(f"{TILE} px", TILE)
        fuse.tile_combo.setCurrentIndex(fuse.tile_combo.count() - 1)
        QTest.qWait(300)
        clip.shoot(READ)

        press(fuse.run_button, fuse.start)
        before = len(clip.frames)
        while fuse.progress.isVisible():
            QTest.qWait(GROW)
            clip.shoot(GROW)
        print(f"{len(clip.frames) - before} pictures of the result as it grows")
        QTest.qWait(500)
        clip.shoot(READ)

        # the cube as it was, and what has become of it
        cube, fused = viewer.layers[0], viewer.layers[-1]
        viewer.scene.camera.zoom *= ZOOM
        viewer.scene.camera.center = (GUIDE * PLACE[0], GUIDE * PLACE[1])
        for shown in (False, True):
            for layer in viewer.layers:
                layer.visible = layer is (fused if shown else cube)
            QTest.qWait(300)
            clip.shoot(READ)
        viewer.close()
    clip.save(IMAGES / "fusing.gif")
    size = (IMAGES / "fusing.gif").stat().st_size
    print(f"{len(clip.frames)} pictures, {sum(stay for _, stay in clip.frames) / 1000:.0f} s, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
