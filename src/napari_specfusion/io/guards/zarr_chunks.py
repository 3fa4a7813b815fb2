"""Unpack Zarr chunks to at most the size that their array declares."""

from __future__ import annotations

import asyncio
import bz2
import lzma
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec

from napari_specfusion.io.guards import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    import zarr

__all__ = ["bounded", "unpacked"]

_ZSTD_MAGIC = 0xFD2FB528
_PACKING = {"gzip", "zlib", "bz2", "lzma", "zstd", "blosc", "lz4"}


def bounded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return `array` with codecs that never unpack a chunk to more than it declares."""
    import zarr

    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        limit = _limit(math.prod(metadata.chunks) * array.dtype.itemsize)
        compressor = metadata.compressor and _old(metadata.compressor, limit)
        filters = metadata.filters and tuple(_old(codec, limit) for codec in metadata.filters)
        metadata = replace(metadata, compressor=compressor, filters=filters)
    else:
        metadata = replace(metadata, codecs=tuple(_new(codec) for codec in metadata.codecs))
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=array.store_path))


def _limit(size: int) -> int:
    return limits.SPARE_BYTES + limits.WIDEST_FILTER * size


def unpacked(name: str, data: bytes, limit: int) -> bytes | None:
    """Return the unpacked `data`; None if the codec itself is known to return at most `limit` bytes.

    Raises
    ------
    ValueError
        If it unpacks to more, or is damaged; the caller adds the path.
    """
    limit = min(limit, max(limits.FREE_BYTES, limits.MOST_GROWTH * len(data)))
    if name in {"gzip", "zlib"}:
        return _all_streams(name, data, limit, lambda: zlib.decompressobj(wbits=47))
    if name == "bz2":
        return _all_streams(name, data, limit, bz2.BZ2Decompressor)
    if name == "lzma":
        return _all_streams(name, data, limit, lambda: lzma.LZMADecompressor(memlimit=limits.LZMA_MEMORY))
    if name not in _PACKING:
        return None
    try:
        claimed = _claimed(name, data)
    except struct.error as error:
        raise ValueError(f"a chunk packed with {name} has only {len(data)} bytes") from error
    if claimed is None:
        import imagecodecs

        try:
            return bytes(imagecodecs.zstd_decode(data, out=limit))
        except RuntimeError as error:  # does not distinguish the two cases
            raise ValueError(f"a chunk packed with zstd is damaged, or unpacks to more than {limit} bytes") from error
    if claimed > limit:
        raise _too_much(name, len(data), limit)
    return None


def _claimed(name: str, data: bytes) -> int | None:
    """Return the unpacked size that a chunk declares; None if it does not declare one."""
    if name == "zstd":
        return _zstd_size(data)
    if name == "lz4":
        return int(struct.unpack_from("<I", data)[0])
    size, _, packed = struct.unpack_from("<III", data, 4)
    if packed > len(data):  # blosc would read past the end
        raise ValueError(f"a chunk packed with blosc has {len(data)} bytes but declares {packed}")
    return int(size)


def _zstd_size(data: bytes) -> int | None:
    """Return the unpacked size that a frame declares; None if it does not declare one."""
    magic, flags = struct.unpack_from("<IB", data)
    if magic != _ZSTD_MAGIC:
        raise ValueError("a chunk packed with zstd does not start with a zstd frame")
    single = flags >> 5 & 1
    place = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    if flags >> 6 == 0 and not single:
        return None
    size = int(struct.unpack_from("<" + "BHIQ"[flags >> 6], data, place)[0])
    return size + 256 if flags >> 6 == 1 else size


def _too_much(name: str, packed: int, limit: int) -> ValueError:
    return ValueError(
        f"a chunk packed with {name}, {packed} bytes, unpacks to more than {limit} bytes, too much for its array"
    )


def _all_streams(name: str, data: bytes, limit: int, start: Callable[[], Any]) -> bytes:
    """Unpack all concatenated streams."""
    found, left, rest = [], limit + 1, data
    while rest and left > 0:
        stream = start()
        part = stream.decompress(rest, left)
        found.append(part)
        left -= len(part)
        if left > 0 and not stream.eof:
            raise ValueError(f"a chunk packed with {name} ends early")
        rest = stream.unused_data.lstrip(b"\0") if name != "zlib" else b""
    if left <= 0:
        raise _too_much(name, len(data), limit)
    return found[0] if len(found) == 1 else b"".join(found)


# --- version 3 --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bounded(BytesBytesCodec):
    """A bytes-to-bytes codec limited to the size of a chunk."""

    inner: Any
    name: str

    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata of the wrapped codec."""
        described: dict[str, Any] = self.inner.to_dict()
        return described

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        kind = chunk_spec.dtype
        width = getattr(kind, "item_size", None) or getattr(kind, "itemsize", 8)
        limit = _limit(math.prod(chunk_spec.shape) * int(width or 8))
        found = await asyncio.to_thread(unpacked, self.name, chunk_bytes.to_bytes(), limit)
        if found is not None:
            return chunk_spec.prototype.buffer.from_bytes(found)
        (whole,) = await self.inner.decode([(chunk_bytes, chunk_spec)])
        return whole

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        raise NotImplementedError("these arrays are read-only")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return the encoded size of `input_byte_length` bytes."""
        size: int = self.inner.compute_encoded_size(input_byte_length, chunk_spec)
        return size


def _new(codec: Any) -> Any:
    if isinstance(codec, ShardingCodec):
        return ShardingCodec(
            chunk_shape=codec.chunk_shape,
            codecs=tuple(_new(inner) for inner in codec.codecs),
            index_codecs=tuple(_new(inner) for inner in codec.index_codecs),
            index_location=codec.index_location,
        )
    if not isinstance(codec, BytesBytesCodec):
        return codec
    described: Any = codec.to_dict()
    name = str(described["name"]).removeprefix("numcodecs.")
    # A checksum codec does not expand data, and its size must be known for a shard index.
    return codec if name in {"crc32c", "crc32", "adler32", "fletcher32"} else _Bounded(codec, name)


# --- version 2 --------------------------------------------------------------------------


def _old(codec: Any, limit: int) -> Any:
    """Return a numcodecs codec limited to `limit` bytes."""
    from numcodecs.abc import Codec

    class Bounded(Codec):  # type: ignore[misc]
        codec_id = codec.codec_id

        def encode(self, buf: Any) -> Any:
            raise NotImplementedError("these arrays are read-only")

        def decode(self, buf: Any, out: Any = None) -> Any:
            found = unpacked(codec.codec_id, bytes(memoryview(buf).cast("B")), limit)
            return codec.decode(buf) if found is None else found

        def get_config(self) -> Any:
            return codec.get_config()

    return Bounded()
