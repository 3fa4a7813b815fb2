"""Tiles on their way to the device and back.

::

    stream      tile 1    tile 2    tile 3
    --------    ------    ------    ------
    upload      ##            ##        ##           page-locked memory to the device
    compute       ######        ######    ######
    download            ##            ##        ##   and back; whoever wants the values waits for them

On a CUDA device the three overlap. Elsewhere everything happens at once, and nothing is copied that need not be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.device import acceleration

if TYPE_CHECKING:
    import torch

__all__ = ["Here", "Overlapped", "Pending", "Ready", "Transfers", "downloaded", "transfers_to"]


class Pending(Protocol):
    """Values that may still be computed."""

    def result(self) -> NDArray[Any]:
        """Wait for the values and return them."""


class Transfers(Protocol):
    """How tiles come to a device and back."""

    ahead: int
    """Tiles that should be begun before the values of an earlier one are asked for."""

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an array on the device."""

    def download(self, values: torch.Tensor, dtype: torch.dtype) -> Pending:
        """Begin to copy values from the device; they need not be computed yet."""

    def wait(self) -> None:
        """Wait until the device has nothing to do."""


def transfers_to(device: torch.device) -> Transfers:
    """Return how tiles come to `device`."""
    return Overlapped(device) if device.type == "cuda" and acceleration().transfers else Here(device)


class Here:
    """One thing after the other."""

    ahead = 0

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an array on the device; see `Transfers`."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def download(self, values: torch.Tensor, dtype: torch.dtype) -> Pending:
        """Copy values, so that what is around them need not be kept; see `Transfers`."""
        return Ready(np.asarray(values.to("cpu", dtype, copy=True).contiguous().numpy()))

    def wait(self) -> None:
        """Do nothing: every tile has been waited for."""


class Overlapped:
    """Copies on streams of their own, while the caller's stream computes; for CUDA devices."""

    ahead = 1

    def __init__(self, device: torch.device) -> None:
        import torch

        self._device = device
        self._up, self._down = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an array on the device, which is there before the caller's stream goes on; see `Transfers`."""
        import torch

        # torch keeps the page-locked memory until the copy has ended, and reuses it afterwards
        source = torch.from_numpy(np.ascontiguousarray(array)).pin_memory()
        compute = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._up):
            there = source.to(self._device, non_blocking=True)
        compute.wait_stream(self._up)
        # the memory belongs to the other stream, which must not reuse it while this one reads it
        there.record_stream(compute)
        return there

    def download(self, values: torch.Tensor, dtype: torch.dtype) -> Pending:
        """Begin to copy values; see `Transfers`."""
        import torch

        if values.device.type == "cpu":
            return Ready(np.asarray(values.to("cpu", dtype, copy=True).contiguous().numpy()))
        # the core alone, so that what is around it can be reused
        core = values.to(dtype, copy=True, memory_format=torch.contiguous_format)
        host = torch.empty(core.shape, dtype=dtype, pin_memory=True)
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._down):
            host.copy_(core, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
        core.record_stream(self._down)
        return _Awaited(host, done)

    def wait(self) -> None:
        """Wait until the device has nothing to do."""
        import torch

        torch.cuda.synchronize(self._device)


def downloaded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return values in the processor's memory, and wait for them; a copy only if they lie elsewhere."""
    import torch

    if values.device.type != "cuda" or not acceleration().transfers:
        return values.to("cpu", dtype)
    host = torch.empty(values.shape, dtype=dtype, pin_memory=True)
    host.copy_(values.to(dtype, memory_format=torch.contiguous_format), non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    return host


class Ready:
    """Values that are there."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values

    def result(self) -> NDArray[Any]:
        """Return them."""
        return self._values


class _Awaited:
    """Values in page-locked memory, once the event has come; the memory is reused when nobody holds them."""

    def __init__(self, host: torch.Tensor, done: torch.cuda.Event) -> None:
        self._host, self._done = host, done

    def result(self) -> NDArray[Any]:
        """Wait for them and return them."""
        self._done.synchronize()
        return np.asarray(self._host.numpy())
