"""Counts of a camera to reflectance, with the references taken of a white panel and in the dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion.data.scene import cube_findings
from napari_specfusion.errors import CalibrationError
from napari_specfusion.radiometry.setup import Setup
from napari_specfusion.radiometry.source import ReflectanceSource

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.data.scene import Finding

__all__ = ["check_references", "reflectance"]


def reflectance(
    raw: CubeLike,
    white: CubeLike | None = None,
    dark: CubeLike | None = None,
    *,
    panel: ArrayLike = 1.0,
    times: tuple[float, float] | None = None,
    white_dark: CubeLike | None = None,
    dead: Literal["nan", "interpolate"] = "nan",
    saturation: float | None = None,
) -> Cube:
    """Turn counts into reflectance: ``(raw - dark) / (white - dark) * panel``, lazily.

    A reference may have the cube's rows and columns, and is then taken pixel by pixel; its columns and any other number
    of lines, and is then averaged along them, per band and column, as push-broom cameras need it; or be one spectrum.
    Averages are taken at once, over 512 lines spread evenly at most; the cube itself is read when it is used.

    Parameters
    ----------
    raw
        The cube in counts, as anything that `as_cube` takes.
    white
        The white reference likewise, or an array ``(bands,)`` or ``(bands, x)``. None takes that beside the path `raw`.
    dark
        The dark reference likewise, or one number. None takes that beside the path `raw`, and 0 if there is none.
    panel
        Reflectance of the panel, 0 to 1: a number, or one per band in the order of the cube.
    times
        Integration times (of the cube, of the white reference), in one unit. None takes them from the headers where
        both have one, else they count as equal.
    white_dark
        What was taken in the dark at the white reference's integration time; None takes `dark`.
    dead
        What becomes of pixels in which white hardly exceeds dark: NaN, or the line between the nearest columns of the
        same band that live.
    saturation
        Count at which the sensor is full; None finds it from the white reference.

    Returns
    -------
    Cube
        Reflectance, floating; dead bands are marked bad. ``metadata["reflectance"]`` tells what was done,
        ``metadata["findings"]`` level and message of what opening the counts and :func:`check_references` found.

    Raises
    ------
    CalibrationError
        If there is no white reference, if sizes, bands or wavelengths do not fit, if the white reference is darker than
        the dark one, or an option makes no sense.
    ReadError
        If a file cannot be read.
    """
    if dead not in ("nan", "interpolate"):
        raise CalibrationError(f"dead is {dead!r}; it must be 'nan' or 'interpolate'.")
    setup = Setup.of(raw, white, dark, white_dark, times, saturation)
    findings = setup.findings()
    for finding in findings:
        if finding.level == "error":
            raise CalibrationError(finding.message)
    cube, span = setup.raw, setup.span
    factor = (_panel(panel, cube.bands) * setup.factor)[:, None, None]
    source = ReflectanceSource(cube, setup.dark.field, span, setup.floor, factor, dead == "interpolate")
    good = cube.good & (np.isfinite(setup.floor[:, 0, 0]))
    told = [(f.level, f.message) for f in (*cube_findings(cube), *findings)]
    done = {
        "white": setup.white.name,
        "dark": setup.dark.name,
        "panel": np.asarray(panel, np.float64).tolist(),
        "time_factor": setup.factor,
        "dead": dead,
    }
    return cube.replace(
        data=source.lazy(),
        source=source,
        scale=1.0,
        offset=0.0,
        nodata=None,
        good_bands=None if good.all() else good,
        name=f"{cube.name} reflectance",
        metadata={**cube.metadata, "reflectance": done, "findings": tuple(told)},
    )


def check_references(
    raw: CubeLike,
    white: CubeLike | None = None,
    dark: CubeLike | None = None,
    *,
    times: tuple[float, float] | None = None,
    white_dark: CubeLike | None = None,
    saturation: float | None = None,
) -> tuple[Finding, ...]:
    """Look at a cube and its references, with the arguments of :func:`reflectance`; errors first.

    Raises
    ------
    CalibrationError
        If there is no white reference.
    ReadError
        If a file cannot be read.
    """
    return Setup.of(raw, white, dark, white_dark, times, saturation).findings()


def _panel(panel: ArrayLike, bands: int) -> NDArray[np.float64]:
    try:
        values = np.asarray(panel, np.float64)
    except (TypeError, ValueError) as error:
        raise CalibrationError(
            f"The panel's reflectance is no number ({error}); give 0.99, or one per band."
        ) from error
    if values.shape not in {(), (bands,)}:
        raise CalibrationError(
            f"The panel's reflectance has shape {values.shape} for {bands} bands; give one number or one per band."
        )
    if not np.all((values > 0) & (values <= 2)):
        raise CalibrationError(
            f"The panel's reflectance goes from {np.min(values):g} to {np.max(values):g}; write it as a part of 1: "
            "0.99, not 99."
        )
    return np.broadcast_to(values, (bands,))
