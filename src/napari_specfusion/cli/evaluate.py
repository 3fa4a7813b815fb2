"""``evaluate``: score fused cubes against a reference."""

import json as text
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_specfusion.cli.arguments import Ratio
from napari_specfusion.io import open_cube
from napari_specfusion.quality.metrics import MEASURES, evaluate, format_table
from napari_specfusion.quality.table import plain_values

__all__ = ["evaluate_files", "print_json"]


def evaluate_files(
    reference: Path, /, *estimate: Annotated[Path, Parameter(required=True)], ratio: Ratio, json: bool = False
) -> int:
    """Score fused cubes against a reference.

    Parameters
    ----------
    reference
        The sharp cube that is known to be true.
    estimate
        One or more cubes on the same pixels.
    ratio
        Guide pixels per cube pixel, such as 4 or 10/3; ERGAS depends on it.
    json
        Print JSON instead of a table, with the values of each band.
    """
    truth = open_cube(reference)
    scores = {str(path): evaluate(truth, open_cube(path), ratio) for path in estimate}
    if json:
        print_json({name: plain_values(quality, MEASURES) for name, quality in scores.items()})
    else:
        print(format_table(scores))
    return 0


def print_json(values: dict[str, Any]) -> None:
    """Print plain data as JSON."""
    print(text.dumps(values, indent=1, allow_nan=False))
