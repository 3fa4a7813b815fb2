from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_specfusion

MANIFEST = PluginManifest.from_file(Path(napari_specfusion.__file__).with_name("napari.yaml"))


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda command: command.id)
def test_every_command_leads_somewhere(command: Any) -> None:
    module, name = command.python_name.split(":")
    assert callable(getattr(import_module(module), name))


def test_every_widget_has_its_command() -> None:
    commands = {command.id for command in MANIFEST.contributions.commands}
    assert {widget.command for widget in MANIFEST.contributions.widgets} <= commands


def test_ordinary_pictures_are_left_to_others() -> None:
    patterns = {p for reader in MANIFEST.contributions.readers for p in reader.filename_patterns}
    assert not patterns & {"*", "*.tif", "*.tiff", "*.png", "*.jpg", "*.h5", "*.nc", "*.zarr"}


def test_a_file_is_read_by_the_plugin(viewer: Any, pair_files: tuple[Path, Path]) -> None:
    (layer,) = viewer.open(pair_files[0], plugin="napari-specfusion")
    assert layer.metadata["specfusion"]["wavelengths"][0] == 400
    assert not layer.rgb and layer.data.shape[0] == 31


def test_the_sample_pair_lies_together(viewer: Any) -> None:
    viewer.open_sample("napari-specfusion", "pair")
    reference, guide, low = viewer.layers
    assert guide.rgb and low.data.shape[0] == reference.data.shape[0] == 31
    assert np.allclose(low.scale[1:], 4)
    assert np.allclose(low.data_to_world((0, 0, 0))[1:], low.translate[1:])
