"""Checks of what callers give: each returns the argument, or says in one sentence what it is and what it must be."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import SpecFusionError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["callback", "choice", "flag", "instance", "number", "numbers", "short", "text", "whole"]

T = TypeVar("T")
Kind = type[SpecFusionError]
_LONGEST = 100
# numbers to Python, but a mistake where a number is asked for
_TRUTH: Any = (bool, np.bool_)


def short(value: object) -> str:
    """Return a value as text of one line, cut where it is long."""
    try:
        words = " ".join(repr(value).split())
    except Exception:  # any object may have a repr that fails
        words = f"a {type(value).__name__}"
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."


def whole(name: str, value: Any, low: int | None = None, high: int | None = None, error: Kind = SpecFusionError) -> int:
    """Return a whole number within its range; truth values are none."""
    if isinstance(value, Integral) and not isinstance(value, _TRUTH):
        value = found = int(value)
        if (low is None or found >= low) and (high is None or found <= high):
            return found
    raise error(f"{name} is {short(value)}; it must be a whole number{_range(low, high)}.")


def number(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    error: Kind = SpecFusionError,
) -> float:
    """Return a finite number of at least `low` and at most `high`, or greater than `above`."""
    if isinstance(value, Real) and not isinstance(value, _TRUTH):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        fits = (low is None or found >= low) and (high is None or found <= high) and (above is None or found > above)
        if math.isfinite(found) and fits:
            return found
    more = f" above {above:g}" if above is not None else ""
    raise error(f"{name} is {short(value)}; it must be a finite number{more}{_range(low, high)}.")


def numbers(name: str, value: Any, shape: tuple[int, ...] | None = None, error: Kind = SpecFusionError) -> NDArray[Any]:
    """Return finite numbers ``(n,)``, or of the given shape, as float64."""
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "iuf":
            # texts would be read as numbers, and times as counts
            found = np.asarray(found.astype(object) if found.dtype.kind in "USMmbcV" else found)
            if any(not isinstance(one, Real) or isinstance(one, _TRUTH) for one in found.ravel()):
                raise ValueError("they are not all numbers")
        found = found.astype(np.float64)
    except Exception as problem:  # arrays of other libraries raise anything
        reason = " ".join(str(problem).split())[:80]
        raise error(f"{name}: {short(value)} is not a list of numbers ({reason}); give numbers only.") from problem
    if (found.ndim != 1 or not found.size) if shape is None else found.shape != shape:
        wanted = "a list of numbers" if shape is None else f"numbers of shape {shape}"
        raise error(f"{name} has shape {found.shape}; give {wanted}.")
    if not np.all(np.isfinite(found)):
        raise error(f"{name} holds NaN or infinite values; give finite numbers.")
    return found


def flag(name: str, value: Any, error: Kind = SpecFusionError) -> bool:
    """Return a truth value."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise error(f"{name} is {short(value)}; it must be True or False.")


def text(name: str, value: Any, error: Kind = SpecFusionError) -> str:
    """Return a text."""
    if isinstance(value, str):
        return value
    raise error(f"{name} is {short(value)}; it must be text.")


def choice(name: str, value: Any, options: Iterable[str], error: Kind = SpecFusionError) -> str:
    """Return one of some names."""
    known = tuple(options)
    if isinstance(value, str) and value in known:
        return value
    raise error(f"{name} is {short(value)}; choose one of {', '.join(known)}.")


def callback(name: str, value: Any, error: Kind = SpecFusionError) -> None:
    """Check what is called later: a function, or None."""
    if value is not None and not callable(value):
        raise error(f"{name} is {short(value)}, which cannot be called; give a function, or None.")


def instance(
    name: str, value: Any, kinds: type[T] | tuple[type[T], ...], words: str, error: Kind = SpecFusionError
) -> T:
    """Return an object of one of some classes; `words` say what to give instead."""
    if isinstance(value, kinds):
        return value
    raise error(f"{name} is of type {type(value).__name__}; give {words}.")


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    return "" if low is None else f" of at least {low:g}" if high is None else f" of at most {high:g}"
