"""The table of the benchmark: what it says of made-up scores, and that its files hold all of them."""

from __future__ import annotations

import csv
import math
import os
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from napari_specfusion.bench.report import Score
from napari_specfusion.bench.table import Setting, markdown, save_table, section
from napari_specfusion.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

SETTING = Setting("1.2.3", "4.5.6", 2)


def score(scene: str, method: str, psnr: float | None, **more: object) -> Score:
    known = {"ratio": 4, "sam": 3.0, "ergas": 1 / 3, "ssim": 0.99, "seconds": 1.5, "memory": 0.25} | more
    return Score("lso", scene=scene, method=method, psnr=psnr, **known)  # type: ignore[arg-type]


SCORES = [
    score("one", "glp", 40.0, ssim=None),
    score("one", "net", 44.0, made_for=4, parameters=190_000, operations=130_000.0),
    score("two", "glp", 41.0, ssim=None),
    score("two", "net", 45.5, made_for=4, parameters=190_000, operations=130_000.0),
    score("one", "glp", 30.0, ratio=8),
    score("one", "net", None, ratio=8, made_for=4, sam=None, failure="It is too coarse; take a finer one."),
]


def rows(table: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {line[0]: line[1:] for line in cells}


def test_means_over_the_scenes_beside_the_published_figures() -> None:
    table = rows(section(SCORES[:4]))
    assert table["method"][:4] == ["PSNR [dB]", "SAM [deg]", "ERGAS", "SSIM"]
    assert table["glp"] == ["40.50", "**3.00**", "**0.33**", "-", "-", "-", "1.5", "0.25"]
    assert table["net"] == ["**44.75**", "**3.00**", "**0.33**", "**0.9900**", "0.19 M", "0.130 M", "1.5", "0.25"]
    assert table["*LSO, published*"][:6] == ["*50.73*", "*2.38*", "*1.17*", "-", "*1.94 M*", "*1.700 M*"]
    assert table["*bicubic, published*"][0] == "*31.18*"
    assert list(table)[-3:] == [f"*{name}, published*" for name in ("bicubic", "SpecSolver", "LSO")]


def test_other_ratios_have_their_own_figures_or_none() -> None:
    assert rows(section(SCORES[4:]))["*LSO, published*"][:3] == ["*48.12*", "*2.96*", "*1.68*"]
    assert "published" not in section([score("one", "glp", 20.0, ratio=16)])
    assert "published" not in section(SCORES[:4], published=False)


def test_a_mean_over_fewer_scenes_is_none() -> None:
    table = rows(section([*SCORES[:3], score("two", "net", None, made_for=4)]))
    assert table["net"][0] == "-"


def test_the_report_tells_everything() -> None:
    text = markdown(SCORES, SETTING)
    assert "2 scenes (one, two)" in text
    assert "napari-specfusion 1.2.3, torch 4.5.6, threads: 2" in text
    assert [line for line in text.splitlines() if line.startswith("## x")] == [
        "## x4, protocol lso",
        "## x8, protocol lso",
    ]
    assert "| one | 40.00 / 3.00 / 0.33 / - | 44.00 / 3.00 / 0.33 / 0.9900 |" in text
    assert "net, made for x4: It is too coarse" in text
    assert "other test scenes" in text
    assert "uses 4 at x8" in text


def test_published_figures_stay_away_from_other_protocols_and_noise() -> None:
    assert ", published" in markdown(SCORES, SETTING)
    assert ", published" not in markdown(SCORES, Setting("1", "2", 1, noise="35 and 40"))
    other = [Score("specsolver", 4, "one", "glp", psnr=40.0)]
    assert ", published" not in markdown(other, SETTING)


def test_the_csv_holds_every_digit(tmp_path: Path) -> None:
    exact = [score("one", "glp", 40 + math.pi / 10, ergas=0.1 + 0.2), *SCORES[1:]]
    save_table(tmp_path, exact, SETTING)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(exact)
    for row, wanted in zip(found, exact, strict=True):
        assert (row["protocol"], row["scene"], row["method"]) == (wanted.protocol, wanted.scene, wanted.method)
        for key in ("psnr", "sam", "ergas", "ssim", "seconds", "memory", "operations"):
            assert (float(row[key]) if row[key] else None) == getattr(wanted, key)
        assert (int(row["made_for"]) if row["made_for"] else None) == wanted.made_for
        assert (row["version"], row["torch"], row["threads"]) == ("1.2.3", "4.5.6", "2")
    assert found[-1]["failure"] == SCORES[-1].failure


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = save_table(tmp_path, SCORES, SETTING)
    assert [path.name for path in written] == ["table.md", "table.csv", "table.png"]
    with Image.open(tmp_path / "table.png") as picture:
        assert min(picture.size) > 200


def test_without_matplotlib_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    written = save_table(tmp_path, SCORES, SETTING)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    assert len(written) == 2


def test_a_full_disk_leaves_the_older_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_table(tmp_path, SCORES[:2], SETTING)
    before = (tmp_path / "table.csv").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="disk filled up"):
        save_table(tmp_path, SCORES, SETTING)
    assert (tmp_path / "table.csv").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))
