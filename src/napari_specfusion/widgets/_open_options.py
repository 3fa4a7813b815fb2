"""What the Open dialog asks for, without Qt: opening what was chosen, and saying what it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_specfusion.data.scene import Finding
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.io import READERS, Variable, find_reader, list_arrays, open_cube

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.radiometry.files import References

__all__ = ["Asked", "Looked", "describe_cube", "look_at"]


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

    def open(self) -> tuple[Cube, list[Finding]]:
        """Open the cube, and say what is odd about its references.

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
            return cube, []
        from napari_specfusion.radiometry.convert import reflectance

        cube = reflectance(cube, *self.references, panel=self.panel)
        return cube, [Finding(level, "references", message) for level, message in cube.metadata["findings"]]


@dataclass(frozen=True)
class Looked:
    """What was found at a path: a cube or why there is none, and what else could be opened there.

    Attributes
    ----------
    cube, error
        One of the two.
    findings
        What is odd about the references of the cube.
    options
        What the reader of the path takes.
    arrays
        Which of them could be named.
    references
        What lies beside a capture.
    """

    cube: Cube | None = None
    error: SpecFusionError | None = None
    findings: Sequence[Finding] = ()
    options: Sequence[str] = ()
    arrays: Sequence[Variable] = ()
    references: References | None = None


def look_at(asked: Asked) -> Looked:
    """Open what the form asks for, and find out what else there is; what goes wrong is part of the answer."""
    from napari_specfusion.radiometry.files import find_references

    cube, error = None, None
    findings: list[Finding] = []
    arrays: Sequence[Variable] = ()
    references = None
    reader = find_reader(asked.path) if asked.path.exists() else None
    try:
        cube, findings = asked.open()
    except SpecFusionError as problem:
        error = problem
    with suppress(SpecFusionError):
        arrays = list_arrays(asked.path)
    # scanners leave ENVI files; what lies beside another file has nothing to do with it
    if reader in {"envi", "folder"}:
        with suppress(SpecFusionError):
            references = find_references(asked.path)
    options = () if reader is None else READERS[reader].options
    return Looked(cube, error, findings, options, arrays, references)


def describe_cube(cube: Cube) -> tuple[list[tuple[str, str]], list[Finding]]:
    """Return what a cube is, as label and value, and what a user should know about it."""
    bands, height, width = cube.shape
    facts = [("Size", f"{height} x {width} pixels, {bands} bands"), ("Values", str(cube.dtype))]
    findings = []
    if cube.wavelengths is None:
        findings.append(Finding("info", "wavelengths", "No wavelengths are known; bands are shown by their number."))
    else:
        facts.append(("Spectrum", f"{cube.wavelengths[0]:g} to {cube.wavelengths[-1]:g} {cube.spectral_unit}"))
    if bad := int((~cube.good).sum()):
        facts.append(("Bad bands", f"{bad}"))
    if cube.nodata is not None:
        facts.append(("No-data", f"{cube.nodata:g}"))
    if cube.metadata.get("transfer") == "sRGB":
        findings.append(Finding("info", "gamma", "Its values carry the gamma of sRGB: tick the box to undo it."))
    notes = (str(note).rstrip(".") for note in cube.metadata.get("notes", ()))
    findings += [Finding("info", "file", f"{note[:1].upper()}{note[1:]}.") for note in notes]
    if cube.pixel_size is not None:
        facts.append(("Pixel", f"{cube.pixel_size[0]:g} x {cube.pixel_size[1]:g}"))
    return facts, findings
