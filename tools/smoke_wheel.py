"""Build the wheel, install it without extras into an empty environment, and use it there.

    python tools/smoke_wheel.py             # needs the package `build`; takes a few minutes and room for a torch
    python tools/smoke_wheel.py --dist dist # a wheel that is built already

The wheel is built from the source archive, so that both are known to be whole. What needs no extra must work, and what
does must say how to get it. Versions are those of constraints.txt.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "napari_specfusion"
LARGEST_WHEEL = 20e6
# what an environment without extras must not hold
EXTRAS = ("h5py", "matplotlib", "napari", "pyproj", "rasterio", "PyQt6", "PySide6")


# --- outside: build, look into it, install -------------------------------------------


def run(*command: str | Path, **options: object) -> None:
    """Run a command; its words go to the terminal."""
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)  # type: ignore[call-overload]


def check_contents(wheel: Path) -> None:
    """Check that a wheel holds every file of the package, and nothing else."""
    source = ROOT / "src"
    wanted = {
        file.relative_to(source).as_posix()
        for file in (source / PACKAGE).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    package = {name for name in held if not name.partition("/")[0].endswith(".dist-info")}
    assert package == wanted, f"missing: {sorted(wanted - package)}, too much: {sorted(package - wanted)}"
    weights = [name for name in package if name.endswith(".safetensors")]
    assert weights, "no weights are shipped"
    assert f"{PACKAGE}/napari.yaml" in package and f"{PACKAGE}/py.typed" in package
    assert any(name.endswith("/licenses/LICENSE") for name in held), "the licence is left out"
    size = wheel.stat().st_size
    assert size < LARGEST_WHEEL, f"{wheel.name} has {size / 1e6:.0f} MB"
    print(f"{wheel.name}: {len(package)} files, {len(weights)} of weights, {size / 1e6:.1f} MB")


def check_metadata(wheel: Path) -> None:
    """Check what the napari hub reads: classifier, summary, licence, manifest, and a description without loose ends."""
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        told = email.message_from_bytes(archive.read(f"{folder}/METADATA"), policy=email.policy.default)
        points = archive.read(f"{folder}/entry_points.txt").decode()
    assert "[napari.manifest]\nnapari-specfusion = napari_specfusion:napari.yaml" in points, points
    assert "Framework :: napari" in told.get_all("Classifier", [])
    for field in ("Summary", "Author", "License-Expression", "Keywords", "Project-URL", "Requires-Python"):
        assert told[field], f"{field} is missing"
    assert told["Description-Content-Type"] == "text/markdown"
    text = told.get_payload()
    assert text.startswith("# napari-specfusion"), text[:100]
    loose = [target for target in re.findall(r"\]\(([^)]*)\)", text) if not target.startswith(("https://", "#"))]
    assert not loose, f"the description leads to files that are not there: {loose}"
    print(f"described in {len(text.splitlines())} lines")


def install(wheel: Path, folder: Path) -> Path:
    """Make an empty environment, install a wheel without extras, and return its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    return python


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; a failing step ends in its error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dist", type=Path, metavar="FOLDER", help="where the wheel is, instead of building it")
    parser.add_argument("--installed", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.installed:
        use(options.installed)
        return 0
    # temporary, since an environment of its own is made anew each time
    with tempfile.TemporaryDirectory(prefix="smoke ", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        dist = options.dist or folder / "dist"
        if not options.dist:
            run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
        (wheel,) = dist.glob("*.whl")
        check_contents(wheel)
        check_metadata(wheel)
        python = install(wheel, folder / "environment")
        work = folder / "work"
        work.mkdir()
        # -I: neither this checkout nor PYTHONPATH lends a hand
        run(python, "-I", Path(__file__), "--installed", work, cwd=work)
    return 0


# --- inside: use what is installed ---------------------------------------------------


def use(folder: Path) -> None:
    """Use the installed package for everything that needs no extra."""
    import napari_specfusion as sf

    home = Path(sf.__file__).resolve()
    assert home.is_relative_to(Path(sys.prefix).resolve()), f"{home} is not what was installed"
    present = [name for name in EXTRAS if find_spec(name) is not None]
    assert not present, f"the environment is not empty: it holds {present}"
    for name in sf.__all__:
        getattr(sf, name)
    files = use_formats(folder)
    use_methods(folder)
    use_commands(folder, files)
    use_extras(folder)


def use_formats(folder: Path) -> list[Path]:
    """Save the sample pair in every format and open it again; return a cube and a guide."""
    import numpy as np

    import napari_specfusion as sf
    from napari_specfusion.io.registry import WRITERS

    pair = sf.sample_scene(64)
    for key, writer in WRITERS.items():
        saved = pair.hsi.save(folder / f"{key}{writer.suffixes[0]}")
        again = sf.open_cube(saved.paths[-1])
        np.testing.assert_array_equal(again.read(), pair.hsi.read(), err_msg=key)
        np.testing.assert_allclose(again.wavelengths, pair.hsi.wavelengths, err_msg=key)
        print("saved and opened:", key)
    cube, guide = folder / "cube.hdr", folder / "guide.tif"
    pair.hsi.save(cube)
    pair.guide.save(guide)
    return [cube, guide]


def use_methods(folder: Path) -> None:
    """Fuse the sample pair by every method and by the weights that are shipped."""
    import numpy as np

    import napari_specfusion as sf

    pair = sf.sample_scene(128)
    names = [method.name for method in sf.list_methods()]
    shipped = {file.stem for file in Path(sf.__file__).parent.rglob("*.safetensors")}
    assert shipped <= set(names), f"{sorted(shipped)} are shipped, {names} are known"
    fitting = [name for name in names if name not in shipped or name.endswith(f"-x{pair.ratio}")]
    assert shipped & set(fitting), f"none of {sorted(shipped)} fits the ratio {pair.ratio}"
    for name in fitting:
        fused = sf.fuse(pair, model=name, device="cpu")
        assert fused.shape == (pair.hsi.bands, *pair.shape)
        assert np.isfinite(fused.read()).all()
        print(f"fused: {name}, {sf.evaluate(pair.reference, fused, pair.ratio).psnr:.1f} dB")


def use_commands(folder: Path, files: list[Path]) -> None:
    """Run the commands, by either name."""
    run(sys.executable, "-I", "-m", PACKAGE, "--help", stdout=subprocess.DEVNULL)
    # Windows adds no ending to a name with a folder
    script = Path(sys.executable).parent / ("napari-specfusion.exe" if sys.platform == "win32" else "napari-specfusion")
    run(script, "check", *files)
    run(script, "fuse", *files, "--model", "subspace", "--out", folder / "command.zarr", stdout=subprocess.DEVNULL)
    assert (folder / "command.zarr" / "zarr.json").is_file()


def use_extras(folder: Path) -> None:
    """Ask for what needs an extra, and check that the error names it."""
    import napari_specfusion as sf

    (folder / "scene.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    (folder / "scene.pix").write_bytes(b"PCIDSK  " + bytes(600))
    cube = sf.sample_scene(32).hsi
    for extra, attempt in (
        ("hdf", lambda: sf.open_cube(folder / "scene.h5")),
        ("hdf", lambda: cube.save(folder / "large.mat", version="7.3")),
        ("geo", lambda: sf.open_cube(folder / "scene.pix")),
    ):
        try:
            attempt()
        except sf.SpecFusionError as error:
            assert f'pip install "napari-specfusion[{extra}]"' in str(error), error
            print("told:", error)
        else:
            raise AssertionError(f"the extra {extra} was not needed")
    done = subprocess.run(
        [sys.executable, "-I", "-m", PACKAGE, "demo", "--size", "8"],
        env={**os.environ, "DISPLAY": ":0"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    assert 'pip install "napari-specfusion[all]"' in done.stderr, done.stderr


if __name__ == "__main__":
    sys.exit(main())
