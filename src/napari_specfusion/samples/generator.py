"""A still life painted in code, from back to front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.samples.canvas import (
    Canvas,
    Field,
    Mask,
    Point,
    around,
    blur,
    ellipse,
    rectangle,
    stroke,
    turned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["paint_still_life"]

EVERYWHERE = np.ones((1, 1), bool)
SUN = np.array([-0.5, -0.55, 0.67], np.float32)


def paint_still_life(size: int, materials: Mapping[str, int], seed: int = 0) -> Canvas:
    """Paint a wall in window light, a picture, books, flowers, fruit, a colour card and a letter.

    Parameters
    ----------
    size
        Side of the final image in pixels.
    materials
        Number of each material.
    seed
        Varies the textures, the leaves and the handwriting.
    """
    canvas = Canvas(size, materials, seed)
    rng = np.random.default_rng([seed, 1])
    _wall(canvas)
    _table(canvas)
    _picture(canvas)
    _books(canvas, rng)
    _flowers(canvas, rng)
    _fruit(canvas)
    _colour_card(canvas)
    _letter(canvas, rng)
    return canvas


# --- objects ----------------------------------------------------------------------


def _wall(canvas: Canvas) -> None:
    patch = canvas.patch((0, 0, 1, 1))
    row = np.floor(patch.y * 15)
    u, v = (patch.x * 11 + 0.5 * (row % 2)) % 1 - 0.5, (patch.y * 15) % 1 - 0.5
    bud = (np.abs(u) * 1.5 + np.abs(v) < 0.2) | ((np.abs(u) < 0.03) & (v > 0))
    slanted = patch.x + 0.3 * patch.y
    panes = ((slanted - 0.42) * (0.66 - slanted) > 0) | ((slanted - 0.69) * (0.93 - slanted) > 0)
    panes = panes & (((patch.y - 0.05) * (0.3 - patch.y) > 0) | ((patch.y - 0.33) * (0.6 - patch.y) > 0))
    light = (0.5 - 0.12 * patch.y + 0.1 * patch.x) + 0.42 * blur(panes.astype(np.float32), 0.006 * canvas.side)
    canvas.paint(
        patch,
        EVERYWHERE,
        "plaster",
        "sage",
        0.75 * bud + 0.06 * canvas.grain(patch, 3),
        strength=1 + 0.06 * canvas.grain(patch),
        light=light,
    )


def _table(canvas: Canvas) -> None:
    patch = canvas.patch((0, 0.63, 1, 1))
    depth = 0.45 + 1.1 * (patch.y - 0.63)
    across = (patch.x - 0.5) / depth * 5.5
    stripe = np.abs(across % 1 - 0.5)
    blue = (stripe < 0.1) | ((stripe > 0.15) & (stripe < 0.19)) | (np.abs(patch.y - 0.955) < 0.008)
    weave = canvas.ripple(patch.x) * canvas.ripple(patch.y)
    folds = 0.05 * np.sin(across * 2.1 + 9 * patch.y) + 0.05 * np.sin(across * 5 - 4 * patch.y)
    canvas.paint(
        patch,
        EVERYWHERE,
        "linen",
        "indigo",
        blue * (0.85 + 0.1 * weave),
        strength=1 + 0.22 * weave + 0.08 * canvas.grain(patch, 5),
        light=0.86 + folds - 0.25 * np.maximum(patch.x - 0.6, 0) + 0.1 * (patch.y - 0.8),
    )
    edge = canvas.patch((0, 0.625, 1, 0.637))
    canvas.paint(edge, EVERYWHERE, "linen", light=0.95)
    canvas.shadow((0, 0.62, 1, 0.635), rectangle((0.5, 0.63), (1.2, 0.01)), (0, 0.012), 0.006, 0.4)


def _picture(canvas: Canvas) -> None:
    centre, sides = (0.165, 0.2), (0.25, 0.3)
    box = around(centre, 0.17)
    patch = canvas.shadow(box, rectangle(centre, sides), (0.018, 0.02), 0.012, 0.55)
    x, y = patch.x - centre[0], patch.y - centre[1]
    frame = np.maximum(np.abs(x) / (sides[0] / 2), np.abs(y) / (sides[1] / 2))
    bevel = np.where(np.abs(x) * sides[1] > np.abs(y) * sides[0], np.sign(x), np.sign(y))
    grain = np.sin(90 * (x + y) + 4 * canvas.grain(patch, 7))
    canvas.paint(patch, frame < 1, "walnut", "oak", 0.3 + 0.25 * grain, light=0.72 - 0.16 * bevel, gloss=0.01)
    canvas.paint(patch, frame < 0.84, "paper", strength=1 + 0.05 * canvas.grain(patch, 8), light=0.82 - 0.3 * y)
    star = (centre[0], centre[1] - 0.025)
    dx, dy = patch.x - star[0], patch.y - star[1]
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    canvas.paint(patch, (radius < 0.078) & (np.sin(angle * 20) > 0), "ink")
    canvas.paint(patch, (radius > 0.083) & (radius < 0.092), "vermilion", "ochre", 0.5 + 0.5 * np.sin(3 * angle))
    canvas.paint(patch, radius < 0.012, "vermilion")
    for place, pitch in ((-0.054, 8.0), (0.0, 5.0), (0.054, 3.0)):
        bars = (np.abs(dy - 0.116) < 0.012) & (np.abs(dx - place) < 0.022)
        canvas.paint(patch, bars & (canvas.ripple(dx - place, pitch) > 0), "ink")


def _books(canvas: Canvas, rng: np.random.Generator) -> None:
    spines = [
        (0.700, 0.045, 0.355, "bordeaux", "gold"),
        (0.752, 0.058, 0.310, "ultramarine", "paper"),
        (0.803, 0.040, 0.375, "ochre", "ink"),
        (0.855, 0.060, 0.335, "bottle green", "gold"),
        (0.914, 0.055, 0.300, "terracotta", "paper"),
    ]
    bottom = 0.715
    shelf = rectangle((0.81, bottom), (0.265, 0.014))
    canvas.shadow((0.68, bottom - 0.01, 0.945, bottom + 0.01), shelf, (0.012, 0.006), 0.008, 0.6)
    for x, width, height, cloth, print_ in spines:
        centre, sides = (x, bottom - height / 2), (width, height)
        box = (x - width, bottom - height - 0.01, x + width, bottom + 0.01)
        patch = canvas.shadow(box, rectangle(centre, sides), (0.02, 0.008), 0.01, 0.5)
        mask = rectangle(centre, sides)(patch.x, patch.y)
        bulge = (patch.x - x) / (width / 2)
        light = 0.85 - 0.28 * bulge - 0.3 * np.maximum(np.abs(bulge) - 0.6, 0)
        woven = canvas.ripple(patch.x, 3) * canvas.ripple(patch.y, 5)
        canvas.paint(
            patch,
            mask,
            cloth,
            "ink",
            0.06 + 0.05 * canvas.grain(patch, round(x * 100)),
            strength=1 + 0.1 * woven + 0.1 * canvas.grain(patch, 11),
            light=light,
            gloss=0.03 * np.exp(-(((bulge + 0.4) / 0.15) ** 2)),
        )
        top = bottom - height
        for y in (top + 0.03, top + 0.042, bottom - 0.05, bottom - 0.03):
            canvas.paint(patch, mask & (np.abs(patch.y - y) < 0.003), print_)
        _writing(canvas, (x, top + 0.065), (0.0, 1.0), 0.5 * width, round(height / width * 1.1), print_, rng)


def _flowers(canvas: Canvas, rng: np.random.Generator) -> None:
    mouth = (0.47, 0.47)
    for x, y in [(0.33, 0.2), (0.44, 0.1), (0.56, 0.22), (0.38, 0.33), (0.6, 0.36), (0.5, 0.3)]:
        patch = canvas.patch((min(x, mouth[0]) - 0.02, y, max(x, mouth[0]) + 0.02, mouth[1] + 0.02))
        canvas.paint(patch, stroke((x, y), mouth, 0.008), "leaf", "lime", 0.4, light=0.75)
    for angle, length in [(-160, 0.17), (-135, 0.15), (-115, 0.21), (-70, 0.2), (-48, 0.17), (-20, 0.16), (-150, 0.1)]:
        turn = angle + 8 * rng.standard_normal()
        _leaf(canvas, mouth, turn, length * (1 + 0.1 * rng.standard_normal()), rng)
    _vase(canvas, (0.47, 0.62))
    blossoms = [
        ((0.33, 0.2), 0.062, "vermilion", "rose"),
        ((0.44, 0.1), 0.058, "sunflower", "ochre"),
        ((0.57, 0.21), 0.066, "violet", "rose"),
        ((0.38, 0.345), 0.05, "paper", "rose"),
        ((0.605, 0.37), 0.048, "sunflower", "vermilion"),
        ((0.495, 0.3), 0.057, "rose", "vermilion"),
    ]
    for number, (centre, radius, petal, edge) in enumerate(blossoms):
        _blossom(canvas, centre, radius, petal, edge, 7 + number % 3, number)


def _leaf(canvas: Canvas, root: Point, degrees: float, length: float, rng: np.random.Generator) -> None:
    bend = 0.25 * rng.standard_normal()

    def local(x: Field, y: Field) -> tuple[Field, Field]:
        u, v = turned(x, y, root, degrees)
        u = u / length
        return u, v / length + bend * u * u

    def shape(x: Field, y: Field) -> Mask:
        u, v = local(x, y)
        return np.asarray((u > 0) & (u < 1) & (np.abs(v) < 0.21 * np.sin(np.pi * np.clip(u, 0, 1) ** 0.8)))

    box = around(root, 1.25 * length)
    patch = canvas.shadow(box, shape, (0.02, 0.022), 0.008, 0.4)
    u, v = local(patch.x, patch.y)
    veins = (np.abs(v) < 0.012) | (np.abs((u * 9 - np.abs(v) * 14) % 1 - 0.5) < 0.07)
    canvas.paint(
        patch,
        shape,
        "leaf",
        "lime",
        0.25 + 0.45 * veins + 0.15 * canvas.grain(patch, round(degrees)),
        strength=1 + 0.1 * canvas.grain(patch, 13),
        light=0.68 + 0.16 * np.tanh(25 * v) - 0.1 * u,
        gloss=0.05 * np.exp(-(((v - 0.07) / 0.03) ** 2)),
    )


def _vase(canvas: Canvas, centre: Point) -> None:
    def radius(y: Field) -> Field:
        t = (y - centre[1]) / 0.16
        belly = np.sqrt(np.clip(1 - ((t - 0.2) / 0.85) ** 2, 0, 1)) * 0.098
        return np.asarray(np.where(t < -0.55, 0.04 + 0.06 * np.maximum(-0.72 - t, 0), np.maximum(belly, 0.04)))

    box = around(centre, 0.17)
    foot = ellipse((centre[0], centre[1] + 0.155), (0.11, 0.028))
    patch = canvas.shadow(box, foot, (0.07, 0.004), 0.016, 0.6)
    nx = (patch.x - centre[0]) / np.maximum(radius(patch.y), 1e-3)
    nz = np.sqrt(np.clip(1 - nx * nx, 0, 1))
    t = (patch.y - centre[1]) / 0.16
    turn = np.arcsin(np.clip(nx, -1, 1))
    zigzag = np.abs((turn * 4.5 / np.pi) % 1 - 0.5)
    pattern = (np.abs(t - 0.15 - 0.25 * (zigzag - 0.25)) < 0.05) | (np.abs(np.abs(t - 0.15) - 0.27) < 0.025)
    pattern = pattern | (np.abs(t + 0.9) < 0.04)
    canvas.paint(
        patch,
        (np.abs(nx) < 1) & (np.abs(t) < 1),
        "cobalt",
        "celadon",
        0.9 * pattern + 0.07 * canvas.grain(patch, 17),
        strength=1 + 0.12 * canvas.grain(patch, 19),
        light=np.clip(0.3 + 0.62 * (nz * 0.75 - 0.55 * nx), 0.16, 1),
        gloss=0.5 * np.exp(-(((nx + 0.42) / 0.09) ** 2) - ((t - 0.05) / 0.3) ** 2)
        + 0.08 * np.exp(-(((nx - 0.8) / 0.08) ** 2)),
    )
    lip = (centre[0], centre[1] - 0.158)
    canvas.paint(patch, ellipse(lip, (0.0575, 0.011)), "celadon", light=0.85 - 2 * (patch.x - lip[0]))
    canvas.paint(patch, ellipse(lip, (0.051, 0.0075)), "indigo", light=0.25)


def _blossom(canvas: Canvas, centre: Point, radius: float, petal: str, edge: str, count: int, number: int) -> None:
    canvas.shadow(around(centre, radius), ellipse(centre, (0.85 * radius, 0.85 * radius)), (0.014, 0.016), 0.01, 0.45)
    for k in range(2 * count):
        scale = 1.0 if k < count else 0.68
        degrees = 360 / count * (k + 0.5 * (k >= count)) + 17 * number
        along = np.radians(degrees)
        middle = (
            centre[0] + 0.55 * radius * scale * float(np.cos(along)),
            centre[1] + 0.55 * radius * scale * float(np.sin(along)),
        )
        patch = canvas.patch(around(middle, 0.55 * radius))
        u, v = turned(patch.x, patch.y, middle, degrees)
        u, v = u / (0.5 * radius * scale), v / (0.27 * radius * scale)
        streaks = np.sin(v * 9 + canvas.grain(patch, number))
        canvas.paint(
            patch,
            u * u + v * v < 1,
            petal,
            edge,
            0.3 + 0.3 * u + 0.14 * streaks,
            strength=1 + 0.12 * streaks - 0.1 * u,
            light=0.8 + 0.14 * u - 0.1 * v - 0.18 * float(np.cos(along - 0.9)) + (0.08 if k >= count else 0),
        )
    patch = canvas.patch(around(centre, 0.3 * radius))
    dots = canvas.ripple(patch.x, 3.2) * canvas.ripple(patch.y, 3.2)
    canvas.paint(
        patch, ellipse(centre, (0.24 * radius, 0.24 * radius)), "ochre", "walnut", 0.5 + 0.5 * dots, light=0.85
    )


def _ball(
    canvas: Canvas,
    centre: Point,
    radii: Point,
    skin: str,
    blush: str,
    degrees: float = 0,
    *,
    gloss: float = 0.35,
    pores: float = 0.0,
    number: int = 0,
) -> None:
    """Paint a fruit: an ellipsoid, lit from the upper left."""
    shape = ellipse(centre, radii, degrees)
    reach = max(radii)
    ground = ellipse((centre[0], centre[1] + 0.75 * radii[1]), (0.95 * radii[0], 0.35 * radii[1]))
    canvas.shadow(around(centre, 1.2 * reach), ground, (0.6 * radii[0], 0.12 * radii[1]), 0.16 * reach, 0.65)
    patch = canvas.patch(around(centre, 1.05 * reach))
    u, v = turned(patch.x, patch.y, centre, degrees)
    nx, ny = (patch.x - centre[0]) / reach, (patch.y - centre[1]) / reach
    nz = np.sqrt(np.clip(1 - (u / radii[0]) ** 2 - (v / radii[1]) ** 2, 0, 1)).astype(np.float32)
    facing = np.clip(SUN[0] * nx + SUN[1] * ny + SUN[2] * nz, 0, 1)
    mirrored = np.exp(-(((nx + 0.33) / 0.12) ** 2) - ((ny + 0.4) / 0.09) ** 2)
    streaks = np.sin(14 * np.arctan2(ny + 0.9, nx)) * 0.12
    dimples = canvas.ripple(patch.x + 0.4 * patch.y, 3.6) * canvas.ripple(patch.y - 0.3 * patch.x, 3.6)
    canvas.paint(
        patch,
        shape,
        skin,
        blush,
        0.3 + 0.5 * nx + 0.18 * canvas.grain(patch, 20 + number) + streaks,
        strength=1 + pores * dimples + 0.1 * canvas.grain(patch, 40 + number),
        light=0.16 + 0.84 * facing,
        gloss=gloss * mirrored,
    )


def _fruit(canvas: Canvas) -> None:
    plate = (0.5, 0.86)
    patch = canvas.shadow(around(plate, 0.22), ellipse(plate, (0.215, 0.085)), (0.014, 0.016), 0.012, 0.55)
    u, v = (patch.x - plate[0]) / 0.215, (patch.y - plate[1]) / 0.085
    radius = np.hypot(u, v)
    angle = np.arctan2(v, u)
    rim = ((radius > 0.9) & (radius < 0.95)) | ((radius > 0.78) & (radius < 0.88) & (np.sin(48 * angle) > 0.2))
    light = 0.9 - 0.1 * np.tanh(6 * (0.7 - radius)) * (u + v) - 0.06 * (radius < 0.7)
    canvas.paint(patch, radius < 1, "porcelain", "cobalt", 0.85 * rim, light=light)
    _ball(canvas, (0.4, 0.805), (0.06, 0.057), "apple", "lime", number=1)
    _ball(canvas, (0.585, 0.8), (0.064, 0.063), "orange", "vermilion", gloss=0.25, pores=0.12, number=2)
    _ball(canvas, (0.49, 0.785), (0.062, 0.06), "vermilion", "sunflower", number=3)
    _ball(canvas, (0.45, 0.868), (0.056, 0.037), "sunflower", "lime", -18, gloss=0.25, pores=0.1, number=4)
    _ball(canvas, (0.545, 0.872), (0.041, 0.04), "plum", "violet", gloss=0.2, number=5)
    _ball(canvas, (0.622, 0.866), (0.035, 0.034), "plum", "bordeaux", gloss=0.2, number=6)
    for x, y in [(0.4, 0.77), (0.49, 0.748)]:
        patch = canvas.patch(around((x, y), 0.05))
        canvas.paint(patch, stroke((x, y), (x + 0.008, y - 0.03), 0.006), "walnut", light=0.7)


def _colour_card(canvas: Canvas) -> None:
    centre, degrees = (0.155, 0.84), -9.0
    shape = rectangle(centre, (0.25, 0.19), degrees)
    patch = canvas.shadow(around(centre, 0.17), shape, (0.007, 0.008), 0.006, 0.5)
    u, v = turned(patch.x, patch.y, centre, degrees)
    canvas.paint(patch, shape, "ink", "paper", 0.06, light=0.93 - 0.2 * u)
    colours = (
        ("terracotta", "skin", "celadon", "leaf", "violet", "sage"),
        ("orange", "ultramarine", "rose", "plum", "lime", "ochre"),
        ("cobalt", "bottle green", "vermilion", "sunflower", "bordeaux", "indigo"),
    )
    step, side = 0.0405, 0.034
    for row, names in enumerate(colours):
        for column, name in enumerate(names):
            cell = (np.abs(u - (column - 2.5) * step) < side / 2) & (np.abs(v + 0.068 - row * step) < side / 2)
            canvas.paint(patch, cell, name, strength=1 + 0.04 * canvas.grain(patch, 60 + 7 * row + column))
    greys = (np.abs(v - 0.053) < side / 2) & (np.abs(u) < 3 * step)
    level = np.floor(u / step + 3) / 5
    canvas.paint(patch, greys & (np.abs((u / step) % 1 - 0.5) < 0.42), "paper", "ink", level)


def _letter(canvas: Canvas, rng: np.random.Generator) -> None:
    centre, degrees = (0.855, 0.865), 8.0
    shape = rectangle(centre, (0.23, 0.2), degrees)
    box = around(centre, 0.17)
    patch = canvas.shadow(box, shape, (0.006, 0.007), 0.006, 0.5)
    _, v = turned(patch.x, patch.y, centre, degrees)
    crease = 0.06 * np.tanh(v * 120) * np.exp(-((v / 0.03) ** 2))
    canvas.paint(patch, shape, "paper", "skin", 0.08 + 0.05 * canvas.grain(patch, 90), light=0.93 + crease - 0.2 * v)
    direction = (float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees))))
    for line in range(5):
        du, dv = -0.095, -0.07 + 0.033 * line
        start = (centre[0] + direction[0] * du - direction[1] * dv, centre[1] + direction[1] * du + direction[0] * dv)
        _writing(canvas, start, direction, 0.017, 13 if line < 4 else 6, "ink" if line else "vermilion", rng)
    tail, tip = (0.735, 0.965), (0.885, 0.835)
    canvas.shadow(box, stroke(tail, tip, 0.016), (0.006, 0.01), 0.003, 0.5)
    along, across = turned(patch.x, patch.y, tail, float(np.degrees(np.arctan2(tip[1] - tail[1], tip[0] - tail[0]))))
    length = float(np.hypot(tip[0] - tail[0], tip[1] - tail[1]))
    width = 0.008 * np.clip((length - along) / 0.028, 0, 1)
    pencil = (along > 0) & (np.abs(across) < width)
    canvas.paint(patch, pencil, "sunflower", light=0.75 - 30 * across, gloss=0.1 * (np.abs(across + 0.003) < 0.001))
    canvas.paint(patch, pencil & (along > length - 0.028), "oak")
    canvas.paint(patch, pencil & (along > length - 0.009), "ink")
    canvas.paint(patch, pencil & (along < 0.012), "rose")


def _writing(
    canvas: Canvas, start: Point, direction: Point, height: float, letters: int, ink: str, rng: np.random.Generator
) -> None:
    """Paint strokes that look like letters, in a line from `start`; the strokes are at most two pixels wide."""
    (ex, ey), (nx, ny) = direction, (-direction[1], direction[0])
    nodes = [(a, b) for a in (0.0, 0.5) for b in (-0.5, 0.0, 0.5)]
    strokes = ((0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5), (0, 4), (1, 5))
    width = max(0.11 * height, 0.9 * float(canvas.pixel))
    for letter in range(letters):
        chosen = rng.random(len(strokes)) < 0.42
        if rng.random() < 0.15:
            continue
        at = (start[0] + 0.85 * letter * height * ex, start[1] + 0.85 * letter * height * ey)
        patch = canvas.patch(around(at, 1.2 * height))
        points = [(at[0] + height * (a * ex + b * nx), at[1] + height * (a * ey + b * ny)) for a, b in nodes]
        for (i, j), draw in zip(strokes, chosen, strict=True):
            if draw:
                canvas.paint(patch, stroke(points[i], points[j], width), ink)
