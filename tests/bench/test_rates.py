"""Where the time goes: the clock of operations, and the table."""

from __future__ import annotations

import pytest
import torch

from napari_specfusion.__main__ import main
from napari_specfusion.bench.operation_clock import OperationClock
from napari_specfusion.bench.rates import Machine, Spent


def test_operations_are_counted_by_kind() -> None:
    matrix, image = torch.rand(8, 16), torch.rand(1, 3, 10, 10)
    with torch.inference_mode(), OperationClock() as clock:
        torch.nn.functional.linear(matrix, torch.rand(4, 16))
        torch.nn.functional.conv2d(image, torch.rand(5, 3, 3, 3))
        torch.fft.rfft2(image)
        matrix.T[:4].contiguous()
        torch.sin(matrix)
    assert clock.calls["matrix products"] == 1
    assert clock.flops["matrix products"] == 2 * 8 * 16 * 4
    assert clock.bytes["matrix products"] == 4 * (8 * 16 + 4 * 16 + 8 * 4)
    assert clock.calls["convolutions"] == 1
    assert clock.flops["convolutions"] == 2 * 8 * 8 * 5 * 3 * 9
    assert clock.calls["Fourier transforms"] >= 1
    # the random numbers, the copy and the sine; views are free
    assert clock.calls["other operations"] == 4
    assert all(seconds > 0 for seconds in clock.seconds.values())


def test_a_line_shows_the_share_of_what_the_machine_reaches() -> None:
    line = Spent("glp", "matrix products", 0.5, 12, 20e9, 2e9).line(Machine(100e9, 10e9))
    assert line.split() == ["glp", "matrix", "products", "50%", "12", "20.0", "20%", "2.0", "20%"]


@pytest.mark.parametrize("method", ["glp", "lso-s-cave-x4"])
def test_the_shares_of_a_fusion_add_up(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "rates", "--side", "128", "--method", method, "--threads", "1"]) == 0
    machine, _, *rows = capsys.readouterr().out.splitlines()
    assert machine.startswith("this machine, 1 threads:")
    shares = [int(next(word for word in row.split() if word.endswith("%"))[:-1]) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=len(shares))
    assert all(0 <= share <= 100 for share in shares)
    assert any("convolutions" in row for row in rows) == (method != "glp")
