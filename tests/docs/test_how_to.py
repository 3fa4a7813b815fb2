"""The Python of the how-to pages runs, section by section, on the painted pair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_specfusion as sf

PAGE = (Path(__file__).parents[2] / "docs" / "how-to.md").read_text(encoding="utf-8")
SHARED, *SECTIONS = re.split(r"^##+ (?=.)", PAGE, flags=re.MULTILINE)
# minutes a fit takes in the test
MINUTES = "minutes=0.05"
# they start workers, try all methods, or run a network
SLOW = {
    "Align a pair",
    "Choose a method automatically",
    "Exchange cubes with xarray",
    "Fit a network to a pair",
    "One scene on many workers",
    "Use trained weights",
}


def code(section: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


def cases() -> list[Any]:
    """Return the sections that hold Python."""
    found = {section.partition("\n")[0]: code(section) for section in SECTIONS}
    return [
        pytest.param(text, id=title, marks=[pytest.mark.slow] if title in SLOW else [])
        for title, text in found.items()
        if text
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with every file that the page names, and work in it."""
    monkeypatch.chdir(tmp_path)
    scene = sf.sample_scene()
    assert scene.reference is not None
    # the colour pictures want the near infrared too
    low = scene.hsi.replace(wavelengths=np.linspace(400.0, 1000.0, scene.hsi.bands))
    for cube, name in ((low, "cube.hdr"), (scene.guide, "photo.tif")):
        cube.save(name)
        cube.save(f"second{Path(name).suffix}")
    sf.as_cube((scene.guide.read()[:1] > 0.5).astype(np.float32)).save("mask.tif")
    np.savez("sharp.npz", cube=scene.reference.read(), wavelengths=scene.reference.wavelengths)
    np.savez("both.npz", cube=low.read(), photo=scene.guide.read(), wavelengths=low.wavelengths)
    clay = sf.Spectrum(np.linspace(0.2, 0.8, 61), np.linspace(400.0, 1000.0, 61), name="kaolinite")
    Path("minerals").mkdir()
    sf.save_spectra("minerals/clay.csv", [clay])
    assert scene.hsi.wavelengths is not None
    np.savetxt("bands.txt", scene.hsi.wavelengths)
    counts = np.asarray(1000 * scene.hsi.read() + 100, np.uint16)
    for name, values in (("scan", counts), ("white", np.full_like(counts, 1100)), ("dark", np.full_like(counts, 100))):
        sf.as_cube(values, wavelengths=scene.hsi.wavelengths).save(f"{name}.hdr")
    table = re.search(r"(?:^    \d*[\w,.]+\n)+", PAGE[PAGE.index("    wavelength_nm,") :], re.MULTILINE)
    assert table
    (tmp_path / "camera.csv").write_text(table[0].replace("    ", ""), encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", cases())
def test_the_code_of_a_section_runs(text: str) -> None:
    names: dict[str, Any] = {}
    exec(code(SHARED), names)
    if "viewer" in text:
        components = pytest.importorskip("napari.components")
        names["viewer"] = components.ViewerModel()
        sf.show_in(names["viewer"], names["cube"])
    exec(re.sub(r"minutes=\d+", MINUTES, text), names)
