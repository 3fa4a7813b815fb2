"""What the pages name exists: Python names, commands, options and headings."""

from __future__ import annotations

import ast
import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

import napari_specfusion
from napari_specfusion.cli import app as face

ROOT = Path(__file__).parents[2]
PAGES = {
    page.name: page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
# long commands go on after a backslash, and inline ones after the end of a line
CALL = re.compile(r"(?:python -m napari_specfusion|\bnapari-specfusion) ((?:[a-z]+ ?)+[^`#\n|]*)")
COMMANDS = {(name, call.strip()) for name, text in PAGES.items() for call in CALL.findall(text.replace("\\\n", " "))}
SYNOPSES = re.findall(r"^\| `([a-z].*?)` \|", PAGES["reference.md"].partition("\n## Command line\n")[2], re.MULTILINE)
COMMANDS |= {("reference.md", re.sub(r"[\[\]]", "", call)) for line in SYNOPSES for call in line.split("`, `")}
TABLE = PAGES["reference.md"].partition("## Names\n")[2].partition("\n## ")[0]


def blocks(page: str) -> list[ast.Module]:
    return [ast.parse(block) for block in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)]


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [name for name in PAGES if blocks(name)])
def test_names_in_the_examples_exist(page: str) -> None:
    used = 0
    for node in (node for block in blocks(page) for node in ast.walk(block)):
        if isinstance(node, ast.ImportFrom):
            module = import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        elif isinstance(node, ast.Import):
            assert [(alias.name, alias.asname) for alias in node.names] == [("napari_specfusion", "sf")]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sf":
            used += 1
            assert node.attr in napari_specfusion.__all__, ast.unparse(node)
    assert used


def test_the_table_of_names_is_complete() -> None:
    cells = re.findall(r"^\| (`.*?) \|", TABLE, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    assert all(hasattr(napari_specfusion, name) for name in named), named
    missing = {name for name in napari_specfusion.__all__ if f"`{name}" not in TABLE}
    assert not missing


def test_the_table_of_commands_is_complete() -> None:
    assert {call.split()[0] for page, call in COMMANDS if page == "reference.md"} == set(face.COMMANDS)


@pytest.mark.parametrize(("page", "call"), sorted(COMMANDS))
def test_commands_and_options_exist(page: str, call: str) -> None:
    words = call.split()
    chain = words[: 2 if words[0] == "bench" else 1]
    command = reduce(lambda parent, name: parent[name], chain, face.app)
    known = {name for argument in command.assemble_argument_collection() for name in argument.names}
    unknown = {word for word in words if word.startswith("--")} - known - {"--help"}
    assert not unknown, f"{page} names {unknown}"


@pytest.mark.parametrize("page", PAGES)
def test_links_to_headings_lead_somewhere(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", PAGES[page]):
        headings = re.findall(r"^#+ (.+)$", PAGES[Path(target).name if target else page], re.MULTILINE)
        assert anchor in map(slug, headings), f"{target}#{anchor}"


SAMPLES = PAGES["reference.md"].partition("\n## Sample data\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("call", re.findall(r"`(open_cube\(.*?\))`", SAMPLES))
def test_the_sample_data_open_as_told(call: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = re.search(r'"(.+?)"', call)
    assert name is not None
    found = sorted(data_dir.rglob(name[1]))
    assert found, f"{name[1]} is not among the real scenes"
    monkeypatch.chdir(found[0].parent)
    cube = eval(call, {"open_cube": napari_specfusion.open_cube})
    # the row says how large it is
    (row,) = (line for line in SAMPLES.splitlines() if call in line and line.startswith("|"))
    sizes = set(map(int, re.findall(r"\b\d+\b", row.split("|")[2])))
    bands, height, width = cube.shape
    assert {height, width} <= sizes
    # of a guide they are given in words
    assert bands in sizes or bands in (1, 3) or "188 to 207" in row
