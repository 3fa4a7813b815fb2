"""``align`` and the alignment in ``check`` and ``fuse``: from files to files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import rotate

from napari_specfusion.alignment import Alignment
from napari_specfusion.cli.app import main
from napari_specfusion.data.cube import Cube
from napari_specfusion.io import open_cube
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with cube.npz, a turned guide.npz, and one of something else, other.npz."""
    folder = tmp_path_factory.mktemp("pair")
    scene = simulate(sample_reference(128), 4, protocol=Psf(2.0))
    turned = rotate(scene.guide.read(), 3.0, axes=(1, 2), reshape=False, order=3, mode="mirror")
    noise = np.random.default_rng(0).random((3, 128, 128), np.float32)
    for name, values in (("cube", scene.hsi.read()), ("guide", turned), ("other", noise)):
        Cube.from_array(values.astype(np.float32)).save(folder / f"{name}.npz")
    return folder


def test_the_guide_and_the_transform_are_written(files, tmp_path, capsys):
    out, kept = tmp_path / "onto.npz", tmp_path / "pair.json"
    pair = [str(files / "cube.npz"), str(files / "guide.npz")]
    assert main(["align", *pair, "--out", str(out), "--transform", str(kept)]) == 0
    told = capsys.readouterr().out
    assert "turned by" in told
    found = Alignment.load(kept)
    assert abs(found.rotation) == pytest.approx(3, abs=0.02)
    assert open_cube(out).shape == found.apply(open_cube(files / "guide.npz")).shape
    # once more, without a search
    assert main(["align", *pair, "--use", str(kept), "--out", str(tmp_path / "again.npz")]) == 0
    np.testing.assert_array_equal(open_cube(out).read(), open_cube(tmp_path / "again.npz").read())
    assert main(["align", *pair, "--transform", str(kept)]) == 2
    assert "exists" in capsys.readouterr().err


def test_fuse_aligns_by_itself(files, tmp_path, capsys):
    pair = [str(files / "cube.npz"), str(files / "guide.npz")]
    assert main(["fuse", *pair, "--out", str(tmp_path / "a.zarr"), "--model", "glp"]) == 0
    assert "turned by" in capsys.readouterr().out
    assert main(["fuse", *pair, "--out", str(tmp_path / "b.zarr"), "--model", "glp", "--no-align"]) == 0
    assert "turned by" not in capsys.readouterr().out


@pytest.mark.slow
def test_other_places_are_refused(files, tmp_path, capsys):
    pair = [str(files / "cube.npz"), str(files / "other.npz")]
    assert main(["align", *pair, "--out", str(tmp_path / "onto.npz")]) == 1
    assert not (tmp_path / "onto.npz").exists()
    assert "No position of the guide was found" in capsys.readouterr().out
    assert main(["check", *pair]) == 1
