"""The fuzzer in tools: it makes the same files again, and tells what a reader must not do."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TOOL = Path(__file__).parents[2] / "tools" / "fuzz_readers.py"


@pytest.fixture
def fuzz() -> Iterator[ModuleType]:
    if not TOOL.is_file():
        pytest.skip("the tools are not part of this copy")
    spec = importlib.util.spec_from_file_location("fuzz_readers", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_readers"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fuzz_readers"]


def test_files_open_before_they_are_damaged(fuzz: ModuleType, tmp_path: Path) -> None:
    from napari_specfusion.io import open_cube

    for kind, make in fuzz.MAKERS.items():
        (tmp_path / kind).mkdir()
        for number, (name, files) in enumerate(make(tmp_path / kind)):
            folder = tmp_path / kind / f"case{number}"
            for file, data in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(data)
            assert open_cube(folder / name).spectrum(0, 0).size


def test_what_is_damaged_is_the_same_at_any_time(fuzz: ModuleType, tmp_path: Path) -> None:
    made = []
    for folder in ("a", "b"):
        for kind in fuzz.MAKERS:
            (tmp_path / folder / kind).mkdir(parents=True)
        made.append({kind: make(tmp_path / folder / kind) for kind, make in fuzz.MAKERS.items()})
        time.sleep(2.1)  # archives and MATLAB files tell the second in which they were made
    assert made[0] == made[1]


def test_a_case_is_the_same_file_again(fuzz: ModuleType, tmp_path: Path) -> None:
    bases = fuzz.envi_files(tmp_path)
    written = []
    for number in (3, 4, 3):
        fuzz.Case("envi", 1, number).write(bases, tmp_path / "case")
        written.append({p.name: p.read_bytes() for p in (tmp_path / "case").iterdir()})
    assert written[0] == written[2] != written[1]


def run(*arguments: str, driver: str = "") -> subprocess.CompletedProcess[str]:
    """Run the tool in an interpreter of its own: it forks, which a process of many threads must not."""
    if not TOOL.is_file():
        pytest.skip("the tools are not part of this copy")
    start = ["-c", driver, str(TOOL)] if driver else [str(TOOL)]
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, timeout=120)


def test_hundreds_of_damaged_headers() -> None:
    done = run("--seed", "5", "--count", "300", "--formats", "envi")
    assert done.returncode == 0
    assert "300 cases, 0 findings" in done.stdout


# Runs the tool on a reader that has a fault.
FAULTY = """
import runpy, sys, numpy, os, time
import napari_specfusion.io as package

tool, fault = sys.argv[1:3]
opened = package.open_cube

def open_cube(*args, **options):
    exec(fault, {"np": numpy, "os": os, "time": time})
    return opened(*args, **options)

package.open_cube = open_cube
names = runpy.run_path(tool)
names["main"].__globals__.update(HANG_SECONDS=3, SECONDS=0.02)
sys.exit(names["main"](["--count", "1", "--formats", "envi"]))
"""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise KeyError('oops')", "WRONG ERROR.*KeyError"),
        ("np.ones(700 << 17)", "TOOK TOO MUCH MEMORY"),
        ("np.ones(1 << 50)", "ASKED FOR TOO MUCH MEMORY.*PiB"),
        ("sum(range(10**7))", "SLOW"),
        ("os._exit(11)", "CRASHED: exit code 11"),
        ("time.sleep(60)", "HUNG"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by the kernel's files, and the fault is forked")
def test_what_is_found(fault: str, words: str) -> None:
    done = run(fault, driver=FAULTY)
    assert done.returncode == 1
    assert re.search(words, done.stdout)
