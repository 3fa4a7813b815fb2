"""The lock that lets one process at a time write a result.

A file beside the result names the writer's host and process, and is touched regularly. On the same host, the lock of a
process that died is taken over at once; on another one, when it has not been touched for a while. Created exclusively,
it works on network drives that have no locks of their own.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import SoftFileLease, Timeout

from napari_specfusion.errors import OutputError
from napari_specfusion.io.atomic import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_specfusion.progress import Watch

__all__ = ["Claim", "claimed"]

# a writer on another host that has not been heard of for so many seconds is dead; network drives may show the time of
# a file a minute late
LEASE_SECONDS = 90.0
# seconds in which a lock that was just created names its owner
_NAMED_WITHIN = 3.0
# longest name of a file, less what is put around it
_LONGEST_NAME = 240


@dataclass(frozen=True)
class Claim:
    """The right to write a result.

    Attributes
    ----------
    path
        The result.
    """

    path: Path
    _lease: SoftFileLease

    def check(self) -> None:
        """Raise unless this process may still write.

        Raises
        ------
        OutputError
            If another process took over, because this one was suspended, or the lock was deleted.
        """
        if self._lease.compromise is not None:
            raise OutputError(
                f"This run no longer writes {self.path}: its lock was deleted, or another process took over while this "
                "one was suspended. Start it again when the other one is done."
            )


@contextmanager
def claimed(path: Path, watch: Watch) -> Iterator[Claim]:
    """Hold the lock of the result at `path`.

    Raises
    ------
    OutputError
        If another process writes it, or the folder cannot be written to.
    Cancelled
        If `watch` says so while waiting for news of a writer on another host.
    """
    lease = SoftFileLease(
        path.with_name(f".{path.name[:_LONGEST_NAME]}.lock"), lease_duration=LEASE_SECONDS, thread_local=False
    )
    with explained(path):
        _acquire(lease, path, watch)
    try:
        yield Claim(path, lease)
    finally:
        lease.release()


def _acquire(lease: SoftFileLease, path: Path, watch: Watch) -> None:
    try:
        lease.acquire(timeout=0)
    except Timeout:
        pass
    else:
        return
    owner = lease.owner
    if owner is None or not _is_here(owner.hostname):
        other = "a process" if owner is None else f"process {owner.pid} on {owner.hostname}"
        watch.tell(0, 1, f"Waiting for a sign of life of {other}, which has begun {path.name}")
        try:
            lease.acquire(
                timeout=_NAMED_WITHIN if owner is None else 1.2 * LEASE_SECONDS,
                poll_interval=0.2,
                cancel_check=lambda: watch.should_stop is not None and watch.should_stop(),
            )
        except Timeout:
            watch.check()
            owner = lease.owner
        else:
            return
    who = "another process" if owner is None else f"process {owner.pid} on {owner.hostname}"
    if lease.is_lock_held_by_us:
        who = "another run of this program"
    raise OutputError(f"{path} is being written by {who}; wait until that is done, or give another path.")


def _is_here(host: str) -> bool:
    # the lock may add what tells two containers of one host apart
    return host.partition("?")[0] == socket.gethostname()
