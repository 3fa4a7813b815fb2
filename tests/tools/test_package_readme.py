"""The description of the package leads nowhere that is not there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGET = re.compile(r"\]\(([^)]*)\)")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not (ROOT / "tools" / "package_readme.py").is_file():
        pytest.skip("the tools are not part of this copy")
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("package_readme")


def test_without_an_address_every_link_is_whole_and_no_picture_is_left(tool: ModuleType) -> None:
    text = tool.description(README)
    assert all(target.startswith("https://") for target in TARGET.findall(text))
    assert "![" not in text
    assert "see [Benchmark]" not in text.lower()


def test_with_an_address_links_and_pictures_have_it(tool: ModuleType) -> None:
    text = tool.description(README, "https://example.org/us/ours/")
    assert "](https://example.org/us/ours/blob/HEAD/docs/tutorial.md)" in text
    assert "](https://example.org/us/ours/raw/HEAD/docs/images/fusion.png)" in text
    assert all(target.startswith("https://") for target in TARGET.findall(text))


def test_what_is_for_a_checkout_is_left_out_and_headings_stay(tool: ModuleType) -> None:
    text = tool.description(README)
    assert "make demo" in README and "make demo" not in text
    assert "<!--" not in text
    assert re.findall("^## .*", text, re.MULTILINE) == re.findall("^## .*", README, re.MULTILINE)


def test_a_line_of_text_after_a_picture_stays(tool: ModuleType) -> None:
    text = "One.\n\n![a picture](docs/a.png)\n\nTwo, [there](docs/b.md#c), [here](#d).\n"
    assert tool.description(text) == "One.\n\nTwo, there, [here](#d).\n"
    turned = tool.description(text, "https://example.org")
    assert turned == (
        "One.\n\n![a picture](https://example.org/raw/HEAD/docs/a.png)\n\n"
        "Two, [there](https://example.org/blob/HEAD/docs/b.md#c), [here](#d).\n"
    )
