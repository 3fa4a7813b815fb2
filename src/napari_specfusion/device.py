"""The device to compute on, its arithmetic, and what makes a GPU fast."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.arguments import short, text
from napari_specfusion.errors import FusionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

__all__ = [
    "Acceleration",
    "accelerated",
    "acceleration",
    "computing",
    "pick_device",
    "place_network",
    "tf32_products",
    "uploaded",
    "uses_tf32",
]


def pick_device(name: str, precision: str = "float32") -> str:
    """Return the torch device called `name`; ``"auto"`` picks the fastest one that supports the precision.

    Raises
    ------
    FusionError
        If the device cannot be used here.
    """
    import torch

    text("The device", name, FusionError)
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and precision != "float64" else "cpu"
    try:
        # read back, which devices that only pretend to compute refuse
        torch.ones(1, device=name).add(1).item()
    except Exception as error:  # each kind of device has errors of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FusionError(f"The device {short(name)} cannot be used ({reason}); choose 'cpu', or 'auto'.") from error
    return name


# --- what makes a CUDA device fast --------------------------------------------------


@dataclass(frozen=True)
class Acceleration:
    """What is done to make a CUDA device fast; other devices do without.

    Attributes
    ----------
    graphs
        Networks are recorded once for each size of their images, and replayed: no time goes into starting kernels.
    channels_last
        Convolutional networks keep the channels of a pixel beside each other, as tensor cores need them.
    transfers
        One tile is uploaded and another downloaded, from and to page-locked memory, while a third is computed.
    kernels
        Series of elementwise operations run as one kernel that is compiled for the device.
    """

    graphs: bool = True
    channels_last: bool = True
    transfers: bool = True
    kernels: bool = True


_acceleration: ContextVar[Acceleration | None] = ContextVar("_acceleration", default=None)
_tf32: ContextVar[bool] = ContextVar("_tf32", default=False)


def acceleration() -> Acceleration:
    """Return what is switched on in this thread; all of it, unless `accelerated` says otherwise."""
    return _acceleration.get() or Acceleration()


@contextmanager
def accelerated(wanted: Acceleration) -> Iterator[None]:
    """Fuse with other switches in the block, in this thread."""
    token = _acceleration.set(wanted)
    try:
        yield
    finally:
        _acceleration.reset(token)


def place_network(network: torch.nn.Module, device: str | torch.device, dtype: torch.dtype | None) -> None:
    """Move a network to a device to predict there, in the memory format that is fast on it."""
    import torch

    network.to(device=device, dtype=dtype)
    if torch.device(device).type == "cuda" and acceleration().channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def uploaded(array: NDArray[Any] | np.floating[Any], like: torch.Tensor) -> torch.Tensor:
    """Return an array as a tensor of the type and on the device of `like`; a CUDA device is not waited for."""
    import torch

    values = torch.as_tensor(np.ascontiguousarray(array)).to(like.dtype)
    if like.device.type != "cuda" or not acceleration().transfers:
        return values.to(like.device)
    # the page-locked memory is reused only after the copy
    return values.pin_memory().to(like.device, non_blocking=True)


# --- arithmetic ----------------------------------------------------------------------


@contextmanager
def computing(device: str | torch.device, precision: str) -> Iterator[None]:
    """Compute as `precision` promises in the block; the settings of this process are put back afterwards.

    Float32 is float32 everywhere: without this, torch rounds what convolutions multiply to 10 bits on a CUDA device.
    ``"tf32"`` allows that, for all products, but within networks only, see `tf32_products`.
    """
    import torch

    token = _tf32.set(precision == "tf32")
    try:
        if torch.device(device).type == "cuda":
            with _products("ieee"):
                yield
        else:
            yield
    finally:
        _tf32.reset(token)


def uses_tf32() -> bool:
    """Whether networks may compute their products in TF32 in this thread."""
    return _tf32.get()


@contextmanager
def tf32_products(device: torch.device) -> Iterator[None]:
    """Compute products in TF32 in the block where `computing` asked for it and the device has it."""
    if not (uses_tf32() and device.type == "cuda"):
        yield
        return
    with _products("tf32"):
        yield


@contextmanager
def _products(kind: str) -> Iterator[None]:
    """Set how torch multiplies float32 matrices and convolves on CUDA: ``"ieee"`` or ``"tf32"``."""
    import torch

    backends: Any = torch.backends
    # torch 2.9 renamed the settings, and refuses a mixture of both
    named = hasattr(backends.cuda.matmul, "fp32_precision")
    places = (backends.cuda.matmul, backends.cudnn.conv if named else backends.cudnn)
    name = "fp32_precision" if named else "allow_tf32"
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, kind if named else kind == "tf32")
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)
