"""Pictures: a guide of one to three bands in a PNG, JPEG or BMP file, and folders of one picture per band."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io._lazy import BlockArray, BlockCache, Box, lazy_cube
from napari_specfusion.io._registry import Reader
from napari_specfusion.io._spectral import wavelength_in_name

if TYPE_CHECKING:
    from napari_specfusion.cube import Cube

__all__ = ["FOLDER_READER", "PICTURE_READER", "read_folder", "read_picture"]

_ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
_CAVE = re.compile(r"(?P<scene>.+)_ms_(?P<band>\d{2})\.png", re.IGNORECASE)
_CAVE_BANDS = 31
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def read_picture(path: Path) -> Cube:
    """Open a grey or colour picture as a cube of one or three bands, values as stored; transparency is dropped.

    Raises
    ------
    ReadError
        If the file is no picture.
    """
    values = _pixels(path)
    bands_first = values[None] if values.ndim == 2 else np.moveaxis(values[..., : _colours(values.shape[2])], -1, 0)
    return lazy_cube(np.ascontiguousarray(bands_first), path, name=path.stem)


def read_folder(path: Path) -> Cube:
    """Open a folder that holds one picture per band.

    Folders of the CAVE data base (``<scene>_ms_01.png`` to ``_31.png``) get their wavelengths, 400 to 700 nm, and
    are scaled to reflectance; other ones are sorted by the numbers in the file names, and take wavelengths from names
    such as ``rock_450nm.png``. Colour pictures give their luminance. A folder with nothing but a folder is entered.

    Raises
    ------
    ReadError
        If there are no pictures, or their sizes or data types differ.
    """
    files = _band_files(path)
    shape, dtype = _outline(files[0])
    for file in files[1:]:
        other = _outline(file)
        if other != (shape, dtype):
            raise ReadError(
                f"{file} is {other[0][0]} x {other[0][1]} {other[1]}, but {files[0].name} is "
                f"{shape[0]} x {shape[1]} {dtype}; the pictures of a cube must be alike: take the odd one out."
            )
    fields: dict[str, Any] = {"name": path.name}
    cave = _CAVE.fullmatch(files[0].name)
    if cave and len(files) == _CAVE_BANDS:
        fields = {"name": cave["scene"], "wavelengths": np.linspace(400.0, 700.0, _CAVE_BANDS)}
        fields["scale"] = 1.0 / float(np.iinfo(dtype).max)
    else:
        found = [wavelength_in_name(file.stem) for file in files]
        values = [value for value in found if value is not None]
        if len(set(values)) == len(files):
            fields["wavelengths"] = np.array(values)
    stored = (len(files), *shape)
    array = PictureStack(str(files[0].parent), stored, dtype.str, (0, 1, 2), tuple(file.name for file in files))
    return lazy_cube(array, files[0].parent, **fields)


@dataclass(frozen=True, eq=False)
class PictureStack(BlockArray):
    """Pictures of a folder, one per band; the last ones decoded are kept."""

    names: tuple[str, ...]

    @cached_property
    def _cache(self) -> BlockCache:
        return BlockCache()

    def _read(self, box: Box) -> NDArray[Any]:
        bands, rows, columns = box
        return np.stack([self._band(band)[rows, columns] for band in range(bands.start, bands.stop)])

    def _band(self, band: int) -> NDArray[Any]:
        path = Path(self.path) / self.names[band]
        picture = self._cache.get(band, lambda: _grey(_pixels(path)).astype(self.dtype, copy=False))
        if picture.shape != self.stored_shape[1:]:
            raise ReadError(f"{path} has changed since the folder was opened; open it again.")
        return picture


def _pixels(path: Path) -> NDArray[Any]:
    """Return the picture ``(y, x)`` or ``(y, x, channels)``."""
    try:
        if path.suffix.lower() in {".tif", ".tiff"}:
            import tifffile

            values = np.squeeze(tifffile.imread(path))
        else:
            import imageio.v3 as imageio

            with path.open("rb") as file:
                values = np.asarray(imageio.imread(file))
    except Exception as error:  # every decoder has errors of its own
        raise ReadError(f"{path} cannot be read as a picture ({error}); it is damaged or of another format.") from error
    if values.ndim not in {2, 3} or (values.ndim == 3 and values.shape[2] > 4):
        raise ReadError(f"{path} has shape {values.shape}; a picture has two axes, and four channels at most.")
    return values


def _outline(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Return height, width and data type from the picture's head, without decoding it."""
    try:
        if path.suffix.lower() in {".tif", ".tiff"}:
            import tifffile

            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages.first
                return (int(page.imagelength), int(page.imagewidth)), np.dtype(str(page.dtype))
        import imageio.v3 as imageio

        with path.open("rb") as file:
            found = imageio.improps(file)
        return (int(found.shape[0]), int(found.shape[1])), np.dtype(found.dtype)
    except Exception as error:  # every decoder has errors of its own
        raise ReadError(f"{path} cannot be read as a picture ({error}); it is damaged or of another format.") from error


def _colours(channels: int) -> int:
    """Return how many of the channels carry colour: two and four include transparency."""
    return {2: 1, 4: 3}.get(channels, channels)


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    """Return the one band of a picture: its only distinct channel, or the luminance of Rec. 709."""
    if values.ndim == 2:
        return values
    first = values[..., 0]
    colours = values[..., : _colours(values.shape[2])]
    if np.all(colours == first[..., None]):
        return first
    luminance = colours @ np.array(_LUMINANCE)
    whole: NDArray[Any] = np.rint(luminance) if values.dtype.kind in "iu" else luminance
    return whole.astype(values.dtype)


def _band_files(path: Path, depth: int = 2) -> list[Path]:
    """Return the pictures of the bands in order, from `path` or the only folder inside it."""
    entries = [entry for entry in path.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
    pictures = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in _ENDINGS]
    cave = [entry for entry in pictures if _CAVE.fullmatch(entry.name)]
    if cave:
        scenes = sorted({str(_CAVE.fullmatch(entry.name)["scene"]) for entry in cave})  # type: ignore[index]
        if len(scenes) > 1:
            raise ReadError(f"{path} holds several scenes ({', '.join(scenes)}); put each into a folder of its own.")
        return sorted(cave, key=_natural)
    if pictures:
        # A preview of another format often lies beside the bands.
        ending, _ = Counter(entry.suffix.lower() for entry in pictures).most_common(1)[0]
        return sorted((entry for entry in pictures if entry.suffix.lower() == ending), key=_natural)
    folders = [entry for entry in entries if entry.is_dir()]
    if len(folders) == 1 and depth:
        return _band_files(folders[0], depth - 1)
    inside = f" Open one of: {', '.join(sorted(f.name for f in folders)[:8])}." if folders else ""
    raise ReadError(f"{path} holds no pictures ({', '.join(_ENDINGS)}), one per band, to make a cube of.{inside}")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a sort key by which band 9 comes before band 10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


PICTURE_READER = Reader(
    title="picture",
    patterns=("*.png", "*.jpg", "*.jpeg", "*.bmp"),
    read=read_picture,
    magic=(b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM"),
)
FOLDER_READER = Reader(title="folder of one picture per band", patterns=(), read=read_folder)
