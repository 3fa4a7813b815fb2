"""Messages are put into the words of the window, whatever function they come from."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import napari_specfusion
from napari_specfusion.data.scene import Finding
from napari_specfusion.io.metadata.axes import BandAxis, uncertain
from napari_specfusion.widgets._findings import FindingsPanel, StatusLine
from napari_specfusion.widgets._plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(napari_specfusion.__file__).parent
# what a window shows messages of
SHOWN = ("alignment", "calibration", "data", "fusion", "io", "methods", "quality", "radiometry", "tiling", "weights")
# the window has no cluster, hands over layers and files and no other objects, and gives no such argument
NEVER = (
    "fusion/cluster.py", "fusion/resolve.py", "fusion/shared_store.py", "data/checks.py", "data/cube.py",
    "data/summary.py", "io/metadata/data_array.py", "io/formats/tiff/writer.py", "alignment/record.py",
)  # fmt: skip
NOT_GIVEN = ("band_axis=", "as_cube(...)", "is for arrays and files", "rotation=", "role=", "axes={} for {}")
ARGUMENT = re.compile(r"\b[a-z_]{2,}=(?!=)|\b[a-z_]+\([a-z_]*=?\.*\)")


def messages() -> Iterator[Any]:
    """Yield the texts of the functions that name an argument."""
    for path in sorted(path for folder in SHOWN for path in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name in NEVER:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {id(v) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for v in node.values}
        inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [value.value if isinstance(value, ast.Constant) else filling(value) for value in node.values]
                text = "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                text = node.value
            else:
                continue
            if " " in text and ARGUMENT.search(text) and not any(part in text for part in NOT_GIVEN):
                yield pytest.param(text, id=f"{name}:{node.lineno}")


def filling(value: Any) -> str:
    """Return what may stand in a place of a message."""
    return "'x'" if value.conversion == ord("r") else "7"


@pytest.mark.parametrize("message", list(messages()))
def test_no_argument_is_named_in_the_window(message: str) -> None:
    shown = plain(message)
    assert not ARGUMENT.search(shown), shown
    assert "  " not in shown and " . " not in shown


def test_a_guessed_axis_is_told_in_plain_words() -> None:
    taken = BandAxis(0, "weak", "it is the shortest")
    (finding,) = uncertain((30, 10, 12), taken, "guess.mat")["findings"]
    shown = plain(finding[1])
    assert shown.endswith("because it is the shortest. If that is wrong, choose another under Axes in Open cube.")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.zarr holds a finished result already; open it, give another path, or overwrite=True to replace it.",
         "a.zarr holds a finished result already; open it, give another path, or choose Overwrite."),
        ("The fused cube takes 3.0 GB; write it to a .zarr folder (out=...) instead of memory.",
         "The fused cube takes 3.0 GB; write it to a .zarr folder (Advanced, Result in) instead of memory."),
        ("Nothing needs to change.", "Nothing needs to change."),
    ],
)  # fmt: skip
def test_what_a_user_can_do_is_said(said: str, shown: str) -> None:
    assert plain(said) == shown


def test_panels_speak_plainly(qtbot: Any) -> None:
    from qtpy.QtWidgets import QLabel

    panel, line = FindingsPanel(), StatusLine()
    qtbot.addWidget(panel)
    qtbot.addWidget(line)
    panel.show_verdict("warning", "x", (), [Finding("warning", "no-data", "odd; declare it with nodata=.")])
    assert "odd; declare it in the file." in [label.text() for label in panel.findChildren(QLabel)]
    line.fail("There; give another path, or overwrite=True to replace it.")
    assert line.text() == "There; give another path, or choose Overwrite."
