from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from napari_specfusion import open_cube

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT, CONSOLE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_script_in_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(SCRIPT, {})
    assert open_cube("fused.zarr").shape == (31, 128, 128)
    assert "belong together" in capsys.readouterr().out


def test_the_lines_for_the_console_run() -> None:
    components = pytest.importorskip("napari.components")
    from napari_specfusion.widgets._commands import sample_pair

    viewer: Any = components.ViewerModel()
    for data, options, _ in sample_pair():
        viewer.add_image(data, **options)
    exec(CONSOLE, {"viewer": viewer})
    assert viewer.layers[-1].data.shape == (31, 256, 256)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_is_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing
