"""The benchmark of the readers runs and measures something."""

from __future__ import annotations

from napari_specfusion._bench_io import rows


def test_rows() -> None:
    found = rows(bands=4, side=20)
    assert [row["interleave"] for row in found] == ["bsq", "bil", "bip"]
    assert all(row["open_s"] > 0 and row["spectrum_ms"] > 0 for row in found)
