"""Check a PyTorch file before torch opens it: what it would make, and whether the file holds as much.

torch believes the sizes in a file: it would ask for terabytes, or read past the end of what it has read. Here the
pickle is read by Python's own slow reader, which makes nothing but plain values.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_pickled"]

_MAGIC = 0x1950A86A20F9469CFC6C
_LONGEST = 64 << 20
# what a read may ask for beyond the end of the file
_UNCHECKED = 4096
# bytes of one value
_WIDTHS = {
    "Bool": 1, "Byte": 1, "Char": 1, "Short": 2, "Half": 2, "BFloat16": 2, "Int": 4, "Float": 4, "Long": 8,
    "Double": 8, "ComplexFloat": 8, "ComplexDouble": 16, "Untyped": 1,
}  # fmt: skip
_REBUILDERS = ("_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_meta_tensor_no_storage")
# PyTorch's types and layouts, which are plain values
_PLAIN = {"float16", "float32", "float64", "bfloat16", "uint8", "int8", "int16", "int32", "int64", "bool", "strided"}


class _Blank:
    """Stands for what torch would make."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


@dataclass(frozen=True)
class _Storage:
    """A type of storage; torch would make one."""

    width: int


class _Held:
    """A file to read a pickle from. Python makes room for all that a read asks for, so it may not ask for more."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.readline = file.readline
        start = file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(start)

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count > _UNCHECKED and count > self._end - self._file.tell():
            raise ValueError(f"a piece of {count} bytes reaches beyond its end")
        return self._file.read(count)


class _Reader(pickle._Unpickler):
    """Reads a pickle without calling anything that it names, and notes the storages that it asks for."""

    # An array of bytes is made in full before it is read.
    dispatch: ClassVar = {key: read for key, read in pickle._Unpickler.dispatch.items() if key != pickle.BYTEARRAY8[0]}

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(_Held(file), encoding="utf-8")
        self.wanted: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; names of anything but tensors and plain values are refused."""
        kind = name.removesuffix("Storage")
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module in {"torch", "torch.storage", "torch.cuda"} and name != kind and kind in _WIDTHS:
            return _Storage(_WIDTHS[kind])
        if (module == "torch._utils" and name in _REBUILDERS) or (module, name) == ("torch", "device"):
            return _Blank
        if module == "torch" and name in _PLAIN | {"Size"}:
            return tuple if name == "Size" else name
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Note a storage."""
        _, kind, key, _, count = pid[:5]
        if not isinstance(kind, _Storage) or not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError("a storage is described wrongly")
        self.wanted[key] = max(self.wanted.get(key, 0), kind.width * count)
        return None


def check_pickled(file: Path) -> None:
    """Check that a PyTorch file holds all that torch would make of it.

    Raises
    ------
    pickle.UnpicklingError
        If it holds more than tensors and plain values.
    Exception
        Of any other kind if it is damaged.
    """
    size = file.stat().st_size
    if zipfile.is_zipfile(file):
        _check_archive(file, size)
        return
    with file.open("rb") as stored:
        magic = _load(stored)[0]
        if magic != _MAGIC:
            raise pickle.UnpicklingError("it does not begin like a PyTorch file")
        _load(stored), _load(stored)  # the version and the machine
        wanted = _load(stored)[1]
    if sum(wanted.values()) > size:
        raise ValueError(f"it has {size} bytes, its tensors need {sum(wanted.values())}")


def _check_archive(file: Path, size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        names = [part.filename for part in parts]
        if sum(part.file_size for part in parts) > size:
            raise ValueError("its parts are larger than the file")
        pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1 or len(set(names)) != len(names):
            raise ValueError(f"it has {len(pickles)} descriptions of tensors, not one")
        if archive.getinfo(pickles[0]).file_size > _LONGEST:
            raise ValueError("its description of tensors is longer than any")
        wanted = _load(io.BytesIO(archive.read(pickles[0])))[1]
        folder = pickles[0].rpartition("/")[0]
        held = {part.filename: part.file_size for part in parts}
    for key, count in wanted.items():
        if count > held.get(f"{folder}/data/{key}", 0):
            raise ValueError(f"it holds {held.get(f'{folder}/data/{key}', 0)} of {count} bytes of storage {key[:40]}")


def _load(file: BinaryIO) -> tuple[Any, dict[str, int]]:
    reader = _Reader(file)
    return reader.load(), reader.wanted
