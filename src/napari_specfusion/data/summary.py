"""Summaries of cubes, scenes and results: five lines of text, or a small table in a notebook.

A summary uses what is already known and never reads a pixel.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.sensor.sampling import Psf

__all__ = ["cube_rows", "cube_title", "html_summary", "psf_text", "scene_rows", "scene_title", "text_summary"]

WIDTH = 100
NAME_WIDTH = 40


def text_summary(title: str, rows: Mapping[str, str]) -> str:
    """Return a title and one line per row, each cut at 100 characters."""
    label = max(map(len, rows), default=0)
    lines = [title, *(f"  {name:<{label}}  {value}" for name, value in rows.items())]
    return "\n".join(_cut(line, WIDTH) for line in lines)


def html_summary(title: str, rows: Mapping[str, str]) -> str:
    """Return the same as an HTML table, as notebooks show it."""
    cells = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th>'
        f'<td style="text-align: left">{escape(_cut(value, WIDTH))}</td></tr>'
        for name, value in rows.items()
    )
    return f"<div><strong>{escape(_cut(title, WIDTH))}</strong><table>{cells}</table></div>"


def cube_title(cube: Cube) -> str:
    """Return the title line of a cube."""
    return f"Cube {_name(cube)}: {_size(cube)}, {cube.dtype}"


def cube_rows(cube: Cube) -> dict[str, str]:
    """Return the rows about a cube's spectrum, geometry and values."""
    rows = {"Spectrum": _spectrum(cube) or "wavelengths unknown"}
    if cube.good_bands is not None:
        rows["Spectrum"] += f", {int(cube.good_bands.sum())} of {cube.bands} bands good"
    place = []
    if cube.pixel_size is not None:
        y, x = cube.pixel_size
        place.append(f"{y:g} x {x:g}")
    if cube.crs is not None:
        place.append(_crs_name(cube.crs))
    if place:
        rows["Pixel"] = ", ".join(place)
    if not cube.is_physical:
        rows["Values"] = _values(cube)
    return rows


def scene_title(scene: Scene) -> str:
    """Return the title line of a scene."""
    height, width = scene.shape
    return f"Scene: ratio {float(scene.factor):g}, {scene.hsi.bands} bands fuse to {height} x {width} pixels"


def scene_rows(scene: Scene) -> dict[str, str]:
    """Return the rows about a scene's two images and its known shift, PSF and SRF."""
    known = []
    if scene.shift is not None:
        known.append("shift ({:+.2f}, {:+.2f}) px".format(*scene.shift))
    if scene.psf is not None:
        known.append(f"PSF {psf_text(scene.psf)}")
    known += [word for word, value in (("SRF", scene.srf), ("sharp reference", scene.reference)) if value is not None]
    return {
        "Cube": _image(scene.hsi),
        "Guide": _image(scene.guide),
        "Known": ", ".join(known) or "nothing yet about shift, PSF and SRF",
    }


def psf_text(psf: Psf) -> str:
    """Return the kind of a PSF and its width in HR pixels."""
    if math.isinf(psf.sigma):
        return f"box {psf.support:g} px wide"
    cut = "" if psf.support is None else f" within {psf.support:g} px"
    return f"Gaussian, sigma {psf.sigma:.2f} px{cut}"


def _image(cube: Cube) -> str:
    return ", ".join(filter(None, (f"{_name(cube)}: {_size(cube)}", str(cube.dtype), _spectrum(cube))))


def _name(cube: Cube) -> str:
    return repr(_cut(str(cube.name), NAME_WIDTH))


def _size(cube: Cube) -> str:
    bands, height, width = cube.shape
    return f"{bands} band{'s' if bands > 1 else ''} x {height} rows x {width} columns"


def _spectrum(cube: Cube) -> str:
    if cube.wavelengths is None:
        return ""
    low, high = float(cube.wavelengths.min()), float(cube.wavelengths.max())
    return f"{low:g} {cube.spectral_unit}" if low == high else f"{low:g}-{high:g} {cube.spectral_unit}"


def _values(cube: Cube) -> str:
    words = []
    scale = f"{cube.scale:g}" if isinstance(cube.scale, float) else "one number per band"
    offset = f"{cube.offset:g}" if isinstance(cube.offset, float) else "one number per band"
    if scale != "1" or offset != "0":
        words.append(f"stored values x {scale} + {offset}")
    if cube.nodata is not None:
        words.append(f"no-data {cube.nodata:g}")
    return ", ".join(words)


def _crs_name(crs: str) -> str:
    """Return a short name of a reference system: WKT begins with one in quotes."""
    quoted = crs.split('"', 2)
    return quoted[1] if "[" in quoted[0] and len(quoted) > 1 else " ".join(crs.split())


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
