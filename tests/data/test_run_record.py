from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.io.open import open_cube
from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

EXPECTED = RunRecord("bicubic", "low", "sharp", 8.0)


def fused(**options: Any) -> Cube:
    scene = sample_scene(64, 8)
    return fuse(scene.hsi.replace(name="low"), scene.guide.replace(name="sharp"), model="bicubic", **options)


def test_a_result_knows_its_run() -> None:
    assert RunRecord.read(fused().metadata) == EXPECTED


@pytest.mark.parametrize("name", ["result.zarr", "copy.hdr", "copy.tif"])
def test_the_record_is_kept_in_files(tmp_path: Path, name: str) -> None:
    if name == "result.zarr":
        fused(out=tmp_path / name)
    else:
        fused().save(tmp_path / name)
    assert RunRecord.read(open_cube(tmp_path / name).metadata) == EXPECTED


@pytest.mark.parametrize(
    "metadata",
    [{}, {"method": "glp"}, {"method": 3, "pair": {"ratio": 4}}, {"method": "glp", "pair": "x"},
     {"method": "glp", "pair": {"ratio": "4"}}, {"method": "glp", "pair": {"ratio": np.inf}},
     {"method": "glp", "pair": {"ratio": True}}],
)  # fmt: skip
def test_other_metadata_hold_no_record(metadata: dict[str, Any]) -> None:
    assert RunRecord.read(metadata) is None
