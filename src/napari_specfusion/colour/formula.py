"""Formulas over bands, such as ``(R800 - R670) / (R800 + R670)``: read as a tree of arithmetic, never run as code."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.arguments import short, text
from napari_specfusion.errors import CubeError

__all__ = ["Formula"]

Floats = NDArray[np.floating[Any]]

LONGEST = 300
# of an exponent, which is a plain number
HIGHEST_POWER = 4.0
LARGEST_NUMBER = 1e12
_BAND = re.compile(r"R(\d{2,5})")
_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
RULE = "write bands as R and a wavelength, such as R800, numbers, + - * / **, and brackets"


@dataclass(frozen=True)
class Formula:
    """A formula over the bands of a cube.

    Attributes
    ----------
    written
        The text.
    wavelengths
        Wavelengths that it names, ascending.
    """

    written: str
    wavelengths: tuple[int, ...]
    _tree: ast.expr

    @classmethod
    def read(cls, written: str) -> Formula:
        """Read a formula.

        Parameters
        ----------
        written
            Bands such as ``R800``, the value at 800 nm; numbers; ``+ - * / **`` and brackets. An exponent is a number
            from -4 to 4.

        Raises
        ------
        CubeError
            If it holds anything else, or no band.
        """
        written = text("A formula", written, CubeError).strip()
        if len(written) > LONGEST:
            raise CubeError(f"The formula has {len(written)} characters; it may have {LONGEST}.")
        try:
            tree = ast.parse(written, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
            raise CubeError(f"The formula {short(written)} cannot be read; {RULE}.") from problem
        found: set[int] = set()
        _check(tree, found)
        if not found:
            raise CubeError(f"The formula {short(written)} names no band; {RULE}.")
        return cls(written, tuple(sorted(found)), tree)

    def compute(self, bands: Mapping[int, Floats]) -> Floats:
        """Return the values of the formula; NaN where they are not finite, as after a division by zero.

        Parameters
        ----------
        bands
            The values at each of `wavelengths`, arrays of one shape.
        """
        with np.errstate(all="ignore"):
            values = np.asarray(_value(self._tree, bands))
            return np.where(np.isfinite(values), values, np.nan).astype(values.dtype, copy=False)


def _check(node: ast.expr, found: set[int]) -> None:
    match node:
        case ast.BinOp(left, ast.Pow(), right):
            _check(left, found)
            _exponent(right)
        case ast.BinOp(left, operation, right) if type(operation) in _OPERATIONS:
            _check(left, found)
            _check(right, found)
        case ast.UnaryOp(ast.USub() | ast.UAdd(), inner):
            _check(inner, found)
        case ast.Constant():
            _number(node)
        case ast.Name(name) if band := _BAND.fullmatch(name):
            found.add(int(band[1]))
        case _:
            raise CubeError(f"{short(ast.unparse(node))} is not allowed in a formula; {RULE}.")


def _number(node: ast.Constant) -> float:
    value = node.value
    # truth values are whole numbers to Python
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER:
        return float(value)
    raise CubeError(f"{short(value)} is not allowed in a formula; give numbers up to {LARGEST_NUMBER:g}.")


def _exponent(node: ast.expr) -> float:
    sign = 1.0
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign, node = (-sign if isinstance(node.op, ast.USub) else sign), node.operand
    if isinstance(node, ast.Constant) and (value := _number(node)) <= HIGHEST_POWER:
        return math.copysign(value, sign)
    raise CubeError(
        f"The exponent {short(ast.unparse(node))} is not allowed in a formula; give a number from "
        f"{-HIGHEST_POWER:g} to {HIGHEST_POWER:g}."
    )


def _value(node: ast.expr, bands: Mapping[int, Floats]) -> Any:
    match node:
        case ast.BinOp(left, ast.Pow(), right):
            return np.power(_value(left, bands), np.float32(_exponent(right)))
        case ast.BinOp(left, operation, right):
            return _OPERATIONS[type(operation)](_value(left, bands), _value(right, bands))
        case ast.UnaryOp(ast.USub(), inner):
            return -_value(inner, bands)
        case ast.UnaryOp(ast.UAdd(), inner):
            return _value(inner, bands)
        case ast.Constant():
            # a type that leaves single precision as it is
            return np.float32(_number(node))
        case ast.Name(name):
            return bands[int(name[1:])]
    raise AssertionError(ast.dump(node))
