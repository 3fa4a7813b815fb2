"""The fuzzer of calls: the same case is the same call again, and what it finds is told."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
TOOL = TOOLS / "fuzz_calls.py"


def run(*arguments: str, tool: Path = TOOL) -> subprocess.CompletedProcess[str]:
    """Run the tool in an interpreter of its own."""
    if not TOOL.is_file():
        pytest.skip("the tools are not part of this copy")
    return subprocess.run([sys.executable, str(tool), *arguments], capture_output=True, text=True, timeout=240)


def test_a_few_wrong_calls() -> None:
    done = run("--cases", "90", "--seed", "4")
    assert done.returncode == 0, done.stdout
    assert "90 cases, 0 findings" in done.stdout


# The tool with a function that has a fault: the processes that it starts import this file too.
FAULTY = """
import sys
sys.path.insert(0, {tools!r})
import fuzz_calls

fuzz_calls.arguments = lambda case, call, known: {{"sigma": 2.0}}
fuzz_calls.use = lambda answer: answer.missing
if __name__ == "__main__":
    sys.exit(fuzz_calls.main(["--cases", "60", "--kinds", "Psf"]))
"""


def test_what_is_found(tmp_path: Path) -> None:
    tool = tmp_path / "faulty.py"
    tool.write_text(FAULTY.format(tools=str(TOOLS)), encoding="utf-8")
    done = run(tool=tool)
    assert done.returncode == 1, done.stderr
    assert re.search(r"Psf:0:\d+ WRONG ERROR: .*AttributeError", done.stdout)


def test_every_function_works_before_it_is_called_wrongly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not TOOL.is_file():
        pytest.skip("the tools are not part of this copy")
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.chdir(tmp_path)
    fuzz = importlib.import_module("fuzz_calls")
    fuzz.write_files()
    made = fuzz.calls()
    assert set(made) == set(fuzz.KINDS)
    for name in (
        "Cube",
        "Scene",
        "Psf",
        "as_cube",
        "open_cube",
        "evaluate",
        "simulate",
        "reflectance",
        "cube.spectrum",
    ):
        fuzz.use(made[name].function(**made[name].good))


def test_a_case_is_the_same_call_again(monkeypatch: pytest.MonkeyPatch) -> None:
    if not TOOL.is_file():
        pytest.skip("the tools are not part of this copy")
    monkeypatch.syspath_prepend(TOOLS)
    fuzz = importlib.import_module("fuzz_calls")
    import napari_specfusion

    call = fuzz.Call(napari_specfusion.Psf, {"sigma": 2.0})
    told = [str(fuzz.arguments(fuzz.fuzzing.Case("Psf", 1, n), call, [3])) for n in (5, 6, 5)]
    assert told[0] == told[2] != told[1]
