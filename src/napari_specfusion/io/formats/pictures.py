"""Read PNG, JPEG and BMP pictures with one to three bands (guides), and folders with one picture per band."""

from __future__ import annotations

import re
import struct
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.files import check_neighbours
from napari_specfusion.io.arrays.gamma import LINEAR, SRGB, linearised
from napari_specfusion.io.arrays.lazy import BlockArray, BlockCache, Box, LoadedArray, lazy_cube
from napari_specfusion.io.formats.tiff.segments import decoded, open_tiff, quiet_tifffile
from napari_specfusion.io.formats.tiff.tags import describe_tags
from napari_specfusion.io.guards.limits import check_inflation
from napari_specfusion.io.metadata.units import numbers, to_standard_unit, wavelengths_in_names
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_specfusion.data.cube import Cube

__all__ = ["ENDINGS", "FOLDER_READER", "PICTURE_READER", "read_folder", "read_picture"]

_TIFF = {".tif", ".tiff"}
# PNG colour types: grey, RGB, palette; each may have transparency
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_BARE = re.compile(r"(?<![\d.])(\d{3,5}(?:\.\d{1,3})?)$")
_limit_lock = threading.Lock()
ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
_CAVE = re.compile(r"(?P<scene>.+)_ms_(?P<band>\d{2})\.png", re.IGNORECASE)
_CAVE_BANDS = 31
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def read_picture(path: Path, *, linear: bool = False) -> Cube:
    """Open a grey or colour picture as a cube with one or three bands; it is decoded on first access.

    Values are as stored; transparency is dropped. If the picture is sRGB-encoded, as from a camera,
    ``metadata["transfer"]`` is "sRGB".

    Parameters
    ----------
    path
        The file.
    linear
        Whether to undo that gamma, giving linear light from 0 to 1.

    Raises
    ------
    ReadError
        If the file is not a picture, or declares an image far larger than its file size allows.
    """
    head = _head(path)
    bands = 1 if head.channels in {1, 2} else 3
    array: Any = PictureArray(str(path), (bands, *head.shape), head.dtype.str, (0, 1, 2))
    transfer = head.transfer
    if linear:
        array, transfer = linearised(array, transfer, path), LINEAR
    return lazy_cube(array, path, name=path.stem, metadata={} if transfer is None else {"transfer": transfer})


def read_folder(path: Path) -> Cube:
    """Open a folder with one picture per band.

    Folders of the CAVE database (``<scene>_ms_01.png`` to ``_31.png``) get their wavelengths, 400 to 700 nm, and
    are scaled to reflectance. Other folders are sorted by the numbers in the file names, and take wavelengths from
    names such as ``rock_450nm.png``, ``1003 cm-1.tif`` or ``band_450.png``, else from TIFF tags. Tags of single-band
    TIFFs also give georeferencing, no-data, scale and offset. Colour pictures are converted to luminance. If a folder
    contains only one subfolder, that is opened.

    Raises
    ------
    ReadError
        If there are no pictures, or if their sizes or data types differ.
    """
    files = _band_files(path)
    check_neighbours(path, files)
    heads = [_head(file) for file in files]
    shape, dtype = heads[0].shape, heads[0].dtype
    for file, other in zip(files, heads, strict=True):
        if (other.shape, other.dtype) != (shape, dtype):
            raise ReadError(
                f"{file} is {other.shape[0]} x {other.shape[1]} {other.dtype}, but {files[0].name} is "
                f"{shape[0]} x {shape[1]} {dtype}; the pictures of a cube must be alike: remove the odd one."
            )
    notes: list[str] = []
    fields: dict[str, Any] = {"name": path.name} | _tagged([head.fields for head in heads], notes)
    cave = _CAVE.fullmatch(files[0].name)
    if cave and len(files) == _CAVE_BANDS:
        fields = {"name": cave["scene"], "wavelengths": np.linspace(400.0, 700.0, _CAVE_BANDS)}
        fields["scale"] = 1.0 / float(np.iinfo(dtype).max)
    else:
        named = _wavelengths([file.stem for file in files], notes)
        if named:
            # FWHM values are valid only for the wavelengths that they came with.
            fields = {key: value for key, value in fields.items() if key != "fwhm"} | named
    fields["metadata"] = {"notes": tuple(notes)} if notes else {}
    stored = (len(files), *shape)
    array = PictureStack(str(files[0].parent), stored, dtype.str, (0, 1, 2), tuple(file.name for file in files))
    return lazy_cube(array, files[0].parent, **fields)


@dataclass(frozen=True, eq=False)
class PictureStack(BlockArray):
    """The pictures of a folder, one per band, with a cache of decoded ones."""

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


@dataclass(frozen=True, eq=False)
class PictureArray(LoadedArray):
    """One grey or RGB picture."""

    def _load(self) -> NDArray[Any]:
        values = _pixels(Path(self.path))
        bands = values[None] if values.ndim == 2 else np.moveaxis(values[..., : _colours(values.shape[2])], -1, 0)
        return np.ascontiguousarray(bands[: self.stored_shape[0]])


@dataclass(frozen=True)
class _Head:
    """The header of a picture."""

    shape: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    transfer: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def _head(path: Path) -> _Head:
    """Read the header of a picture without decoding its pixels.

    Raises
    ------
    ReadError
        If it is not a picture, or declares an image far larger than its file size allows.
    """
    try:
        head = _tiff_head(path) if path.suffix.lower() in _TIFF else _other_head(path)
    except Exception as error:  # decoders raise anything on damaged data
        raise ReadError(f"{path} cannot be read as a picture ({error}); it is damaged or of another format.") from error
    size = head.shape[0] * head.shape[1] * head.channels * head.dtype.itemsize
    check_inflation(path, "the picture", path.stat().st_size, size)
    return head


def _tiff_head(path: Path) -> _Head:
    with quiet_tifffile(), open_tiff(path) as tiff:
        page = tiff.pages.first
        shape = int(page.imagelength), int(page.imagewidth)
        channels, dtype = int(page.samplesperpixel), np.dtype(str(page.dtype))
        tags = {tag.code: tag.value for tag in page.tags.values()} if channels == 1 else {}
        return _Head(shape, channels, dtype, fields=describe_tags(tags, 1, dtype))


def _other_head(path: Path) -> _Head:
    with _opened(path) as picture:
        shape = picture.height, picture.width
        if picture.format == "PNG":
            # Pillow has no mode for 16-bit colours: width, height, depth and kind of colour stand in the first chunk
            with path.open("rb") as file:
                depth, colour = struct.unpack("BB", file.read(26)[24:])
            channels = _PNG_CHANNELS[colour]
        else:
            depth = {"I;16": 16, "I;16B": 16}.get(picture.mode, 8)
            channels = 1 if picture.mode in {"1", "L", "I;16", "I;16B"} else 3
        gamma = picture.info.get("gamma")
        if gamma is not None and abs(gamma - 1) < 0.01 and "srgb" not in picture.info:
            transfer: str | None = LINEAR
        elif (depth <= 8 and channels >= 3) or picture.format == "JPEG" or "srgb" in picture.info or gamma:
            transfer = SRGB
        else:
            transfer = None
    return _Head(shape, channels, np.dtype(np.uint16 if depth == 16 else np.uint8), transfer)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a picture with Pillow; its limit on pixels is replaced by our limit on expansion."""
    from PIL import Image

    with _limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(path, formats=("PNG", "JPEG", "BMP", "MPO"))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with picture:
        yield picture


def _pixels(path: Path) -> NDArray[Any]:
    """Return the picture as ``(y, x)`` or ``(y, x, channels)``, with palette colours resolved."""
    _head(path)
    try:
        if path.suffix.lower() in _TIFF:
            with quiet_tifffile(), open_tiff(path) as tiff:
                series = tiff.series[0]
                values = np.squeeze(decoded(path, series))
                if values.ndim == 3 and series.axes.startswith("S"):
                    values = np.moveaxis(values, 0, -1)
        else:
            values = _decoded(path)
    except Exception as error:  # decoders raise anything on damaged data
        raise ReadError(f"{path} cannot be read as a picture ({error}); it is damaged or of another format.") from error
    if values.ndim not in {2, 3} or (values.ndim == 3 and values.shape[2] > 4):
        raise ReadError(f"{path} has shape {values.shape}; a picture has two axes and at most four channels.")
    return values


def _decoded(path: Path) -> NDArray[Any]:
    with _opened(path) as picture:
        if picture.format == "PNG":
            import imagecodecs

            return np.asarray(imagecodecs.png_decode(path.read_bytes()))
        if picture.mode not in {"L", "RGB", "RGBA", "LA", "I;16", "I;16B"}:
            picture = picture.convert("L" if picture.mode == "1" else "RGB")
        values = np.asarray(picture)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _tagged(bands: Sequence[Mapping[str, Any]], notes: list[str]) -> dict[str, Any]:
    """Merge the tags of the band files into arguments of `Cube`; whatever is left out is added to `notes`."""
    fields: dict[str, Any] = {}
    for keys, what in ((("affine", "pixel_size", "crs"), "georeferencing"), (("nodata",), "no-data value")):
        common = {key: bands[0][key] for key in keys if bands[0].get(key) is not None}
        if any(repr([band.get(key) for key in keys]) != repr([bands[0].get(key) for key in keys]) for band in bands):
            notes.append(f"the band files differ in their {what}, which was left out")
        else:
            fields |= common
    for key, neutral in (("scale", 1.0), ("offset", 0.0)):
        if any(key in band for band in bands):
            values = np.array([band.get(key, neutral) for band in bands])
            fields[key] = float(values[0]) if np.all(values == values[0]) else values
    units = {band.get("spectral_unit", "nm") for band in bands}
    for key in ("wavelengths", "fwhm"):
        if len(units) == 1 and all(band.get(key) is not None for band in bands):
            fields |= {key: np.concatenate([band[key] for band in bands]), "spectral_unit": min(units)}
    return fields


def _wavelengths(names: list[str], notes: list[str]) -> dict[str, Any]:
    """Return the wavelengths in the band names as arguments of `Cube`; empty if any band lacks one."""
    values, unit = wavelengths_in_names(names)
    if unit is None:
        bare = [_BARE.search(name) for name in names]
        values = numbers(match[1] if match else None for match in bare)
        # Running numbers increase by one; the wavelengths of a filter wheel or a tunable filter do not.
        if values is None or values.min() < 200 or values.max() > 20_000 or np.min(_steps(values), initial=9) < 2:
            return {}
        unit, guess = "nm", "the numbers in the band names were read as wavelengths in nm"
    else:
        guess = ""
    if values is not None and np.unique(values).size != values.size:
        notes.append("the wavelengths in the band names were left out: some are equal")
        return {}
    if values is None:
        return {}
    converted, _, unit_name, note = to_standard_unit(values, unit)
    notes += [text for text in (guess, note) if text]
    return {} if converted is None else {"wavelengths": converted, "spectral_unit": unit_name}


def _steps(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diff(np.sort(values))


def _colours(channels: int) -> int:
    """Return the number of colour channels: two and four channels include transparency."""
    return {2: 1, 4: 3}.get(channels, channels)


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    """Return a picture as one band: its only distinct channel, or the Rec. 709 luminance."""
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
    """Return the band pictures in order, from `path` or its only subfolder."""
    entries = [entry for entry in path.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
    pictures = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in ENDINGS]
    cave = [entry for entry in pictures if _CAVE.fullmatch(entry.name)]
    if cave:
        scenes = sorted({str(_CAVE.fullmatch(entry.name)["scene"]) for entry in cave})  # type: ignore[index]
        if len(scenes) > 1:
            raise ReadError(f"{path} holds several scenes ({', '.join(scenes)}); put each in a separate folder.")
        return sorted(cave, key=_natural)
    if pictures:
        # There is often a preview in another format next to the bands.
        ending, _ = Counter(entry.suffix.lower() for entry in pictures).most_common(1)[0]
        return sorted((entry for entry in pictures if entry.suffix.lower() == ending), key=_natural)
    folders = [entry for entry in entries if entry.is_dir()]
    if len(folders) == 1 and depth:
        return _band_files(folders[0], depth - 1)
    inside = f" Open one of: {', '.join(sorted(f.name for f in folders)[:8])}." if folders else ""
    raise ReadError(f"{path} holds no pictures ({', '.join(ENDINGS)}) to use as bands of a cube.{inside}")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a natural sort key: band 9 comes before band 10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


PICTURE_READER = Reader(
    title="picture",
    patterns=("*.png", "*.jpg", "*.jpeg", "*.bmp"),
    read=read_picture,
    magic=(b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM"),
)
FOLDER_READER = Reader(title="folder of one picture per band", patterns=(), read=read_folder)
