"""A network of sizes that nobody has checked is not created larger than it may be."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_specfusion.networks.limited import AtMost
from napari_specfusion.networks.registry import NETWORKS, create_model

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "create",
    [
        lambda: torch.empty(1 << 40, 1 << 10),
        lambda: torch.zeros((1 << 40,)),
        lambda: torch.randn(torch.Size([1 << 30, 1 << 20])),
        lambda: torch.ones(size=(1 << 40, 8)),
        lambda: torch.eye(1 << 30),
        lambda: torch.arange(1, 1 << 50),
        lambda: torch.nn.Conv2d(1 << 20, 1 << 20, 3),
        lambda: [torch.empty(400) for _ in range(3)],
    ],
)
def test_too_much_is_refused_before_it_is_allocated(create: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="more than 1000 weights"), AtMost(1000):
        create()


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_network_counts_as_many_as_it_has(name: str) -> None:
    with AtMost(10**9) as limit:
        network = create_model(name, 31, 3, 4)
    weights = sum(value.numel() for value in network.state_dict().values())
    assert weights <= limit.count <= 1.2 * weights + 10_000
    with pytest.raises(ValueError, match="weights"), AtMost(weights // 2):
        create_model(name, 31, 3, 4)


def test_shipped_weights_load_without_the_compiler_of_torch() -> None:
    script = (
        "import sys, torch\nfrom napari_specfusion.weights.shipped import list_weights, shipped_weights\n"
        "for name in list_weights():\n    shipped_weights(name)\n"
        "print('torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
