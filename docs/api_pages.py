"""Write a page of the API for every public part of the package, from the names in `__all__`.

A new name, or a new subpackage that has an `__all__`, gets its place without an edit here.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import napari_specfusion

PACKAGE = napari_specfusion.__name__
SOURCES = (Path(napari_specfusion.__file__).parent,)
# public modules beside the subpackages
MODULES = ("errors",)


@dataclass(frozen=True)
class Part:
    """A page of the API: a subpackage, and the full names of what it shows."""

    name: str
    names: tuple[str, ...]

    @property
    def module(self) -> str:
        """The full name of the subpackage."""
        return f"{PACKAGE}.{self.name}"


def parts() -> list[Part]:
    """Return the parts of the package that have public names, in alphabetical order."""
    found: dict[str, set[str]] = {}
    for module in pkgutil.iter_modules(map(str, SOURCES)):
        if module.ispkg or module.name in MODULES:
            names = getattr(import_module(f"{PACKAGE}.{module.name}"), "__all__", ())
            found[module.name] = {name for name in names if name not in napari_specfusion.__all__}
            found[module.name] = {f"{PACKAGE}.{module.name}.{name}" for name in found[module.name]}
    for name in napari_specfusion.__all__:
        found[napari_specfusion._HOME[name].partition(".")[0]].add(f"{PACKAGE}.{name}")
    return [Part(name, tuple(sorted(names, key=_order))) for name, names in sorted(found.items()) if names]


@cache
def names() -> tuple[str, ...]:
    """Return the full names of everything public."""
    return tuple(name for part in parts() for name in part.names)


def _order(name: str) -> tuple[int, str]:
    """Order what is imported from the package itself before the rest."""
    return name.count("."), name


def write(folder: Path) -> None:
    """Write the pages into a folder, and remove those of parts that are gone."""
    pages = {f"{part.name}.rst": page(part) for part in parts()} | {"index.rst": index()}
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        file = folder / name
        # an unchanged file is not read again
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def index() -> str:
    """Return the page that lists every name with the first line of its docstring."""
    lines = [
        *title("API", "="),
        f"Generated from the docstrings. Import the names below from ``{PACKAGE}``, unless a part of it stands in",
        "front, such as in ``fusion.FusionProgress``.",
        "",
        ".. toctree::",
        "   :hidden:",
        "",
        *(f"   {part.name}" for part in parts()),
        "",
    ]
    for part in parts():
        lines += title(f":doc:`{part.name}`", "-")
        lines += [".. list-table::", "   :widths: 35 65", "   :width: 100%", ""]
        for name in part.names:
            lines += [f"   * - :py:obj:`{short(name)} <{name}>`", f"     - {summary(name)}"]
        lines.append("")
    return "\n".join(lines)


def page(part: Part) -> str:
    """Return the page of a part."""
    lines = [*title(part.name, "="), f".. automodule:: {part.module}", "   :no-members:", ""]
    for name in part.names:
        lines += [*entry(name), ""]
    return "\n".join(lines)


def entry(name: str) -> list[str]:
    """Return the directive that describes an object."""
    value = value_of(name)
    if is_data(value):
        module, _, attribute = name.rpartition(".")
        return [f".. py:data:: {attribute}", f"   :module: {module}", "", f"   {summary(name)}"]
    if inspect.isclass(value):
        return [f".. autoclass:: {name}", "   :members:"]
    return [f".. autofunction:: {name}"]


def title(text: str, line: str) -> list[str]:
    """Return a heading."""
    return [text, line * len(text), ""]


def short(name: str) -> str:
    """Return a name without the package: ``fuse``, ``fusion.FusionProgress``."""
    return name.removeprefix(f"{PACKAGE}.")


def value_of(name: str) -> Any:
    """Return an object by its full name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def summary(name: str) -> str:
    """Return the first sentence of a docstring or, of data, the text below it and its keys."""
    value = value_of(name)
    if is_data(value):
        keys = f" Keys: {', '.join(f'``{key}``' for key in value)}." if isinstance(value, Mapping) else ""
        return texts_of_data()[name.rpartition(".")[2]] + keys
    return (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")


def is_data(value: object) -> bool:
    """Tell whether a value is neither a class nor a function; ``CubeLike`` is made of types, and data."""
    return not (inspect.isclass(value) or inspect.isroutine(value))


@cache
def texts_of_data() -> dict[str, str]:
    """Return the texts that stand below the data of the package."""
    found = {}
    for file in (file for source in SOURCES for file in source.rglob("*.py")):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for node, below in pairwise(body):
            told = below.value if isinstance(below, ast.Expr) else None
            if isinstance(node, ast.AnnAssign) and isinstance(told, ast.Constant) and isinstance(told.value, str):
                found[ast.unparse(node.target)] = inspect.cleandoc(told.value).replace("\n", " ")
    return found
