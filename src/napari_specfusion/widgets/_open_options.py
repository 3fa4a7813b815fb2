"""What the Open dialog asks for, without Qt: opening what was chosen, and saying what it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_specfusion.data.scene import Finding, cube_findings
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.fusion.recipe import Origin
from napari_specfusion.io import READERS, Variable, find_reader, list_arrays, open_cube
from napari_specfusion.io.metadata.axes import UNCERTAIN_KEY, candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.radiometry.files import References

__all__ = ["Asked", "Looked", "asked_axes", "describe_cube", "look_at"]


@dataclass(frozen=True)
class Asked:
    """What the form says, when it is looked at.

    Attributes
    ----------
    path
        The file or folder.
    options
        For `open_cube`.
    wavelengths
        A text file of them.
    references
        White and dark reference, where reflectance is asked for; None where it is not.
    panel
        Reflectance of the white panel.
    """

    path: Path
    options: Mapping[str, Any]
    wavelengths: Path | None
    references: tuple[Path | None, Path | None] | None
    panel: float

    def open(self) -> Cube:
        """Open the cube.

        Raises
        ------
        SpecFusionError
            As `open_cube` and `reflectance` do.
        """
        fields = dict(self.options)
        if self.wavelengths is not None:
            fields["wavelengths"] = self.wavelengths
        cube = open_cube(self.path, **fields)
        if self.references is None:
            return cube
        from napari_specfusion.radiometry.convert import reflectance

        return reflectance(cube, *self.references, panel=self.panel)

    def origin(self) -> Origin:
        """Return the same for a script."""
        return Origin(self.path, self.options, self.wavelengths, self.references, self.panel)


@dataclass(frozen=True)
class Looked:
    """What was found at a path: a cube or why there is none, and what else could be opened there.

    Attributes
    ----------
    cube, error
        One of the two.
    options
        What the reader of the path takes.
    arrays
        Which of them could be named.
    references
        What lies beside a capture.
    """

    cube: Cube | None = None
    error: SpecFusionError | None = None
    options: Sequence[str] = ()
    arrays: Sequence[Variable] = ()
    references: References | None = None


def look_at(asked: Asked) -> Looked:
    """Open what the form asks for, and find out what else there is; what goes wrong is part of the answer."""
    from napari_specfusion.radiometry.files import find_references

    cube, error = None, None
    arrays: Sequence[Variable] = ()
    references = None
    reader = find_reader(asked.path) if asked.path.exists() else None
    try:
        cube = asked.open()
    except SpecFusionError as problem:
        error = problem
    with suppress(SpecFusionError):
        arrays = list_arrays(asked.path)
    # scanners leave ENVI files; what lies beside another file has nothing to do with it
    if reader in {"envi", "folder"}:
        with suppress(SpecFusionError):
            references = find_references(asked.path)
    options = () if reader is None else READERS[reader].options
    return Looked(cube, error, options, arrays, references)


def asked_axes(cube: Cube | None) -> dict[str, str]:
    """Return what the array of a cube could be where that is a guess, as letters of axes and words; the guess first."""
    told = cube.metadata.get(UNCERTAIN_KEY) if cube is not None else None
    # files may hold anything under this name
    if not isinstance(told, dict) or not {"shape", "taken"} <= set(told):
        return {}
    shape = told["shape"]
    if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(isinstance(n, int) for n in shape):
        return {}
    found, taken = candidates(shape), told["taken"]
    return {taken: found[taken]} | found if taken in found else {}


def describe_cube(cube: Cube) -> tuple[list[tuple[str, str]], list[Finding]]:
    """Return what a cube is, as label and value, and what a user should know about it."""
    bands, height, width = cube.shape
    facts = [("Size", f"{height} x {width} pixels, {bands} bands"), ("Values", str(cube.dtype))]
    findings = list(cube_findings(cube))
    if asked_axes(cube) and findings:
        # the first finding says so at length, for scripts; here the form asks
        words = "The file does not say for sure which axis holds the bands. Check the answer under Bands."
        findings[0] = Finding("warning", "axes", words)
    if cube.wavelengths is None:
        findings.append(Finding("info", "wavelengths", "The wavelengths are unknown, so the bands are numbered."))
    else:
        facts.append(("Spectrum", f"{cube.wavelengths[0]:g} to {cube.wavelengths[-1]:g} {cube.spectral_unit}"))
    if bad := int((~cube.good).sum()):
        facts.append(("Bad bands", f"{bad}"))
    if cube.nodata is not None:
        facts.append(("No-data", f"{cube.nodata:g}"))
    if cube.metadata.get("transfer") == "sRGB":
        findings.append(Finding("info", "gamma", "The values carry the sRGB gamma. Tick the box above to undo it."))
    notes = (str(note).rstrip(".") for note in cube.metadata.get("notes", ()))
    findings += [Finding("info", "file", f"{note[:1].upper()}{note[1:]}.") for note in notes]
    if cube.pixel_size is not None:
        facts.append(("Pixel", f"{cube.pixel_size[0]:g} x {cube.pixel_size[1]:g}"))
    return facts, findings
