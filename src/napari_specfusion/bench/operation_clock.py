"""A clock for what torch computes."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["KINDS", "OperationClock"]

PRODUCTS, CONVOLUTIONS, TRANSFORMS, OTHERS = KINDS = (
    "matrix products",
    "convolutions",
    "Fourier transforms",
    "other operations",
)
PRODUCT_NAMES = ("mm", "bmm", "addmm", "addmv", "baddbmm", "mv", "dot", "addbmm")


class OperationClock(TorchDispatchMode):
    """Adds up, by kind, the time, calls, floating-point operations and bytes of what this thread computes on the CPU.

    Views are not counted: they compute nothing.

    Attributes
    ----------
    seconds, calls, flops, bytes
        By kind, of `KINDS`. Bytes are those of arguments and results. Operations are known for products and
        convolutions.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self.flops: dict[str, float] = defaultdict(float)
        self.bytes: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:
            # in inference mode, operations that are made of others come here whole
            result = function.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        start = time.perf_counter()
        result = function(*args, **kwargs)
        seconds = time.perf_counter() - start
        if function.is_view:
            return result
        kind = _kind(function.overloadpacket.__name__)
        self.seconds[kind] += seconds
        self.calls[kind] += 1
        self.bytes[kind] += _bytes((args, kwargs, result))
        if function.overloadpacket in flop_registry:
            self.flops[kind] += flop_registry[function.overloadpacket](*args, **kwargs, out_val=result)
        return result


def _kind(name: str) -> str:
    if name in PRODUCT_NAMES:
        return PRODUCTS
    if "convolution" in name:
        return CONVOLUTIONS
    return TRANSFORMS if "fft" in name else OTHERS


def _bytes(values: Any) -> int:
    """Return the bytes of all tensors in nested containers."""
    if isinstance(values, torch.Tensor):
        return values.nbytes
    if isinstance(values, dict):
        return sum(map(_bytes, values.values()))
    return sum(map(_bytes, values)) if isinstance(values, list | tuple) else 0
