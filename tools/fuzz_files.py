"""Damage small files of every kind at random, open them, and report what a reader must not do.

A reader may refuse a file with a SpecFusionError, or open it. It must not raise anything else, crash, take more than
two seconds of processor time, ask for memory that is not there, or take more than 200 MB and fifty times the file.

    python tools/fuzz_files.py --seed 1 --cases 10000
    python tools/fuzz_files.py --only tiff:1:4711 --keep damaged     # one case again, its file kept

A case is its kind, seed and number: the same three make the same file.
"""

from __future__ import annotations

import io
import random
import re
import shutil
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fuzzing
from fuzz_samples import MAKERS, Files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMITS = fuzzing.Limits()

# --- damage ----------------------------------------------------------------------------

NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1]
WORDS = [
    b"-1",
    b"0",
    b"1",
    b"1e9",
    b"1000000000000",
    b"1e308",
    b"NaN",
    b"9" * 30,
    b"null",
    b"[]",
    b'"x"',
    b"{}",
    b"../..",
]


def flip(data: bytearray, draw: random.Random) -> None:
    """Flip some bits."""
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def inflate(data: bytearray, draw: random.Random) -> None:
    """Write a number at the border of its type over some bytes."""
    size = draw.choice((1, 2, 4, 8))
    number = draw.choice(NUMBERS) & (256**size - 1)
    at = draw.randrange(max(1, len(data) - size + 1))
    at -= at % draw.choice((1, 2, 4))
    data[at : at + size] = number.to_bytes(size, draw.choice(("little", "big")))


def inflate_text(data: bytearray, draw: random.Random) -> None:
    """Write another number, or what is none, in place of one in digits."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if found:
        match = draw.choice(found)
        data[match.start() : match.end()] = draw.choice(WORDS)


def truncate(data: bytearray, draw: random.Random) -> None:
    """Cut the end off."""
    del data[draw.randrange(len(data)) :]


def remove(data: bytearray, draw: random.Random) -> None:
    """Cut a piece out."""
    at = draw.randrange(len(data))
    del data[at : at + draw.choice((1, 4, 16, 256))]


def repeat(data: bytearray, draw: random.Random) -> None:
    """Double a piece, many times over now and then."""
    at = draw.randrange(len(data))
    piece = bytes(data[at : at + draw.choice((1, 4, 16, 256))])
    data[at:at] = piece * draw.choice((1, 1, 2, 1000))


def move(data: bytearray, draw: random.Random) -> None:
    """Copy a piece to another place."""
    start, at, size = draw.randrange(len(data)), draw.randrange(len(data)), draw.choice((4, 8, 12, 64))
    data[at : at + size] = data[start : start + size]


DAMAGES = (flip, inflate, inflate, inflate_text, inflate_text, truncate, remove, repeat, move)


def damaged(files: Files, draw: random.Random) -> Files:
    """Return the files with one to three of them damaged, inside of an archive now and then."""
    files = dict(files)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if not files:
            break
        # Descriptions before pixels: there is more to go wrong.
        told = [name for name in files if name.endswith((".hdr", ".json", ".zarray", ".zattrs", ".zgroup"))]
        name = draw.choice(told if told and draw.random() < 0.8 else list(files))
        if name.endswith(".npz") and draw.random() < 0.6:
            files[name] = rezipped(files[name], draw)
        elif len(files) > 1 and draw.random() < 0.03:
            del files[name]
        elif files[name]:
            data = bytearray(files[name])
            draw.choice(DAMAGES)(data, draw)
            files[name] = bytes(data)
    return files


def rezipped(archive: bytes, draw: random.Random) -> bytes:
    """Return a ZIP whose members are damaged before they are packed, so that their checksums are right."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                data = bytearray(old.read(name))
                if data and draw.random() < 0.7:
                    draw.choice(DAMAGES)(data, draw)
                new.writestr(name, bytes(data))
    except Exception:  # damaged before; as good as any
        return archive
    return out.getvalue()


# --- one case ---------------------------------------------------------------------------


def write(case: fuzzing.Case, bases: list[tuple[str, Files]], folder: Path) -> tuple[Path, int]:
    """Write the files of a case; return the path to open and the bytes of all."""
    draw = random.Random(str(case))
    name, files = draw.choice(bases)
    files = damaged(files, draw)
    return put(files, folder) / name, sum(map(len, files.values()))


def put(files: Files, folder: Path) -> Path:
    """Write files into an empty folder."""
    fresh(folder)
    for file, data in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    return folder


def read_cube(path: Path) -> None:
    """Open a cube, and read of it."""
    import numpy as np

    from napari_specfusion.errors import SpecFusionError
    from napari_specfusion.io import list_arrays, open_cube

    with suppress(SpecFusionError):
        list_arrays(path)
    cube = open_cube(path)
    cube.spectrum(0, 0)
    np.asarray(cube.data[0, :1, :1])


def read_weights(path: Path) -> None:
    """Open weights."""
    from napari_specfusion.errors import SpecFusionError
    from napari_specfusion.weights import load_weights
    from napari_specfusion.weights.files import read_card

    with suppress(SpecFusionError):
        read_card(path)
    load_weights(path)


def read_response(path: Path) -> None:
    """Read a spectral response."""
    from napari_specfusion.sensor.srf import read_srf

    read_srf(path, [400.0, 500.0, 600.0])


def read_list(path: Path) -> None:
    """Read wavelengths, and make a cube with them."""
    import numpy as np

    from napari_specfusion.io import as_cube

    as_cube(np.ones((3, 2, 2)), wavelengths=path)


def read_alignment(path: Path) -> None:
    """Read an alignment, and use it."""
    import numpy as np

    from napari_specfusion.alignment import Alignment, align
    from napari_specfusion.errors import Cancelled

    found = Alignment.load(path)
    repr(found)
    with suppress(Cancelled):
        align(np.ones((3, 5, 6)) * np.arange(6), np.ones((2, 20, 24)), start=found, should_stop=lambda: True)


def read_spectra(path: Path) -> None:
    """Read a spectral library, and look for something in it."""
    from napari_specfusion.spectra import rank_spectra, read_library

    library = read_library(path)
    repr(library)
    rank_spectra(library[0], library)


READS: dict[str, Callable[[Path], None]] = {
    "weights": read_weights,
    "response": read_response,
    "wavelengths": read_list,
    "alignment": read_alignment,
    "library": read_spectra,
}


def start(folder: Path, kinds: Sequence[str]) -> Any:
    """Make the valid files of some kinds; return what runs a case."""
    bases = {kind: MAKERS[kind](fresh(folder / "made")) for kind in kinds}

    for kind, made in bases.items():  # the first call of each kind imports what it needs
        name, files = made[0]
        READS.get(kind, read_cube)(put(files, folder / "case") / name)

    def attempt(case: fuzzing.Case) -> tuple[str, str]:
        path, size = write(case, bases[case.kind], folder / "case")
        return fuzzing.watched(lambda: READS.get(case.kind, read_cube)(path), size, LIMITS)

    return attempt


def fresh(folder: Path) -> Path:
    """Return an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main(argv: list[str] | None = None) -> int:
    """Run what the command line says; 1 if a reader did what it must not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, keep = fuzzing.main(start, tuple(MAKERS), LIMITS, folder, __doc__ or "", argv)
        for case in found if keep is not None else ():
            path, _ = write(case, MAKERS[case.kind](fresh(folder / "made")), keep / str(case).replace(":", "-"))
            print(f"kept {path}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
