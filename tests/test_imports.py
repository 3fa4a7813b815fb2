"""What the package loads, and which part of it may know which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_specfusion

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(napari_specfusion.__file__).parent
HEAVY = {"magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "torch"}
GUI = HEAVY - {"torch"}
# Only these may import the GUI libraries or the widgets at all, even inside a function.
FACES = {"__main__", "widgets"}

# Data flows one way: a part imports only parts that stand above it, or itself.
ORDER = (
    "__init__ errors source formulas painting picture pyramid terminal still_life tiles srf scene cube io "
    "references degrade moments calibration wald device feed job windowed runner store metrics models choice engine "
    "lessons fitting examples training sample_data own_process contenders bench_table bench_cave _bench_io bench demo "
    "widgets commands __main__"
).split()
# `cube.save` alone leads back, inside of itself: a cube is saved more often than a function for it is found.
BACK_DOORS = {"cube": {"io"}}


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running some code."""
    report = f"{code}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def runtime_imports(node: ast.AST) -> Iterator[str]:
    """Yield the names of imported modules, those only for type checkers left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = child.module or ""
            yield module
            if module == "napari_specfusion":
                yield from (f"{module}.{alias.name}" for alias in child.names)
        yield from runtime_imports(child)


def part_of(file: Path) -> str:
    """Return the part of the package a file belongs to: ``io`` for ``io/envi.py``, ``cube`` for ``cube.py``."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import napari_specfusion") & (HEAVY | {"dask", "numpy"})


def test_naming_readers_and_cube_loads_neither_torch_nor_qt() -> None:
    assert not loaded_by("from napari_specfusion import Cube, Scene, open_cube") & HEAVY


@pytest.mark.parametrize("name", napari_specfusion.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(napari_specfusion, name).__name__ == name


def test_public_names_are_sorted_and_have_a_home() -> None:
    assert napari_specfusion.__all__ == sorted(napari_specfusion.__all__)
    assert set(napari_specfusion._HOME) == set(napari_specfusion.__all__)


def test_a_public_name_never_turns_into_a_module() -> None:
    assert not set(napari_specfusion.__all__) & {part_of(file) for file in FILES}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_specfusion.nothing


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_imports_go_one_way(file: Path) -> None:
    imported = set(runtime_imports(ast.parse(file.read_text(encoding="utf-8"))))
    part = part_of(file)
    parts = {name.split(".")[1] for name in imported if name.startswith("napari_specfusion.")}
    wrong = parts - set(ORDER[: ORDER.index(part) + 1]) - BACK_DOORS.get(part, set())
    if part not in FACES:
        wrong |= (parts & FACES) | ({name.partition(".")[0] for name in imported} & GUI)
    assert not wrong, f"{part} must not import {', '.join(sorted(wrong))}"


def test_back_doors_open_in_one_function_only() -> None:
    tree = ast.parse((SOURCE / "cube.py").read_text(encoding="utf-8"))
    save = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "save")
    to_files = [name for name in runtime_imports(tree) if name.startswith("napari_specfusion.io")]
    assert to_files == list(runtime_imports(save)) == ["napari_specfusion.io.save"]


def test_the_table_of_parts_is_up_to_date() -> None:
    assert set(ORDER) - {"bench"} <= {part_of(file) for file in FILES} <= set(ORDER)
