"""The result in memory; that it grows is tested beside the one on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.result import MemoryStore


def test_a_result_too_large_for_memory_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "full", refuse)
    with pytest.raises(OutputError, match=r"out='result.zarr'"):
        MemoryStore((3, 10, 10), 1, {"name": "m"})
