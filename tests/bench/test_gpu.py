"""The benchmark of a device: its table and file, and what it does about failures and the time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.__main__ import main
from napari_specfusion.bench import gpu_fusions
from napari_specfusion.bench.gpu import bench_gpu

if TYPE_CHECKING:
    import pytest


def test_a_table_and_a_file_of_what_the_device_computes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--device", "cpu", "--network", "lso-s", "--side", "64", "--precision", "float32", "tf32"]
    assert main(["bench", "gpu", "--out", str(tmp_path), *arguments, "--method", "glp", "--whole", "256"]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [(row["network"], row["side"], row["precision"]) for row in found["networks"]] == [
        ("lso-s", 64, "float32"),
        ("lso-s", 64, "tf32"),
    ]
    assert all(row["rate"] > 0 and row["distance"] > 120 and not row["failure"] for row in found["networks"])
    assert [(row["method"], row["where"]) for row in found["fusions"]] == [("glp", "memory"), ("glp", "zarr")]
    assert all(row["rate"] > 0 and row["prepare"] > 0 for row in found["fusions"])
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert table.count("lso-s") == table.count("glp") == 2
    assert "lso-s" in capsys.readouterr().out


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = gpu_fusions._fuse

    def fail(scene: object, model: object, *args: object) -> object:
        if model == "glp":
            raise RuntimeError("no device today\nat all")
        return original(scene, model, *args)

    monkeypatch.setattr(gpu_fusions, "_fuse", fail)
    rates, fusions = bench_gpu(tmp_path, device="cpu", networks=(), methods=("glp", "bicubic"), side=256)
    assert not rates
    assert [row.failure for row in fusions] == ["RuntimeError: no device today"] * 2 + [""] * 2
    assert [math.isnan(row.rate) for row in fusions] == [True, True, False, False]
    assert "no device today" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_nothing_begins_after_the_time(tmp_path: Path) -> None:
    rates, fusions = bench_gpu(
        tmp_path, device="cpu", networks=("lso",), sides=(64,), methods=("glp",), side=256, seconds=-1.0
    )
    assert all("no time left" in row.failure for row in (*rates, *fusions))
    assert (len(rates), len(fusions)) == (4, 2)
