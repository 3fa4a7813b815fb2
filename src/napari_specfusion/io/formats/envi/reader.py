"""Read ENVI images: a text header and a raw data file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.errors import ReadError
from napari_specfusion.files import as_path, check_file, check_inside
from napari_specfusion.io.arrays.lazy import MappedArray, lazy_cube
from napari_specfusion.io.formats.envi.header import Header, read_header
from napari_specfusion.io.formats.envi.specim import capture_in
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["READER", "find_header", "read_envi"]

_SIBLINGS = ("", ".img", ".dat", ".raw", ".bil", ".bip", ".bsq", ".hyspex", ".sli", ".cube", ".bin")


def read_envi(path: Path, *, data: str | Path | None = None, wavelengths: object = None) -> Cube:
    """Open an ENVI image by its header or its data file.

    Parameters
    ----------
    path
        The header, the data file with its header next to it, or a folder that holds one capture.
    data
        The data file, if it does not have the header's name and folder.
    wavelengths
        If given, the header's wavelengths are ignored; `open_cube` sets the given ones.

    Raises
    ------
    ReadError
        If the header or the data are missing, contradict each other, or use an unsupported feature.
    """
    if path.is_dir():
        path = capture_in(path) or path
    header_path = path if path.suffix.lower() == ".hdr" else find_header(path)
    if header_path is None:
        raise ReadError(
            f"{path} has no ENVI header next to it ({path.name}.hdr or {path.stem}.hdr); "
            "put it there, or open the header."
        )
    check_inside(header_path, path)
    header = read_header(header_path, own_wavelengths=wavelengths is not None)
    if data is None and path != header_path:
        data = path
    if data is None:
        data_path = _find_data(header_path, header)
        check_inside(data_path, path)
    else:
        data_path = as_path(data)
    if not data_path.exists():
        raise ReadError(f"{data_path} does not exist; give the data file of {header_path.name} with data=.")
    check_file(data_path)
    description = dict(header.description)
    notes = list(description["metadata"]["notes"])
    if surplus := _surplus(data_path, header):
        notes.append(f"{surplus} bytes after the image were left out")
    if data is None and (others := _other_data(header_path, header, data_path)):
        notes.append(f"{data_path.name} was read as the data, though {', '.join(others)} would also fit")
    description["metadata"] = {**description["metadata"], "notes": tuple(notes)}
    array = MappedArray(str(data_path), header.dtype, header.stored_shape, header.offset, header.axes)
    return lazy_cube(array, data_path, name=_stem(header_path), **description)


def find_header(path: Path) -> Path | None:
    """Return the header of the data file `path`, or None."""
    wanted = [f"{path.name}.hdr".lower(), f"{path.stem}.hdr".lower()]
    found = {p.name.lower(): p for p in _neighbours(path) if p.suffix.lower() == ".hdr"}
    return next((found[name] for name in wanted if name in found), None)


def _find_data(header_path: Path, header: Header) -> Path:
    """Return the best data file for `header_path`: one of exactly the described size, else the largest."""
    neighbours, found = _siblings(header_path)
    stem = header_path.name[: -len(".hdr")].lower()
    if not found:
        # Accept any other ending if the size matches exactly.
        found = [p for p in neighbours if p.stem.lower() == stem and p.stat().st_size == header.data_bytes]
    if not found:
        raise ReadError(
            f"There is no data file next to {header_path}: looked for {header_path.stem} with one of "
            f"{', '.join(s or 'no ending' for s in _SIBLINGS)}. Put it there, or give it with data=."
        )
    return max(found, key=lambda p: (p.stat().st_size == header.data_bytes, p.stat().st_size))


def _siblings(header_path: Path) -> tuple[list[Path], list[Path]]:
    """Return the files whose names begin like the header's, and those among them with a usual ending."""
    stem = header_path.name[: -len(".hdr")].lower()
    wanted = {stem + suffix for suffix in _SIBLINGS}
    neighbours = sorted(p for p in _neighbours(header_path) if p.name.lower().startswith(stem) and p.is_file())
    return neighbours, [p for p in neighbours if p.name.lower() in wanted]


def _other_data(header_path: Path, header: Header, taken: Path) -> list[str]:
    """Return the names of other files that have exactly the described size."""
    _, usual = _siblings(header_path)
    return [p.name for p in usual if p != taken and p.stat().st_size == header.data_bytes == taken.stat().st_size]


def _neighbours(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.is_dir() else []


def _surplus(data_path: Path, header: Header) -> int:
    """Return how many bytes the data exceed the described size by; raise a ReadError if they fall short."""
    actual = data_path.stat().st_size
    if actual < header.data_bytes:
        raise ReadError(
            f"{data_path} has {actual} bytes, but its header describes {header.data_bytes} "
            f"(shape {header.stored_shape}, {header.dtype}, offset {header.offset}); "
            "the file is truncated or the header is wrong: get new copies of both, or correct the header."
        )
    return actual - header.data_bytes


def _stem(header_path: Path) -> str:
    name = header_path.name[: -len(".hdr")]
    known = tuple(s for s in _SIBLINGS if s)
    return Path(name).stem if name.lower().endswith(known) else name


READER = Reader(
    title="ENVI",
    patterns=("*.hdr", "*.img", "*.dat", "*.raw", "*.bil", "*.bip", "*.bsq", "*.hyspex", "*.sli"),
    read=read_envi,
)
