"""What the package loads, how long that takes, and where its tests lie."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import napari_specfusion

SOURCE = Path(napari_specfusion.__file__).parent
# of the package as a whole
ABOUT_ALL = {"test_dependencies", "test_imports", "test_portability"}
HEAVY = {"magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "torch"}


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running some code."""
    report = f"{code}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import napari_specfusion") & (HEAVY | {"dask", "numpy"})


def test_naming_readers_and_cube_loads_neither_torch_nor_qt() -> None:
    assert not loaded_by("from napari_specfusion import Cube, Scene, open_cube") & HEAVY


ALIASES = {"CubeLike", "ModelLike"}


@pytest.mark.parametrize("name", sorted(set(napari_specfusion.__all__) - ALIASES))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(napari_specfusion, name).__name__ == name


@pytest.mark.parametrize(("name", "member"), [("CubeLike", "Cube"), ("ModelLike", "Method")])
def test_types_of_arguments_are_unions(name: str, member: str) -> None:
    members = get_args(getattr(napari_specfusion, name))
    assert member in [getattr(kind, "__name__", "") for kind in members]


def test_naming_the_types_of_arguments_loads_no_other_library() -> None:
    # dask loads xarray where it finds it
    code = "import sys; sys.modules['xarray'] = None; from napari_specfusion import CubeLike, ModelLike, as_cube"
    assert not loaded_by(code) & (HEAVY | {"pyproj"})


def test_public_names_are_sorted_and_have_a_home() -> None:
    assert napari_specfusion.__all__ == sorted(napari_specfusion.__all__)
    assert set(napari_specfusion._HOME) == set(napari_specfusion.__all__)


def test_a_public_name_never_turns_into_a_module() -> None:
    assert not set(napari_specfusion.__all__) & {path.stem for path in SOURCE.iterdir()}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_specfusion.nothing


def seconds_of(code: str) -> float:
    """Return the seconds that a fresh interpreter takes for some code, the better of two."""
    timed = f"import time; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True) for _ in range(2)]
    return min(float(run.stdout) for run in runs)


@pytest.mark.parametrize(
    ("code", "budget"),
    [
        # compared in one run, since machines differ: a tenth of a second and a second, roughly
        ("import napari_specfusion", "import numpy"),
        # dask loads xarray and pandas where they are installed
        ("from napari_specfusion import open_cube", "import dask.array, torch"),
    ],
)
def test_imports_stay_within_their_budget(code: str, budget: str) -> None:
    assert seconds_of(code) < seconds_of(budget)


def test_every_test_lies_where_its_module_does() -> None:
    tests = Path(__file__).parent
    root = tests.parent
    for file in sorted(tests.rglob("test_*.py")):
        folder = file.parent.relative_to(tests)
        if file.parent == tests and file.stem in ABOUT_ALL:
            continue
        # test_save.py and test_save_elsewhere.py both test save.py
        words = file.stem.removeprefix("test_").split("_")
        names = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
        home = (root if folder.parts[:1] in {("docs",), ("tools",)} else SOURCE) / folder
        homes = [home / f"{private}{name}.py" for name in names for private in ("", "_")]
        if folder.parts[:1] == ("docs",):
            pages = [name.replace("_", "-") for name in names]
            homes += [place / f"{name}.md" for name in (*pages, words[0].upper()) for place in (home, root)]
        assert any(home.exists() for home in homes), f"{file.relative_to(root)} tests no module of its name"
