"""Networks on a CUDA device, recorded once for each size of their images and replayed.

A network is hundreds of small kernels. Recorded as a CUDA graph, they are started by one call, so that the device never
waits for Python. A graph reads and writes fixed memory: images are copied there, and its result is copied from there.
Tiles at an image's edge have sizes of their own, which are recorded too if they come again, up to a few.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_specfusion.device import acceleration, tf32_products, uses_tf32
from napari_specfusion.progress import unlooked

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

__all__ = ["MOST_GRAPHS", "Replays", "replayed", "run_network"]

MOST_GRAPHS = 4
"""Sizes that are recorded, at most; each holds the memory of its images."""

Key = tuple[Any, ...]


def run_network(network: Any, *images: torch.Tensor, **named: Any) -> torch.Tensor:
    """Return ``network(*images, **named)``, replayed in the block of `replayed`.

    Named arguments are tensors, tuples of tensors, or None.
    """
    replays = _replays.get()
    with tf32_products(images[0].device):
        result: torch.Tensor
        if replays is None or images[0].device.type != "cuda":
            result = network(*images, **named)
        else:
            result = replays.run(network, images, named)
        return result


@contextmanager
def replayed(replays: Replays | None) -> Iterator[None]:
    """Record and replay the networks that run in the block, in this thread."""
    token = _replays.set(replays)
    try:
        yield
    finally:
        _replays.reset(token)


class Replays:
    """The recorded networks of one run; not for several threads at a time.

    Attributes
    ----------
    on
        Whether networks are recorded; off after the first failure.
    """

    def __init__(self) -> None:
        self.on = acceleration().graphs
        self._graphs: dict[Key, _Graph] = {}
        # the networks, so that none is replaced by another one of the same id; and how often each size came
        self._seen: dict[Key, tuple[Any, int]] = {}
        self._pool: Any = None
        self._stream: Any = None
        self._message = ""

    def __len__(self) -> int:
        return len(self._graphs)

    def run(self, network: Any, images: tuple[torch.Tensor, ...], named: dict[str, Any]) -> torch.Tensor:
        """Return the network's output: computed at the first call with images of a size, then recorded, then replayed.

        What fails to be recorded is computed, and nothing is recorded any more.
        """
        result: torch.Tensor
        if not self.on:
            result = network(*images, **named)
            return result
        key = _key(network, images, named)
        if key in self._graphs:
            return self._graphs[key].replay(images, named)
        _, count = self._seen.get(key, (network, 0))
        self._seen[key] = network, count + 1
        # the first call also lets the libraries choose their algorithms and allocate what they keep
        if count == 0 or len(self._graphs) >= MOST_GRAPHS:
            result = network(*images, **named)
            return result
        try:
            graph = self._record(network, images, named)
        except Exception as error:  # each driver has errors of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.drop(f"The network runs without CUDA graphs ({reason}).")
            result = network(*images, **named)
            return result
        self._graphs[key] = graph
        return graph.replay(images, named)

    def drop(self, message: str = "") -> bool:
        """Forget all graphs, with their memory, and record no more; return whether there were any."""
        had = bool(self._graphs)
        self.on = False
        self._graphs.clear()
        self._seen.clear()
        self._pool = None
        self._message = f"{self._message} {message}".strip()
        return had

    def take_message(self) -> str:
        """Return the messages since the last call."""
        message, self._message = self._message, ""
        return message

    def _record(self, network: Any, images: tuple[torch.Tensor, ...], named: dict[str, Any]) -> _Graph:
        import torch

        device = images[0].device
        if self._pool is None:
            self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream(device)
        given = [image.clone() for image in images]
        kept = {name: _mapped(value, torch.clone) for name, value in named.items()}
        graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream(device)
        caching = torch.is_autocast_cache_enabled()
        try:
            # a copy of a weight in half precision must belong to the graph
            torch.set_autocast_cache_enabled(False)
            # other threads may go on: what they do does not belong to the graph
            with unlooked(), torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                result = network(*given, **kept)
        except Exception:
            # torch's allocator goes on recording otherwise, and frees no memory any more
            with suppress(Exception):
                torch._C._cuda_endAllocateToPool(before.device_index, self._pool)
            raise
        finally:
            torch.set_autocast_cache_enabled(caching)
            # a graph that failed leaves its own stream behind
            torch.cuda.set_stream(before)
        return _Graph(graph, given, kept, result)


@dataclass(eq=False)
class _Graph:
    """A recorded network with its fixed memory; `given` and `named` are read, `result` is written."""

    graph: torch.cuda.CUDAGraph
    given: list[torch.Tensor]
    named: dict[str, Any]
    result: torch.Tensor
    _flat: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self._flat = _tensors(tuple(self.given), self.named)

    def replay(self, images: tuple[torch.Tensor, ...], named: dict[str, Any]) -> torch.Tensor:
        """Return the network's output for other images of the same size."""
        for place, value in zip(self._flat, _tensors(images, named), strict=True):
            place.copy_(value)
        self.graph.replay()
        # the next replay writes there again
        return self.result.clone()


_replays: ContextVar[Replays | None] = ContextVar("_replays", default=None)


def _key(network: Any, images: tuple[torch.Tensor, ...], named: dict[str, Any]) -> Key:
    """Return what a graph is only good for: the network, its images' sizes and types, and the arithmetic."""
    import torch

    kind = images[0].device.type
    half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    sizes = tuple((tuple(value.shape), value.dtype, value.device) for value in _tensors(images, named))
    return id(network), sizes, tuple(sorted(named)), half, uses_tf32()


def _tensors(images: tuple[torch.Tensor, ...], named: dict[str, Any]) -> list[torch.Tensor]:
    """Return all tensors among the arguments, in a fixed order."""
    found = list(images)
    for name in sorted(named):
        value = named[name]
        if isinstance(value, tuple):
            found += value
        elif value is not None:
            found.append(value)
    return found


def _mapped(value: Any, function: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(function(one) for one in value)
    return None if value is None else function(value)
