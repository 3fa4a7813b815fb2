"""The fuzzer in tools: it makes the same files again, and tells what a reader must not do."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

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


def test_hundreds_of_damaged_headers(fuzz: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--seed", "5", "--count", "300", "--formats", "envi"]) == 0
    assert "300 cases, 0 findings" in capsys.readouterr().out


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
def test_what_is_found(
    fault: str, words: str, fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import napari_specfusion.io

    opened = napari_specfusion.io.open_cube

    def faulty(*args: Any, **options: Any) -> Any:
        exec(fault, {"np": fuzz.np, "os": fuzz.os, "time": fuzz.time})
        return opened(*args, **options)

    monkeypatch.setattr(napari_specfusion.io, "open_cube", faulty)
    monkeypatch.setattr(fuzz, "HANG_SECONDS", 3)
    monkeypatch.setattr(fuzz, "SECONDS", 0.02)
    assert fuzz.main(["--count", "1", "--formats", "envi"]) == 1
    assert re.search(words, capsys.readouterr().out)
