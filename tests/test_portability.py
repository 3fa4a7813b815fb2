"""What would fail on another system than the one at hand, as far as the source shows it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_specfusion
from napari_specfusion.errors import EXTRAS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SOURCE = Path(napari_specfusion.__file__).parent
UNIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}


def sources() -> list[Path]:
    folders = [SOURCE, *(ROOT / name for name in ("tests", "tools", "docs"))]
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def told_file(file: Path) -> str:
    return file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name


def text_without_encoding(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that read or write text in the encoding of the machine."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg in {"encoding", None} for keyword in node.keywords):
            continue
        builtin = isinstance(node.func, ast.Name)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"read_text", "write_text"}:
            yield node.lineno
        elif name == "open":
            # open(path, mode) and path.open(mode); what else has an open() takes the thing to open in its place
            given = [*node.args[int(builtin) :], *(k.value for k in node.keywords if k.arg == "mode")][:1]
            # a method without a mode may be anybody's
            mode = given[0] if given else ast.Constant("r" if builtin else "")
            text = isinstance(mode, ast.Constant) and mode.value and set(str(mode.value)) <= set("rwax+t")
            options = {keyword.arg for keyword in node.keywords} - {"mode", "newline", "errors", "buffering"}
            if text and not options and (builtin or not node.args[1:]):
                yield node.lineno


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("path.read_text()", [1]),
        ("path.read_text(encoding='ascii')", []),
        ("path.write_text('x', **how)", []),
        ("open(path)\nopen(path, 'rb')\nopen(path, 'w')", [1, 3]),
        ("path.open('w')\npath.open('wb')\npath.open('r', newline='')\npath.open('a', encoding='utf-8')", [1, 3]),
        ("archive.open('cube.npy', 'w')\nImage.open(path)\nfiles.open(path, data)", []),
    ],
)
def test_text_without_encoding_is_found(code: str, lines: list[int]) -> None:
    assert list(text_without_encoding(ast.parse(code))) == lines


def test_text_has_an_encoding() -> None:
    found = [
        f"{told_file(file)}:{line}"
        for file in sources()
        for line in text_without_encoding(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found, "text whose encoding depends on the machine"


def loaded_with_the_module(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that are imported when a file is, and not when a function of it runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        else:
            yield from loaded_with_the_module(node)


def test_what_only_unix_has_is_imported_in_functions() -> None:
    found = {
        told_file(file): sorted(unix)
        for file in sources()
        if (unix := set(loaded_with_the_module(ast.parse(file.read_text(encoding="utf-8")))) & UNIX_ONLY)
    }
    assert not found


# Refuses what the base installation on Windows does without, but only to modules of this package.
BARE = """
import builtins, importlib, pkgutil, sys

missing = set(sys.argv[1:])
plain = builtins.__import__

def bare(name, scope=None, *rest, **named):
    if (scope or {}).get("__name__", "").startswith("napari_specfusion") and name.partition(".")[0] in missing:
        raise ModuleNotFoundError(f"{scope['__name__']} imports {name}")
    return plain(name, scope, *rest, **named)

builtins.__import__ = bare
import napari_specfusion

for found in pkgutil.walk_packages(napari_specfusion.__path__, "napari_specfusion."):
    if not found.name.startswith("napari_specfusion.widgets."):
        importlib.import_module(found.name)
for name in napari_specfusion.__all__:
    getattr(napari_specfusion, name)
"""


def test_everything_but_widgets_is_imported_without_extras_and_unix() -> None:
    missing = {*UNIX_ONLY, *EXTRAS, "qtpy", "pyqtgraph", "superqt"}
    done = subprocess.run(
        [sys.executable, "-c", BARE, *missing], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr
