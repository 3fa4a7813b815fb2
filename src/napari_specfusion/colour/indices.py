"""Maps of a band ratio, a normalised difference or any other formula over a cube's bands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_specfusion.arguments import text
from napari_specfusion.colour.formula import Formula
from napari_specfusion.colour.reading import band_near, mapped, picture_of, watch_of
from napari_specfusion.errors import CubeError
from napari_specfusion.io import as_cube

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.progress import Progress, ShouldStop

__all__ = ["INDICES", "index_map"]

INDICES: Mapping[str, str] = MappingProxyType(
    {
        "NDVI": "(R800 - R670) / (R800 + R670)",
        "simple ratio": "R800 / R670",
        "NDRE": "(R790 - R720) / (R790 + R720)",
        "PRI": "(R531 - R570) / (R531 + R570)",
        "EVI": "2.5 * (R800 - R670) / (R800 + 6 * R670 - 7.5 * R470 + 1)",
        "NDWI": "(R560 - R860) / (R560 + R860)",
        "NDMI": "(R860 - R1640) / (R860 + R1640)",
        "NBR": "(R860 - R2190) / (R860 + R2190)",
        "clay ratio": "R1650 / R2200",
    }
)
"""Formulas of well-known indices, by name."""


def index_map(
    cube: CubeLike,
    formula: str = "NDVI",
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return a map of a formula over the bands of a cube.

    Parameters
    ----------
    cube
        A cube with wavelengths, or what `as_cube` makes one of. Only the bands of the formula are read.
    formula
        Arithmetic over bands: ``"(R800 - R670) / (R800 + R670)"``, where ``R800`` is the good band nearest to 800 nm
        (cm-1 for Raman shifts). Numbers, ``+ - * / **`` and brackets are allowed. Or one of `INDICES`, such as "NDVI".
    progress, should_stop
        As `fuse` takes them.

    Returns
    -------
    Cube
        ``(1, y, x)``, float32, in memory; NaN where a value is missing or the formula divides by zero.

    Raises
    ------
    CubeError
        If the formula cannot be read, or the cube has no good band near one of its wavelengths.
    Cancelled
        If `should_stop` says so.
    """
    cube = as_cube(cube)
    title = text("A formula", formula, CubeError).strip()
    parsed = Formula.read(INDICES.get(title, title))
    title = next((name for name, written in INDICES.items() if written == parsed.written), title)
    bands = [band_near(cube, wavelength) for wavelength in parsed.wavelengths]
    values = mapped(
        cube,
        bands,
        1,
        lambda read: parsed.compute(dict(zip(parsed.wavelengths, read, strict=True)))[None],
        watch_of(progress, should_stop),
        f"Computing {title}",
    )
    assert cube.wavelengths is not None
    used = [float(wavelength) for wavelength in cube.wavelengths[bands]]
    return picture_of(cube, values, title, (title,), formula=parsed.written, wavelengths_used=used)
