"""Zarr folders that are read without leaving them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import LocalStore

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["open_zarr"]


class InsideStore(LocalStore):
    """A folder whose links lead nowhere outside: zarr itself would read any file of the machine through one."""

    def _check(self, key: str) -> None:
        if not (self.root / key).resolve().is_relative_to(self.root.resolve()):
            raise ReadError(f"{self.root}: {key} is a link out of the folder, which is not followed.")

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
    """Open a folder to read: an array or a group."""
    return zarr.open(InsideStore(path, read_only=True), mode="r")
