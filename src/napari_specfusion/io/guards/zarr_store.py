"""Read Zarr folders without following links out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import LocalStore

from napari_specfusion.files import check_neighbours

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["open_zarr"]


class InsideStore(LocalStore):
    """A store that rejects links out of its folder, through which zarr could read any file on the machine."""

    def _check(self, key: str) -> None:
        check_neighbours(self.root, [self.root / key])

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
        """Return the bytes of a file, or a part of them."""
        self._check(key)
        return await super().get(key, *arguments, **options)

    def get_sync(self, key: str, **options: Any) -> Any:
        """Return the bytes of a file, or a part of them."""
        self._check(key)
        return super().get_sync(key, **options)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> Any:
        """Return parts of files."""
        ranges = list(key_ranges)
        for key, _ in ranges:
            self._check(key)
        return await super().get_partial_values(prototype, ranges)


def open_zarr(path: Path) -> Any:
    """Open a folder for reading, as an array or a group."""
    return zarr.open(InsideStore(path, read_only=True), mode="r")
