"""Convert raw camera counts to reflectance with white and dark references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion.arguments import choice
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
    """Convert counts to reflectance lazily: ``(raw - dark) / (white - dark) * panel``.

    A reference with the cube's rows and columns is applied pixel by pixel. One with the cube's columns and any other
    number of lines is averaged over the lines, per band and column, as needed for push-broom cameras. It may also be a
    single spectrum. Averages are computed immediately, from at most 512 evenly spaced lines; the cube stays lazy.

    Parameters
    ----------
    raw
        The cube in counts, in any form that `as_cube` accepts.
    white
        The white reference likewise, or an array ``(bands,)`` or ``(bands, x)``. None finds it next to the path `raw`.
    dark
        The dark reference likewise, or one number. None finds it next to the path `raw`, and uses 0 if it is missing.
    panel
        Reflectance of the panel, 0 to 1: a number, or one per band in the order of the cube.
    times
        Integration times of the cube and of the white reference, in the same unit. None reads them from the headers;
        if either is missing, they are assumed equal.
    white_dark
        Dark reference at the white reference's integration time; None uses `dark`.
    dead
        What to store in dead pixels, in which white hardly exceeds dark: NaN, or values interpolated between the
        nearest valid columns of the same band.
    saturation
        Count at which the sensor saturates; None derives it from the white reference.

    Returns
    -------
    Cube
        Reflectance as floating-point numbers, with dead bands marked bad. ``metadata["reflectance"]`` records the
        settings, ``metadata["findings"]`` the findings of opening the counts and of :func:`check_references`.

    Raises
    ------
    CalibrationError
        If the white reference is missing or darker than the dark one, if sizes, bands or wavelengths do not match, or
        if an option is invalid.
    ReadError
        If a file cannot be read.
    """
    choice("dead", dead, ("nan", "interpolate"), CalibrationError)
    setup = Setup.of(raw, white, dark, white_dark, times, saturation)
    findings = setup.findings()
    for finding in findings:
        if finding.level == "error":
            raise CalibrationError(finding.message)
    cube, span = setup.raw, setup.span
    factor = (_panel(panel, cube.bands) * setup.factor)[:, None, None]
    source = ReflectanceSource(cube, setup.dark.field, span, setup.floor, factor, dead == "interpolate")
    good = cube.good & (np.isfinite(setup.floor[:, 0, 0]))
    recorded = [(f.level, f.message) for f in (*cube_findings(cube), *findings)]
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
        metadata={**cube.metadata, "reflectance": done, "findings": tuple(recorded)},
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
    """Check a cube and its references, given as for :func:`reflectance`; return findings, errors first.

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
    except Exception as error:  # arrays of other libraries raise anything
        raise CalibrationError(
            f"The panel's reflectance is not a number ({error}); give a number such as 0.99, or one per band."
        ) from error
    if values.shape not in {(), (bands,)}:
        raise CalibrationError(
            f"The panel's reflectance has shape {values.shape} for {bands} bands; give one number or one per band."
        )
    if not np.all((values > 0) & (values <= 2)):
        raise CalibrationError(
            f"The panel's reflectance ranges from {np.min(values):g} to {np.max(values):g}; give it as a fraction: "
            "0.99, not 99."
        )
    return np.broadcast_to(values, (bands,))
