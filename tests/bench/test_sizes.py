"""The benchmark of sizes: the pair it writes, and what it keeps of its runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_specfusion.__main__ import main
from napari_specfusion.bench.sizes import HEAD, MAXIMUM, SizeRun, bench_sizes, read_runs, write_pair
from napari_specfusion.errors import SceneError
from napari_specfusion.io import open_cube
from napari_specfusion.samples.scene import sample_scene

RUN = SizeRun("glp", 1024, 31, 4, 2, 1.0, 10.0, 1.5, 18.0, 0.1, 0.9, 0.8)


def test_the_pair_repeats_the_scene_mirrored(tmp_path: Path) -> None:
    scene = sample_scene(64, 4)
    low, sharp = write_pair(scene.hsi, scene.guide, 3, tmp_path)
    for file, cube in ((low, scene.hsi), (sharp, scene.guide)):
        written, values = open_cube(file), cube.read().clip(0, None)
        side = cube.shape[1]
        assert written.shape == (cube.bands, 3 * side, 3 * side)
        for y, x in ((0, 0), (0, 1), (1, 1), (2, 1)):
            block = written.read(slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side))
            mirrored = values[:, :: -1 if y % 2 else 1, :: -1 if x % 2 else 1]
            np.testing.assert_allclose(block, mirrored, atol=1.01 / MAXIMUM)
    np.testing.assert_allclose(open_cube(low).wavelengths, scene.hsi.wavelengths, atol=1e-3)


def test_a_table_and_figures_to_compare_with(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["bench", "sizes", "--side", "512", "--method", "bicubic", "--threads", "1", "--folder", str(tmp_path)]
    assert main([*command, "--out", str(tmp_path / "first")]) == 0
    (run,) = read_runs(tmp_path / "first" / "sizes.json")
    assert (run.method, run.side, run.bands, run.ratio, run.threads) == ("bicubic", 512, 31, 4, 1)
    assert 0 < run.tiles < 300
    assert 0.05 < run.memory < 4
    assert 0 < run.busy <= 1.01
    assert (tmp_path / "first" / "table.md").read_text(encoding="utf-8").splitlines()[1] == HEAD
    capsys.readouterr()
    against = str(tmp_path / "first" / "sizes.json")
    assert main([*command, "--out", str(tmp_path / "second"), "--against", against, "--scale", "1e-4"]) == 0
    assert "GB x" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_a_line_shows_time_for_a_million_pixels_and_the_change() -> None:
    assert RUN.cpu_per_mpx == pytest.approx(18 / 1.048576)
    assert "17.17     10%    90%   0.80" in RUN.line()
    assert RUN.line(RUN).endswith("tiles x1.00, GB x1.00")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sides": [500]}, "multiples of 512"),
        ({"ratio": 3}, "divides"),
        ({"sides": [1 << 20]}, "GB"),
        ({"against": "none.json"}, "no sizes"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, object], problem: str, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=problem):
        bench_sizes(tmp_path / "out", **{"folder": tmp_path, "bands": 3} | options)  # type: ignore[arg-type]


def test_another_json_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"runs": [{"method": "glp"}]}), encoding="utf-8")
    with pytest.raises(SceneError, match=r"no sizes\.json"):
        read_runs(tmp_path / "x.json")
