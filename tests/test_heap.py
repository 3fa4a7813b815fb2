"""Large arrays are reused while a run of large tiles lasts."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from napari_specfusion import heap, memory
from napari_specfusion.heap import free_memory, give_back, large_blocks_reused, share_one_heap


def faults(size: int) -> int:
    """Return how many pages the system hands out while arrays come and go."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the setting")
def test_a_large_array_takes_the_memory_of_the_one_before() -> None:
    if heap._glibc() is None:
        pytest.skip("another C library")
    size = memory.UNMAPPED_BLOCK + (8 << 20)
    with large_blocks_reused():
        np.ones(size, np.uint8)
        inside = faults(size)
    assert 4 * inside < faults(size)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the setting")
def test_threads_do_not_keep_memory_each_for_itself() -> None:
    if heap._glibc() is None:
        pytest.skip("another C library")
    assert 2 * kept_by_threads("share_one_heap()") < kept_by_threads("")


def kept_by_threads(where: str) -> int:
    """Return the bytes that a process holds after eight threads have freed an array each, and still live."""
    script = f"""
import threading
from pathlib import Path
import numpy as np
from napari_specfusion.heap import share_one_heap

def held():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

def work(done, end):
    np.ones(20 << 20, np.uint8)
    done.set()
    end.wait()

np.ones(31 << 20, np.uint8)  # from here on, arrays of this size are not mapped
{where}
before, end, threads = held(), threading.Event(), []
for _ in range(8):
    done = threading.Event()
    threads.append(threading.Thread(target=work, args=(done, end)))
    threads[-1].start()
    done.wait()
print(held() - before)
end.set()
"""
    # a dask cluster of processes leaves MALLOC_TRIM_THRESHOLD_ behind, with which glibc keeps nothing
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    return int(found.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the setting")
def test_what_lies_freed_between_living_arrays_is_given_back() -> None:
    if heap._glibc() is None:
        pytest.skip("another C library")
    script = """
from pathlib import Path
import numpy as np
from napari_specfusion.heap import give_back

def held():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

np.ones(31 << 20, np.uint8)  # from here on, arrays of this size are not mapped
arrays = [np.ones(1 << 20, np.uint8) for _ in range(200)]
del arrays[::2]  # the last one lives
before = held()
give_back()
print(before - held())
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 80 << 20


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    share_one_heap()
    give_back()
    with large_blocks_reused():
        pass


def test_free_memory_is_told() -> None:
    free = free_memory()
    assert free is not None and 1 << 20 < free < 1 << 50


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sysconf")
def test_free_memory_of_a_system_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(heap.Path, "read_text", missing)
    free = free_memory()
    assert free is not None and 1 << 20 < free < 1 << 50
