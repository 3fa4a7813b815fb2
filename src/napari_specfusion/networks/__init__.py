"""The networks and their parts."""

from __future__ import annotations

from napari_specfusion.networks.registry import NETWORKS, create_model, list_networks

__all__ = ["NETWORKS", "create_model", "list_networks"]
