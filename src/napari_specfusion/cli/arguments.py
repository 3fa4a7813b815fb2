"""Arguments that several commands take, and where their defaults come from."""

import inspect
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

__all__ = [
    "POSITIVE",
    "Align",
    "Name",
    "Noise",
    "Positive",
    "PositiveOrNone",
    "Ratio",
    "RatioOrNone",
    "Tile",
    "WholeRatio",
    "default",
]


def default(function: Callable[..., Any], name: str) -> Any:
    """Return the default of a parameter of `function`, so that a command need not repeat it."""
    return inspect.signature(function).parameters[name].default


def _as_ratio(kind: Any, tokens: Sequence[Token]) -> Fraction:
    """Return a ratio written as 4, 3.5 or 10/3."""
    text = tokens[0].value
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is not a ratio; write it as 4, 3.5 or 10/3.") from None


def _as_tile(kind: Any, tokens: Sequence[Token]) -> int | Literal["auto"] | None:
    """Return the side of a tile: a number, ``auto``, or None for ``whole``."""
    text = tokens[0].value
    if text == "auto":
        return "auto"
    if text == "whole":
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a tile; write a number of pixels, auto or whole.") from None


def _as_noise(kind: Any, tokens: Sequence[Token]) -> tuple[float, float] | None:
    """Return the SNR of cube and guide, written as 35/40; None for ``off``."""
    text = tokens[0].value
    if text == "off":
        return None
    try:
        cube, guide = map(float, text.split("/"))
    except ValueError:
        raise ValueError(f"{text!r} is not a noise; write the SNR of cube and guide in dB as 35/40, or off.") from None
    return cube, guide


def _check_positive(kind: Any, value: Any) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if not all(number is None or 0 < number < math.inf for number in values):
        raise ValueError("It must be above 0.")


def _check_whole_ratio(kind: Any, value: int) -> None:
    if value < 2:
        raise ValueError("The protocols know whole ratios from 2 on.")


Ratio = Annotated[Fraction, Parameter(converter=_as_ratio, n_tokens=1, accepts_keys=False, metavar="RATIO")]
RatioOrNone = Annotated[
    Fraction | None, Parameter(converter=_as_ratio, n_tokens=1, accepts_keys=False, metavar="RATIO")
]
Name = Annotated[str, Parameter(metavar="NAME")]
Noise = Annotated[
    tuple[float, float] | None,
    Parameter(converter=_as_noise, n_tokens=1, accepts_keys=False),
]
WholeRatio = Annotated[int, Parameter(validator=_check_whole_ratio)]
Tile = Annotated[
    int | Literal["auto"] | None,
    Parameter(converter=_as_tile, n_tokens=1, show_choices=False, metavar="PIXELS|auto|whole"),
]
Align = Annotated[bool, Parameter(negative="--no-align")]
Positive = Annotated[float, Parameter(validator=_check_positive, metavar="NUMBER")]
PositiveOrNone = Annotated[float | None, Parameter(validator=_check_positive, metavar="NUMBER")]
POSITIVE = Parameter(validator=_check_positive)
