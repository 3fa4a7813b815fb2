"""Layers that stay where another one is: a picture goes along when its cube is moved, scaled or turned."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, ref

from napari_specfusion.widgets._layers import place_over

__all__ = ["follow", "followed_by"]

TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine")
# by the layer that follows; it ends with that
_followers: WeakKeyDictionary[Any, _Follower] = WeakKeyDictionary()


def follow(viewer: Any, layer: Any, source: Any) -> None:
    """Lay a layer over another one of the same pixels, now and whenever that one moves, until either is removed.

    Parameters
    ----------
    viewer
        Where both are.
    layer
        The one that follows.
    source
        The one that leads.
    """
    viewer, layer, source = (getattr(thing, "__wrapped__", thing) for thing in (viewer, layer, source))
    if (before := _followers.pop(layer, None)) is not None:
        before.end()
    _followers[layer] = _Follower(viewer, layer, source)


def followed_by(layer: Any) -> Any | None:
    """Return the layer that a layer follows; None if it follows none."""
    found = _followers.get(getattr(layer, "__wrapped__", layer))
    return None if found is None else found.source()


class _Follower:
    def __init__(self, viewer: Any, layer: Any, source: Any) -> None:
        self.layer, self.source = ref(layer), ref(source)
        self._layers = ref(viewer.layers)
        for name in TRANSFORMS:
            getattr(source.events, name).connect(self._moved)
        viewer.layers.events.removed.connect(self._removed)
        self._moved()

    def _moved(self, event: Any = None) -> None:
        layer, source = self.layer(), self.source()
        if layer is not None and source is not None:
            place_over(layer, source)

    def _removed(self, event: Any) -> None:
        gone = event.value
        if gone is self.layer() or gone is self.source():
            self.end()

    def end(self) -> None:
        """Follow no longer."""
        layer, source, layers = self.layer(), self.source(), self._layers()
        if source is not None:
            for name in TRANSFORMS:
                getattr(source.events, name).disconnect(self._moved)
        if layers is not None:
            layers.events.removed.disconnect(self._removed)
        if layer is not None:
            _followers.pop(layer, None)
