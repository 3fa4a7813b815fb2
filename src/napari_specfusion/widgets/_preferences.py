"""The plugin's own page in napari's preferences."""

from __future__ import annotations

from typing import Any

__all__ = ["preference"]

PLUGIN = "napari-specfusion"


def preference(section: str, key: str) -> Any | None:
    """Return a preference, or None where this napari has no page for plugins."""
    try:
        from napari.settings import get_plugin_settings

        return getattr(getattr(get_plugin_settings(PLUGIN), section), key)
    except (ImportError, KeyError, AttributeError):
        return None
