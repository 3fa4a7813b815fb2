"""A run as a short script: what was opened, how it was aligned, and the call that fuses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_specfusion.errors import FusionError

__all__ = ["Origin", "Recipe"]

Aligning = Literal["auto", "tags", "off", "hand"]
Part = Literal["", "hsi", "guide"]


@dataclass(frozen=True)
class Origin:
    """How an image was opened.

    Attributes
    ----------
    path
        The file or folder.
    options
        Further arguments of `open_cube`.
    wavelengths
        A text file of them.
    references
        White and dark reference, where the counts became reflectance; None where they did not.
    panel
        Reflectance of the white panel.
    part
        Which image of a product that holds both it is; empty for a file of one image.
    foreign
        Whether another program opened the file, which may have read it in another way.
    """

    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    wavelengths: Path | None = None
    references: tuple[Path | None, Path | None] | None = None
    panel: float = 1.0
    part: Part = ""
    foreign: bool = False

    def expression(self) -> str:
        """Return the call that opens it."""
        path = repr(str(self.path))
        if self.part:
            return f"sf.open_scene({path}).{self.part}"
        extra = {key: _plain(value) for key, value in self.options.items()}
        if self.wavelengths is not None:
            extra["wavelengths"] = str(self.wavelengths)
        opened = _call("sf.open_cube", [path], extra)
        if self.references is None:
            return opened
        white, dark = (None if path is None else str(path) for path in self.references)
        return _call("sf.reflectance", [opened, repr(white), repr(dark)], {"panel": self.panel})


@dataclass(frozen=True)
class Recipe:
    """Everything that a run was begun with.

    Attributes
    ----------
    cube_name, guide_name
        What the two images are called.
    cube, guide
        How they were opened; None for one that does not come from a file.
    method
        As `fuse` takes its name, or ``"fit"`` or ``"weights"``.
    minutes
        How long to fit; None leaves it to `fit`.
    weights
        The weight file, where the method has one.
    ratio
        Guide pixels per cube pixel; None leaves it to the images.
    aligning
        How the guide was brought onto the cube's grid: ``"auto"``, by the files' ``"tags"``, ``"off"``, or by
        ``"hand"``.
    trust
        Whether a pair is refused that does not seem to belong together.
    tile, device, out, overwrite, precision, scale
        As `fuse` takes them.
    """

    cube_name: str
    guide_name: str
    cube: Origin | None = None
    guide: Origin | None = None
    method: str = "auto"
    minutes: float | None = None
    weights: Path | None = None
    ratio: float | None = None
    aligning: Aligning = "auto"
    trust: bool = True
    tile: int | Literal["auto"] | None = "auto"
    device: str = "auto"
    out: Path | None = None
    overwrite: bool = False
    precision: str = "float32"
    scale: float | None = None

    def script(self) -> str:
        """Return a script that makes the same result; an image that does not come from a file is left to fill in.

        Raises
        ------
        FusionError
            If the method needs a weight file and none is chosen.
        """
        if self.method == "weights" and self.weights is None:
            raise FusionError("No weight file is chosen; choose one, or another method.")
        lines = ["import napari_specfusion as sf", ""]
        lines += _opening("cube", self.cube_name, self.cube)
        lines += _opening("guide", self.guide_name, self.guide)
        needs_scene = self.method in ("fit", "weights") or self.aligning != "auto" or not self.trust
        if needs_scene:
            lines += self._scene()
        device = {} if self.device == "auto" else {"device": self.device}
        model: dict[str, Any] = {"model": self.method}
        if self.method == "fit":
            minutes = {} if self.minutes is None else {"minutes": _short(self.minutes)}
            lines.append(f"model = {_call('sf.fit', ['scene'], minutes | device)}")
        elif self.method == "weights":
            lines.append(f"model = {_call('sf.load_weights', [repr(str(self.weights)), 'ratio=scene.factor'], {})}")
        images, arguments = ["scene"] if needs_scene else ["cube", "guide"], list[str]()
        if self.method in ("fit", "weights"):
            arguments, model = ["model=model"], {}
        if not needs_scene and self.ratio is not None:
            model["ratio"] = _short(self.ratio)
        if not self.trust:
            model["align"] = False
        if self.tile != "auto":
            model["tile"] = self.tile
        model |= device
        if self.precision != "float32":
            model["precision"] = self.precision
        if self.scale is not None:
            model["scale"] = self.scale
        if self.out is not None:
            model["out"] = str(self.out)
        if self.overwrite:
            model["overwrite"] = True
        lines.append(f"fused = {_call('sf.fuse', [*images, *arguments], model)}")
        return "\n".join(lines) + "\n"

    def _scene(self) -> list[str]:
        ratio = {} if self.ratio is None else {"ratio": _short(self.ratio)}
        if self.aligning == "off":
            return [f"scene = {_call('sf.Scene', ['cube', 'guide'], ratio)}"]
        if self.aligning == "tags":
            return [f"scene = {_call('sf.align', ['cube', 'guide'], {'start': 'tags'} | ratio)}"]
        if self.aligning == "hand":
            return [
                "# the alignment by hand: write it to this file with Save in the panel Align by hand",
                "scene = sf.Alignment.load('alignment.json').scene(cube, guide)",
            ]
        return [f"scene = {_call('sf.align', ['cube', 'guide'], ratio)}"]


def _opening(variable: str, name: str, origin: Origin | None) -> list[str]:
    if origin is None:
        hint = f"sf.as_cube(viewer.layers[{name!r}])"
        return [
            f"# {name!r} does not come from a file. Put it here; in napari's console: {hint}",
            f"{variable} = ...",
        ]
    note = ["# opened by another reader in napari; values and axes can differ here"] if origin.foreign else []
    return [*note, f"{variable} = {origin.expression()}"]


def _call(function: str, given: list[str], keywords: Mapping[str, Any]) -> str:
    """Return a call: arguments that are code already, then keywords with their values."""
    return f"{function}({', '.join([*given, *(f'{key}={value!r}' for key, value in keywords.items())])})"


def _plain(value: Any) -> Any:
    """Return a path as text, a numpy number as a number and an array as a list, whose repr is code."""
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if hasattr(value, "tolist") else value


def _short(number: float) -> float | int:
    return int(number) if float(number).is_integer() else float(number)
