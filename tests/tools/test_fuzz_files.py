"""The fuzzer in tools: it makes the same files again, and tells what a reader must not do."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

TOOLS = Path(__file__).parents[2] / "tools"
TOOL = TOOLS / "fuzz_files.py"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is told by the kernel's files")


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not TOOL.is_file():
        pytest.skip("the tools are not part of this copy")
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("fuzz_files")


def test_files_open_before_they_are_damaged(fuzz: ModuleType, tmp_path: Path) -> None:
    for kind, make in fuzz.MAKERS.items():
        (tmp_path / kind).mkdir()
        for number, (name, files) in enumerate(make(tmp_path / kind)):
            folder = tmp_path / kind / f"case{number}"
            for file, data in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(data)
            fuzz.READS.get(kind, fuzz.read_cube)(folder / name)


def test_what_is_damaged_is_the_same_at_any_time(fuzz: ModuleType, tmp_path: Path) -> None:
    made = []
    for folder in ("a", "b"):
        for kind in fuzz.MAKERS:
            (tmp_path / folder / kind).mkdir(parents=True)
        made.append({kind: make(tmp_path / folder / kind) for kind, make in fuzz.MAKERS.items()})
        time.sleep(2.1)  # archives and MATLAB files tell the second in which they were made
    assert made[0] == made[1]


def test_a_case_is_the_same_file_again(fuzz: ModuleType, tmp_path: Path) -> None:
    bases = fuzz.MAKERS["envi"](tmp_path)
    written = []
    for number in (3, 4, 3):
        fuzz.write(fuzz.fuzzing.Case("envi", 1, number), bases, tmp_path / "case")
        written.append({p.name: p.read_bytes() for p in (tmp_path / "case").iterdir()})
    assert written[0] == written[2] != written[1]


def run(*arguments: str, tool: Path = TOOL) -> subprocess.CompletedProcess[str]:
    """Run the tool in an interpreter of its own."""
    if not TOOL.is_file():
        pytest.skip("the tools are not part of this copy")
    return subprocess.run([sys.executable, str(tool), *arguments], capture_output=True, text=True, timeout=240)


def test_a_few_damaged_files_of_every_kind() -> None:
    done = run("--seed", "5", "--cases", "130")
    assert done.returncode == 0, done.stdout
    assert "130 cases, 0 findings" in done.stdout


def test_it_ends_after_some_seconds() -> None:
    done = run("--seconds", "1", "--cases", "100000000", "--kinds", "response")
    assert done.returncode == 0, done.stdout
    assert 0 < int(re.findall(r"(\d+) cases", done.stdout)[0]) < 100_000


# The tool with a reader that has a fault: the processes that it starts import this file too.
FAULTY = """
import os, sys, time
sys.path.insert(0, {tools!r})
import numpy as np
import fuzz_files, fuzzing
from napari_specfusion.errors import ReadError
import napari_specfusion.io as package

opened, calls = package.open_cube, []

def open_cube(*args, **options):
    calls.append(args)
    # the first call of a process only imports what the cases need
    if len(calls) > 1:
        {fault}
    return opened(*args, **options)

package.open_cube = open_cube
fuzz_files.LIMITS = fuzzing.Limits(hang=8, slow=0.1)
if __name__ == "__main__":
    sys.exit(fuzz_files.main(["--cases", "2", "--kinds", "envi"]))
"""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise KeyError('oops')", "WRONG ERROR.*KeyError"),
        ("raise ReadError('no')", "WORDLESS"),
        pytest.param("np.ones(700 << 17)", "TOOK TOO MUCH MEMORY", marks=LINUX),
        pytest.param("np.ones(1 << 50)", "ASKED FOR TOO MUCH MEMORY.*PiB", marks=LINUX),
        ("sum(range(10**7))", "SLOW"),
        ("os._exit(11)", "CRASHED: exit code 11"),
        ("time.sleep(60)", "HUNG"),
    ],
)
def test_what_is_found(fault: str, words: str, tmp_path: Path) -> None:
    tool = tmp_path / "faulty.py"
    tool.write_text(FAULTY.format(tools=str(TOOLS), fault=fault), encoding="utf-8")
    done = run(tool=tool)
    assert done.returncode == 1, done.stderr
    assert re.search(words, done.stdout)
    assert "2 cases, 2 findings" in done.stdout, "the case after it is run too"
