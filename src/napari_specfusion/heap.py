"""How much memory is free, and how the C library's heap treats large arrays."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion import memory

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["free_memory", "give_back", "large_blocks_reused", "share_one_heap"]

# numbers of malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def free_memory() -> int | None:
    """Return how many bytes of memory can be used without swapping; None where the system does not tell."""
    if sys.platform == "win32":
        return _free_on_windows()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        # "MemAvailable:   12345678 kB"
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        # what is free now, or else all there is
        pages = next(os.sysconf(name) for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES") if name in os.sysconf_names)
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, StopIteration, ValueError):
        return None


def share_one_heap() -> None:
    """Let the threads that start from here on share one heap, where the C library is glibc.

    glibc gives each thread a heap of its own, which keeps what the thread has freed: a few hundred megabytes beside a
    run. There is no way back to that.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Return memory that was freed to the system, where the C library is glibc.

    A heap of arrays of many sizes grows as a run goes on: what is freed between two that live stays with it.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@contextmanager
def large_blocks_reused() -> Iterator[None]:
    """Keep freed memory for the next large array while the block runs, where the C library is glibc.

    glibc returns arrays above 32 MB to the system when they are freed, and the system clears every page of the next
    one: half of the processor time of a run with 200 bands. Other C libraries are left as they are.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, memory.REUSED_BLOCK)
    library.mallopt(_TRIM_THRESHOLD, 2 * memory.REUSED_BLOCK)
    try:
        yield
    finally:
        # what glibc reaches by itself
        library.mallopt(_MMAP_THRESHOLD, memory.UNMAPPED_BLOCK)
        library.mallopt(_TRIM_THRESHOLD, 2 * memory.UNMAPPED_BLOCK)
        library.malloc_trim(0)


def _free_on_windows() -> int | None:
    class Status(ctypes.Structure):
        # MEMORYSTATUSEX
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "free", "pages", "free_pages", "range", "left", "more")),
        )

    status = Status(length=ctypes.sizeof(Status))
    # looked up, as other systems have no windll
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009
    return int(status.free) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return None
    try:
        library = ctypes.CDLL(None)
        _ = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        return None
    return library
