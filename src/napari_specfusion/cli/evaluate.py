"""``evaluate``: score fused cubes against a reference."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_specfusion.cli.arguments import Ratio
from napari_specfusion.io import open_cube
from napari_specfusion.quality.metrics import evaluate, format_table

__all__ = ["evaluate_files"]


def evaluate_files(reference: Path, /, *estimate: Annotated[Path, Parameter(required=True)], ratio: Ratio) -> int:
    """Score fused cubes against a reference.

    Parameters
    ----------
    reference
        The sharp cube that is known to be true.
    estimate
        One or more cubes on the same pixels.
    ratio
        Guide pixels per cube pixel, such as 4 or 10/3; ERGAS depends on it.
    """
    truth = open_cube(reference)
    print(format_table({str(path): evaluate(truth, open_cube(path), ratio) for path in estimate}))
    return 0
