"""The path of a result: checked before anything is touched, claimed for one process, and free of what was left behind.

While an older result is being replaced, the new one grows in a hidden folder beside it, so that the older one stays
until the new one is complete.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.claim import Claim, claimed
from napari_specfusion.fusion.inputs import what_changed
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io.arrays.paths import source_paths
from napari_specfusion.io.atomic import check_name, explained, recover, remove_folder
from napari_specfusion.progress import Watch

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from napari_specfusion.data.cube import Cube

__all__ = ["Destination", "State", "check_output", "destination", "state_of"]

State = Literal["free", "unfinished", "finished", "other"]

# the pyramid adds a third, compression saves a little
ROOM = 1.2


@dataclass(frozen=True)
class Destination:
    """Where a run may write.

    Attributes
    ----------
    path
        The folder of the result.
    overwrite
        Whether an older result may be replaced.
    claim
        The lock.
    """

    path: Path
    overwrite: bool
    claim: Claim

    @property
    def new(self) -> Path:
        """The folder in which a result grows that is to replace an older one."""
        return self.path.with_name(f".{self.path.name}.new")

    @property
    def replaces(self) -> bool:
        """Whether there is something to replace."""
        return self.path.is_dir() and any(self.path.iterdir())

    def begun(self, key: str, inputs: Mapping[str, Any]) -> Path | None:
        """Return the unfinished store of this job, or None if it has to be begun.

        Parameters
        ----------
        key
            Identifies the job.
        inputs
            Identity of the images, see `describe_inputs`.

        Raises
        ------
        OutputError
            If there is a result of another job, or of images that have changed, which must not be replaced.
        """
        if self.replaces and not self.overwrite:
            self._check_same(key, inputs)
            return self.path
        same = self.new.is_dir() and _refusal(self.new, key, inputs) == ""
        with explained(self.path):
            if self.new.is_dir() and not same:
                remove_folder(self.new)
            elif same and not self.replaces:
                # the older result was deleted meanwhile
                if self.path.is_dir():
                    self.path.rmdir()
                self.new.rename(self.path)
                return self.path
        return self.new if same else None

    def check_room(self, size: int, begun: Path | None) -> None:
        """Check that a result of `size` bytes, of which the store `begun` holds a part, fits on the disk.

        Raises
        ------
        OutputError
            If it does not.
        """
        needed = ROOM * size
        if begun is not None:
            needed *= 1 - float(ResultStore.open(begun).done.mean())
        free = shutil.disk_usage(self.path.parent).free
        if free < needed:
            older = ", or delete the older result, which otherwise stays until the new one is complete"
            raise OutputError(
                f"The disk is too full: the result takes about {needed / 1e9:.1f} GB, {self.path.parent} has "
                f"{free / 1e9:.1f} GB free; make room or write to another disk{older if self.replaces else ''}."
            )

    def _check_same(self, key: str, inputs: Mapping[str, Any]) -> None:
        refusal = _refusal(self.path, key, inputs)
        if refusal:
            raise OutputError(f"{self.path} {refusal}; give another path, or overwrite=True to replace it.")


@contextmanager
def destination(
    out: str | os.PathLike[str], cubes: Sequence[Cube], *, overwrite: bool, watch: Watch
) -> Iterator[Destination]:
    """Check, before any work, that a result can be written to `out`, and lock it.

    Parameters
    ----------
    out
        A ``.zarr`` folder, in a folder that exists.
    cubes
        The images that are read meanwhile.
    overwrite
        Whether an older result may be replaced.
    watch
        Asked whether to stop while the lock is being waited for.

    Raises
    ------
    OutputError
        If the path cannot be used, is read from, holds a finished result or something else, or another process writes
        to it.
    """
    path = Path(out)
    if path.suffix != ".zarr":
        raise OutputError(f"The output {path} does not end in .zarr; results are written as Zarr folders.")
    check_name(path)
    # a link would be replaced by the result instead of its target
    path = path.resolve() if path.is_symlink() else path.absolute()
    _check_apart(path, cubes)
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} for the output does not exist; make it first, or write elsewhere.")
    _check_kind(path)
    try:
        tempfile.TemporaryDirectory(dir=path.parent).cleanup()
    except OSError as error:
        raise OutputError(f"The folder {path.parent} cannot be written to ({error}); choose another one.") from error
    with claimed(path, watch) as claim:
        with explained(path):
            recover(path)
        _check_kind(path)
        place = Destination(path, overwrite, claim)
        if place.replaces and not overwrite:
            _check_unfinished(path)
        yield place


def check_output(out: str | os.PathLike[str], cubes: Sequence[Cube], *, overwrite: bool = False) -> None:
    """Check now what a fusion to `out` will check; see `destination`.

    Raises
    ------
    OutputError
        If it would refuse the path.
    """
    with destination(out, cubes, overwrite=overwrite, watch=Watch()):
        pass


def state_of(out: str | os.PathLike[str]) -> State:
    """Return what lies at the path of a result, to ask about before a run.

    Returns
    -------
    State
        ``"free"``: nothing. ``"unfinished"``: a result of this package that lacks tiles, which the same run continues.
        ``"finished"``: a complete one. ``"other"``: anything else, such as another image.
    """
    path = Path(out)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return "free"
    try:
        done = ResultStore.open(path).done
    except OutputError:
        return "other"
    return "finished" if done.all() else "unfinished"


def _check_apart(path: Path, cubes: Sequence[Cube]) -> None:
    """Refuse a path that is an input, or lies inside or around one."""
    target = path.resolve()
    for cube in cubes:
        for source in source_paths(cube):
            if target == source or target in source.parents or source in target.parents:
                where = "is" if target == source else "contains" if target in source.parents else "lies inside"
                raise OutputError(f"The output {path} {where} {source}, which is read; give another path.")


def _check_kind(path: Path) -> None:
    """Refuse to replace anything but a Zarr store or an empty folder."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / "zarr.json").is_file():
        raise OutputError(f"{path} exists and is not a Zarr store; move it away, or write elsewhere.")


def _check_unfinished(path: Path) -> None:
    """Refuse, before the long steps, what cannot be continued in any case."""
    try:
        store = ResultStore.open(path)
    except OutputError as error:
        raise OutputError(
            f"{path} exists and holds another image; give another path, or overwrite=True to replace it."
        ) from error
    if store.done.all():
        raise OutputError(
            f"{path} holds a finished result already; open it, give another path, or overwrite=True to replace it."
        )


def _refusal(path: Path, key: str, inputs: Mapping[str, Any]) -> str:
    """Return why a store cannot be continued, or an empty string."""
    try:
        job = ResultStore.open(path).job
    except OutputError:
        job = {}
    if job.get("key") != key or "inputs" not in job:
        return "holds another job: its method, settings or images differ"
    changed = what_changed(job["inputs"], inputs)
    return f"was begun with another pair: {changed}" if changed else ""
