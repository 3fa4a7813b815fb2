"""What hatchling asks for the description of the package."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class DescriptionHook(MetadataHookInterface):
    """Gives the README as `package_readme` turns it."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description."""
        root = Path(self.root)
        readme = (root / "README.md").read_text(encoding="utf-8")
        turn = runpy.run_path(str(root / "tools" / "package_readme.py"))["description"]
        text = turn(readme, metadata.get("urls", {}).get("Source Code"))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
