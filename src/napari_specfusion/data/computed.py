"""Lazy arrays computed in this process, whatever dask's default scheduler is."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any

import dask
import dask.array as da
import dask.threaded
import numpy as np
from numpy.typing import NDArray

__all__ = ["computed", "load_scheduler", "persisted"]


def computed(array: da.Array) -> NDArray[Any]:
    """Return the values of a lazy array.

    They are computed by threads of this process, even where a client of dask.distributed is the default: what is read
    here is needed here, and inside a task of a worker the cluster may have no thread left to read it. Arrays that a
    client persisted are fetched from its cluster. A local scheduler set in ``dask.config`` is used.
    """
    remote = str(dask.config.get("scheduler", None) or "distributed").endswith("distributed")
    scheduler = "threads" if remote and not persisted(array) else None
    return np.asarray(array.compute(scheduler=scheduler))


def load_scheduler() -> None:
    """Load what dask loads when it first computes: dask.distributed, if it is installed, to look for a client.

    That takes a third of a second. A job in the background can spare the window that.
    """
    with suppress(ImportError):
        import_module("distributed")


def persisted(array: da.Array) -> bool:
    """Return whether parts of an array lie on a cluster."""
    if "distributed" not in sys.modules:
        return False
    from distributed import Future

    layers: Any = getattr(array.dask, "layers", {"": array.dask})
    # a layer that is not a plain dict is not computed yet
    return any(isinstance(value, Future) for layer in layers.values() for value in _values(layer))


def _values(layer: Any) -> Any:
    mapping = layer if isinstance(layer, dict) else getattr(layer, "mapping", {})
    return (getattr(value, "value", value) for value in mapping.values())


def _forget_threads() -> None:
    # only the thread that forks lives on in the child: work given to dask's others would wait for ever
    dask.threaded.default_pool = None
    dask.threaded.pools.clear()
    dask.threaded.pools_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
