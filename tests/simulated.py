"""A device that is not there: tensors that know where they are, and refuse what a real device refuses.

Tensors "on" it hold their values in the processor's memory, but no operation takes them together with other tensors,
numpy does not see them, and there is no double precision, as on Apple's GPUs. What is wrong with the place of a tensor
therefore fails here as it would there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "simulated"


class _Module(_DummyBackendModule):
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


@cache
def device() -> torch.device:
    """Return the device; torch knows it from the first call on, and takes it for the accelerator of this process."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    return torch.device(NAME, 0)


class Placed(torch.Tensor):
    """A tensor on the simulated device; its values are `inner`."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Placed:
        if inner.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"the simulated device has no {inner.dtype}")
        # a view of a plain tensor is plain, also in inference mode
        with torch.inference_mode(inner.is_inference()):
            made = torch.Tensor._make_wrapper_subclass(
                cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=device()
            )
        made.inner = inner
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Placed({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(function, args, kwargs or {}, Counter())


class SimulatedDevice(TorchDispatchMode):
    """Makes tensors asked for on the device, in the block; counts copies.

    Attributes
    ----------
    copies
        Number of uploads, downloads and numbers read back.
    """

    def __init__(self) -> None:
        super().__init__()
        device()
        self.copies: Counter[str] = Counter()
        self.tape: list[Any] | None = None

    @contextmanager
    def recording(self, graph: Graph, *_: Any, **__: Any) -> Iterator[None]:
        """Record what is computed in the block, in place of ``torch.cuda.graph``."""
        self.tape = graph.tape
        try:
            yield
        finally:
            self.tape = None

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with self:
            # in inference mode, operations that are made of others come here whole
            result = function.decompose(*args, **(kwargs or {}))
        return computed(function, args, kwargs or {}, self.copies, self.tape) if result is NotImplemented else result


class Graph:
    """What was computed in a block, to be computed again in the same memory; in place of ``torch.cuda.CUDAGraph``."""

    def __init__(self) -> None:
        self.tape: list[Any] = []

    def replay(self) -> None:
        for function, args, kwargs, result in self.tape:
            again = function(*args, **kwargs)
            if not function.is_view:
                for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                    if isinstance(old, torch.Tensor) and old is not new:
                        old.copy_(new)


def computed(
    function: Any, args: Any, kwargs: dict[str, Any], copies: Counter[str], tape: list[Any] | None = None
) -> Any:
    """Return the result of an operation, on the device if its arguments are, or if it is asked for there.

    While a `tape` is recorded, nothing may come from elsewhere or go there, as in a CUDA graph.
    """
    before = copies.total()
    name = function.overloadpacket.__name__
    flat, spec = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    placed = [value for value in tensors if isinstance(value, Placed)]
    here = [value for value in tensors if not isinstance(value, Placed)]
    asked = kwargs.get("device")
    if name in ("_to_copy", "copy_", "lift_fresh"):
        source = args[1] if name == "copy_" else args[0]
        goes = isinstance(args[0], Placed) if asked is None else torch.device(asked).type == NAME
        if goes != isinstance(source, Placed):
            copies["upload" if goes else "download"] += 1
    else:
        if placed and any(value.ndim for value in here):
            shapes = [tuple(value.shape) for value in here if value.ndim]
            raise RuntimeError(f"{name} takes tensors on the device and elsewhere, of shape {shapes}")
        goes = bool(placed) if asked is None else torch.device(asked).type == NAME
        copies["read"] += bool(placed) and name in ("_local_scalar_dense", "equal")
    inner = [
        value.inner
        if isinstance(value, Placed)
        else torch.device("cpu")
        if isinstance(value, torch.device) and value.type == NAME
        else value
        for value in flat
    ]
    inner_args, inner_kwargs = tree_unflatten(inner, spec)
    if tape is not None and copies.total() > before:
        raise RuntimeError("operation not permitted when stream is capturing")
    result = function(*inner_args, **inner_kwargs)
    if tape is not None and (placed or goes):
        tape.append((function, inner_args, inner_kwargs, result))
    # what an operation changes in place is the argument itself
    known = {id(value.inner): value for value in placed}

    def outside(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in known:
            return known[id(value)]
        return Placed(value) if goes else value

    return tree_map(outside, result)
