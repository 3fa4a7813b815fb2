"""Large arrays are reused while a run of large tiles lasts."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_specfusion import heap, memory
from napari_specfusion.heap import large_blocks_reused


def faults(size: int) -> int:
    """Return how many pages the system hands out while arrays come and go."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the setting")
def test_a_large_array_takes_the_memory_of_the_one_before() -> None:
    if heap._glibc() is None:
        pytest.skip("another C library")
    size = memory.UNMAPPED_BLOCK + (8 << 20)
    with large_blocks_reused():
        np.ones(size, np.uint8)
        inside = faults(size)
    assert 4 * inside < faults(size)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with large_blocks_reused():
        pass
