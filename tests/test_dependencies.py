"""What the package declares is what it imports, and the other way round."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
OURS = "napari-specfusion"


@cache
def declared() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml, and beside it the dependency groups and what builds the package."""
    file = ROOT / "pyproject.toml"
    if not file.is_file():
        pytest.skip("pyproject.toml is not part of this copy")
    with file.open("rb") as opened:
        found = tomllib.load(opened)
    return found["project"] | {"groups": found["dependency-groups"] | {"build": found["build-system"]["requires"]}}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[Any]) -> set[str]:
    """Return the names of the distributions in a list of requirements; included groups are looked at by themselves."""
    found = (re.match(r"[\w.-]+", each) for each in requirements if isinstance(each, str))
    return {normal(match[0]) for match in found if match} - {OURS}


def imported(folder: Path) -> dict[str, set[str]]:
    """Return the modules that Python files import, at the top or in functions, and the files that do."""
    found: dict[str, set[str]] = {}
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                modules = [str(node.args[0].value)] if called in {"import_module", "importorskip"} else []
            for module in modules:
                found.setdefault(module.partition(".")[0], set()).add(file.relative_to(folder).as_posix())
    return found


def third_party(folder: Path) -> dict[str, set[str]]:
    """Return the distributions that Python files need, and the files that need them."""
    owners = packages_distributions()
    # _typeshed is there for type checkers alone; tests import the tools and what makes the docs
    near = [*folder.rglob("*.py"), *(ROOT / "tools").glob("*.py"), *(ROOT / "docs").glob("*.py")]
    local = {"napari_specfusion", "_typeshed", *(path.stem for path in near)}
    return {
        normal(owner): files
        for module, files in imported(folder).items()
        if module not in sys.stdlib_module_names and module not in local
        for owner in owners.get(module, [module])
    }


def extras() -> set[str]:
    return set().union(*map(names, declared()["optional-dependencies"].values()))


def test_every_base_dependency_is_used() -> None:
    assert names(declared()["dependencies"]) <= set(third_party(ROOT / "src"))


def test_every_extra_is_used() -> None:
    assert extras() <= set(third_party(ROOT / "src"))


@pytest.mark.parametrize(
    ("folder", "groups"), [("src", []), ("tests", ["test"]), ("tools", ["test", "build"]), ("docs", ["docs"])]
)
def test_everything_imported_is_declared(folder: str, groups: list[str]) -> None:
    known = names(declared()["dependencies"]) | extras()
    known = known.union(*(names(declared()["groups"][group]) for group in groups))
    undeclared = {name: files for name, files in third_party(ROOT / folder).items() if name not in known}
    assert not undeclared


def test_the_extra_all_brings_the_others_but_xarray() -> None:
    told = declared()["optional-dependencies"]
    brought = re.search(rf"{OURS}\[([^]]*)\]", " ".join(told["all"]))
    assert brought
    assert set(brought[1].split(",")) == set(told) - {"all", "xarray"}
