"""What a result knows about the run that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

    from napari_specfusion.data.scene import Scene

__all__ = ["RunRecord"]

METHOD_KEY, PAIR_KEY = "method", "pair"


@dataclass(frozen=True)
class RunRecord:
    """The run that made a fused cube.

    Attributes
    ----------
    method
        Name of the method.
    cube, guide
        Names of the two images.
    ratio
        HR pixels per LR pixel.
    """

    method: str
    cube: str
    guide: str
    ratio: float

    @classmethod
    def of(cls, scene: Scene, method: str) -> Self:
        """Return the record of a run that fuses `scene`."""
        return cls(method, scene.hsi.name, scene.guide.name, float(scene.factor))

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Self | None:
        """Return the record in the metadata of a cube; None if it was not fused here.

        Parameters
        ----------
        metadata
            ``Cube.metadata``. Results of earlier versions, which recorded no pair, have no record.
        """
        method, pair = metadata.get(METHOD_KEY), metadata.get(PAIR_KEY)
        if not isinstance(method, str) or not isinstance(pair, Mapping):
            return None
        ratio = pair.get("ratio")
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 1 < ratio < float("inf"):
            return None
        return cls(method, str(pair.get("cube", "")), str(pair.get("guide", "")), float(ratio))

    def as_metadata(self) -> dict[str, Any]:
        """Return the entries of ``Cube.metadata`` that `read` finds."""
        return {METHOD_KEY: self.method, PAIR_KEY: {"cube": self.cube, "guide": self.guide, "ratio": self.ratio}}
