"""The benchmark of the networks: it measures in a process of its own, and says what went wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_specfusion.__main__ import main
from napari_specfusion.bench.network import bench_network
from napari_specfusion.errors import ModelError

PLAIN = Path(__file__).parents[1] / "networks" / "lso_reference.py"


def test_one_table_for_networks_and_the_plain_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "network", "--name", "lso-s", "--size", "64", "--threads", "1", "--plain", str(PLAIN)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:20].strip() for line in lines[1:]] == ["network", "lso-s", "lso, plain"]
    assert all(0 < float(line.split()[-3]) < 60 for line in lines[2:])


def test_what_goes_wrong_in_the_other_process_is_told() -> None:
    with pytest.raises(ModelError, match=r"no network 'x'"):
        bench_network("x", 32)
