"""Creating a network whose sizes come from a file that may be damaged."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["AtMost"]

FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye)


class AtMost(TorchFunctionMode):
    """Creates tensors in its block up to a total number of values, and refuses what would exceed it.

    A plan on the meta device would need no limit, but the first one loads torch's compiler, for two seconds.

    Parameters
    ----------
    most
        Number of values.

    Raises
    ------
    ValueError
        Before a tensor is allocated that exceeds it.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.count = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in FACTORIES:
            sizes = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
            self.count += prod(map(int, sizes)) if function is not torch.eye else prod(map(int, (*args, *args)[:2]))
        elif function is torch.arange:
            self.count += int(max(map(abs, args), default=0))
        if self.count > self.most:
            raise ValueError(f"the network has more than {self.most} weights")
        return function(*args, **kwargs)
