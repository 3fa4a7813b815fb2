"""Sphinx's settings for `make docs`: the pages of this folder, and the API from the docstrings."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import api_pages  # noqa: E402

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "napari-specfusion"
author = "The napari-specfusion contributors"
project_copyright = f"2026, {author}"
release = version = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
# a word in backticks is a name of the API where there is one of that name, else it is code
default_role = "py:obj"
highlight_language = "none"
# "--model" stays what it is
smartquotes = False

myst_heading_anchors = 4

autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
# what is wrong in a docstring: unknown sections, sections out of order, parameters that are not there
numpydoc_validation_checks = {"GL06", "GL07", "PR02", "PR03"}

html_theme = "furo"
html_title = f"napari-specfusion {version}"
html_show_sphinx = False
html_copy_source = False


def links_in_pages(_app: Sphinx, _name: str, content: list[str]) -> None:
    """Turn links to README.md and CONTRIBUTING.md, which lie above this folder, into links to their pages."""
    content[0] = content[0].replace("](../README.md", "](index.md").replace("](../CONTRIBUTING.md", "](contributing.md")


def links_from_above(app: Sphinx, path: Path, name: str, content: list[str]) -> None:
    """Turn the links of README.md and CONTRIBUTING.md into links from this folder."""
    content[0] = re.sub(r"\]\((?=\w[\w/.-]*[#)])", "](../", content[0]).replace("](../docs/", "](")
    links_in_pages(app, name, content)


def readable_defaults(*event: Any) -> tuple[str, str] | None:
    """Write the default of a field that a function makes as Python could, so that the signature is read as Python."""
    signature, returned = event[-2:]
    return signature and (signature.replace("<factory>", "..."), returned)


def public_names(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Any) -> Any:
    """Find a name in backticks among the public ones, wherever it is."""
    if node["reftype"] != "obj" or not node["reftarget"].isidentifier():
        return None
    domain = env.domains["py"]
    found = [name for name in api_pages.names() if name.rpartition(".")[2] == node["reftarget"]]
    kind = domain.objects[found[0]].objtype if found and found[0] in domain.objects else None
    if kind is None:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, kind, found[0], node, text)


def setup(app: Sphinx) -> None:
    """Write the pages of the API before Sphinx looks for its sources."""
    api_pages.write(HERE / "api")
    app.connect("source-read", links_in_pages)
    app.connect("include-read", links_from_above)
    app.connect("autodoc-process-signature", readable_defaults)
    app.connect("missing-reference", public_names)
