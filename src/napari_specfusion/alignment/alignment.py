"""How two images lie to each other: the result of `align`, to keep, to save and to apply to other images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.georeference import grid_matrix
from napari_specfusion.alignment.record import read_record, write_record
from napari_specfusion.alignment.transform import Transform, frame_matrix, homogeneous
from napari_specfusion.alignment.warp import warped
from napari_specfusion.data.scene import Finding, Scene
from napari_specfusion.data.summary import html_summary, text_summary
from napari_specfusion.errors import AlignmentError
from napari_specfusion.io import as_cube

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Self

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike

__all__ = ["Alignment", "Placement", "Verdict"]

Verdict = Literal["good", "doubtful", "unrelated"]
Placement = Literal["as is", "cropped", "resampled"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a guide lies to a cube.

    Attributes
    ----------
    transform
        From cube pixels to guide pixels, and back: a matrix, and local displacements.
    ratio
        Pixels of the aligned guide per cube pixel.
    cube_shape, guide_shape
        Rows and columns of the two images that were aligned.
    window
        Rows and columns (top, bottom, left, right) of the cube on the common ground.
    placement
        ``"as is"`` where the guide is used as it is, ``"cropped"`` where whole pixels of it are used, ``"resampled"``
        where it is interpolated.
    model
        Name of the model of the matrix, as `align` takes it.
    local
        Which local displacements were found: ``"smooth"``, ``"lines"``.
    before
        Share (0 to 1) of the guide's contrast that the cube did not explain as the two images came; None if they had no
        common grid.
    after
        The same after alignment.
    detail
        The same for the fine detail alone: what shows whether the images belong together.
    certainty
        Standard error of each parameter: ``shift_y``, ``shift_x``, ``tilt_y`` and ``tilt_x`` in guide pixels (tilts at
        the edge), ``rotation`` in degrees, ``scale``, ``stretch`` and ``shear`` as fractions.
    verdict
        ``"good"``, ``"doubtful"`` or ``"unrelated"``.
    notes
        Further findings.
    """

    transform: Transform
    ratio: Fraction
    cube_shape: tuple[int, int]
    guide_shape: tuple[int, int]
    window: tuple[int, int, int, int]
    placement: Placement
    model: str = "shift"
    local: tuple[str, ...] = ()
    before: float | None = None
    after: float = 1.0
    detail: float = 1.0
    certainty: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = "good"
    notes: tuple[Finding, ...] = ()

    # --- geometry ----------------------------------------------------------------

    @property
    def matrix(self) -> NDArray[np.float64]:
        """``(3, 3)``: ``(y, x, 1)`` of the cube to homogeneous ``(y, x, 1)`` of the guide, in pixels."""
        return self.transform.matrix

    @property
    def inverse(self) -> NDArray[np.float64]:
        """``(3, 3)``: from the guide to the cube, without local displacements."""
        return np.asarray(np.linalg.inv(self.matrix), np.float64)

    def to_guide(self, y: Any, x: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return guide coordinates (y, x) of cube coordinates, in pixels with centres at whole numbers."""
        return self.transform.to_guide(y, x)

    def to_cube(self, y: Any, x: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return cube coordinates (y, x) of guide coordinates."""
        return self.transform.to_cube(y, x)

    @property
    def rotation(self) -> float:
        """Turn of the guide in degrees, counter-clockwise as displayed; mirrored images are mirrored first."""
        turn = self._turn()
        return math.degrees(math.atan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1]))

    @property
    def mirrored(self) -> bool:
        """Whether one image shows the other's mirror image."""
        return bool(np.linalg.det(self._linear()) < 0)

    @property
    def scale(self) -> float:
        """Guide pixels per cube pixel in the middle of the cube, over the ratio."""
        return self.transform.scale_of(self.cube_shape) / float(self.ratio)

    @property
    def shift(self) -> tuple[float, float]:
        """(y, x) in guide pixels: how far the middle of the cube lies from where equal corners would put it."""
        middle = (self.cube_shape[0] - 1) / 2, (self.cube_shape[1] - 1) / 2
        there = homogeneous(self.matrix, *map(np.float64, middle))
        here = homogeneous(frame_matrix(float(self.ratio)), *map(np.float64, middle))
        return float(there[0] - here[0]), float(there[1] - here[1])

    def _linear(self) -> NDArray[np.float64]:
        return self.transform.jacobian((self.cube_shape[0] - 1) / 2, (self.cube_shape[1] - 1) / 2)

    def _turn(self) -> NDArray[np.float64]:
        linear = self._linear() @ np.diag([1.0, -1.0 if self.mirrored else 1.0])
        left, _, right = np.linalg.svd(linear)
        return np.asarray(left @ right)

    # --- use -----------------------------------------------------------------------

    @property
    def trusted(self) -> bool:
        """Whether the two images can be fused without asking."""
        return self.verdict == "good"

    def apply(self, image: CubeLike) -> Cube:
        """Bring another image of the guide's camera onto the grid of the aligned guide.

        Parameters
        ----------
        image
            An image ``(bands, y, x)`` of the guide's size, as anything that `as_cube` takes.

        Returns
        -------
        Cube
            Lazy. float32 where it is resampled, NaN where the image shows nothing; otherwise its own values.

        Raises
        ------
        AlignmentError
            If the image has another size than the guide.
        """
        cube = as_cube(image)
        if cube.shape[1:] != self.guide_shape:
            raise AlignmentError(
                f"{cube.name} has {cube.shape[1]} x {cube.shape[2]} pixels; the alignment is for images of "
                f"{self.guide_shape[0]} x {self.guide_shape[1]}. Align it by itself."
            )
        if self.placement == "as is":
            return cube
        if self.placement == "cropped":
            top, left, height, width = self._crop()
            return cube.crop(slice(top, top + height), slice(left, left + width))
        top, bottom, left, right = self.window
        ratio = float(self.ratio)
        shape = round((bottom - top) * ratio), round((right - left) * ratio)
        return warped(cube, self.transform.cropped(top, left), ratio, shape)

    def scene(self, hsi: CubeLike, guide: CubeLike) -> Scene:
        """Make a scene of two images of the same cameras: align once, use for the whole session.

        Parameters
        ----------
        hsi, guide
            Images of the sizes that were aligned, as anything that `as_cube` takes.

        Raises
        ------
        AlignmentError
            If one of them has another size.
        """
        low = as_cube(hsi)
        if low.shape[1:] != self.cube_shape:
            raise AlignmentError(
                f"{low.name} has {low.shape[1]} x {low.shape[2]} pixels; the alignment is for cubes of "
                f"{self.cube_shape[0]} x {self.cube_shape[1]}. Align it by itself."
            )
        sharp = as_cube(guide)
        onto = self.apply(sharp)
        if self.placement != "as is":
            top, bottom, left, right = self.window
            low = low.crop(slice(top, bottom), slice(left, right))
            if self.placement == "resampled":
                onto = onto.replace(**self._place(low, sharp))
        return Scene(low, onto, self.ratio, alignment=self)

    def _crop(self) -> tuple[int, int, int, int]:
        """Return the first row and column of the guide that are used, and how many."""
        top, bottom, left, right = self.window
        ratio = int(self.ratio)
        first = homogeneous(self.matrix, np.float64(top), np.float64(left))
        down, across = (round(float(place) - (ratio - 1) / 2) for place in first)
        return down, across, (bottom - top) * ratio, (right - left) * ratio

    def _place(self, low: Cube, sharp: Cube) -> dict[str, Any]:
        """Return the geometry of the aligned guide over the cropped cube `low`."""
        ratio = float(self.ratio)
        fine = np.diag([1 / ratio, 1 / ratio, 1.0])
        fine[:2, 2] = (1 / ratio - 1) / 2
        if low.affine is not None:
            ground, crs = grid_matrix(low.affine) @ fine, low.crs
        elif sharp.affine is not None and not self.local and not np.any(self.matrix[2, :2]):
            move = self.transform.cropped(self.window[0], self.window[2]).matrix
            ground, crs = grid_matrix(sharp.affine) @ move @ fine, sharp.crs
        else:
            size = low.pixel_size
            return {} if size is None else {"pixel_size": (size[0] / ratio, size[1] / ratio)}
        (e, d, f), (b, a, c) = ground[0], ground[1]
        affine = (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
        return {"affine": affine, "crs": crs, "pixel_size": (math.hypot(b, e), math.hypot(a, d))}

    # --- words ---------------------------------------------------------------------

    def findings(self) -> tuple[Finding, ...]:
        """Return what was found, in words."""
        explained = f"The cube explains {1 - self.after**2:.0%} of the guide's variance"
        if self.before is not None and self.placement != "as is":
            explained += f" after alignment, {1 - self.before**2:.0%} before"
        match: Finding
        if self.verdict == "good":
            match = Finding("info", "alignment", f"{explained}.")
        elif self.verdict == "doubtful":
            match = Finding(
                "warning",
                "alignment",
                f"{explained}, and {1 - self.detail**2:.0%} of its fine detail: look at the overlay, or give three "
                "point pairs.",
            )
        else:
            match = Finding(
                "error",
                "alignment",
                f"No position of the guide was found in which its detail agrees with the cube's ({explained.lower()}). "
                "If the two show one place, give three or more point pairs to start from.",
            )
        return (match, Finding("info", "geometry", self._geometry()), *self._common(), *self.notes)

    def _geometry(self) -> str:
        if self.placement == "as is":
            return "The two images lie on one grid: nothing was resampled."
        parts = []
        if self.mirrored:
            parts.append("mirrored")
        if abs(self.rotation) > 0.005:
            parts.append(f"turned by {self.rotation:.2f} degrees")
        if abs(self.scale - 1) > 5e-5:
            parts.append(f"scaled by {self.scale:.4f}")
        if max(map(abs, self.shift)) >= 0.05 or not parts:
            parts.append(f"moved by ({self.shift[0]:+.1f}, {self.shift[1]:+.1f}) px")
        if "smooth" in self.local and self.transform.field is not None:
            parts.append(f"bent by up to {self.transform.field.largest:.1f} px")
        if "lines" in self.local and self.transform.lines is not None:
            largest = float(np.abs(self.transform.lines).max())
            parts.append(f"shifted line by line by up to {largest:.1f} px")
        how = "cropped to whole pixels" if self.placement == "cropped" else "resampled once"
        errors = [self.certainty[name] for name in ("shift_y", "shift_x") if name in self.certainty]
        sure = f", certain to {max(errors):.2f} px" if errors else ""
        return f"Against the cube, the guide is {_joined(parts)}{sure}; it was {how} at ratio {float(self.ratio):g}."

    def _common(self) -> tuple[Finding, ...]:
        top, bottom, left, right = self.window
        share = (bottom - top) * (right - left) / (self.cube_shape[0] * self.cube_shape[1])
        if share > 0.999:
            return ()
        return (
            Finding(
                "info",
                "common ground",
                f"The guide shows {share:.0%} of the cube: rows {top} to {bottom - 1}, columns {left} to {right - 1}.",
            ),
        )

    def _summary(self) -> tuple[str, dict[str, str]]:
        before = "" if self.before is None else f" ({self.before:.3f} before)"
        return f"Alignment: {self.verdict}, {self.placement}", {
            "Model": " + ".join((self.model, *self.local)),
            "Geometry": self._geometry(),
            "Residual": f"{self.after:.3f} of the contrast{before}, {self.detail:.3f} of the detail",
        }

    def __repr__(self) -> str:
        return text_summary(*self._summary())

    def _repr_html_(self) -> str:
        return html_summary(*self._summary())

    # --- files ---------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the alignment to a JSON file.

        Parameters
        ----------
        path
            File to write, such as ``pair.json``.
        overwrite
            Whether to replace an existing file.

        Raises
        ------
        OutputError
            If the file exists, or cannot be written.
        """
        write_record(path, {item.name: getattr(self, item.name) for item in fields(self)}, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an alignment from a file that `save` wrote.

        Raises
        ------
        AlignmentError
            If the file is missing, or is not an alignment.
        """
        return cls(**read_record(path))


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
