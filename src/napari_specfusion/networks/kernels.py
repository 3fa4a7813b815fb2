"""Horner's rule as one kernel on a CUDA device, compiled when it is first needed.

Step by step, every coefficient would cost two passes over the values; on a GPU that is a third of an LSO's time. The
compiler is the one that torch brings for its own operations.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_specfusion.device import acceleration

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["horner"]

# torch's compiled kernels take eight tensors: the value, the argument, and these
TOGETHER = 6


def horner(coefficients: Tensor, argument: Tensor) -> Tensor | None:
    """Return the sum of ``coefficients[q] * argument ** (q + 1)``; None where it has to be computed otherwise.

    Parameters
    ----------
    coefficients
        Complex ``(Q, ...)``, whose rest broadcasts to `argument`.
    argument
        Complex.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    if argument.device.type != "cuda" or not acceleration().kernels or _broken:
        return None
    value = coefficients[-1] * argument
    rest = coefficients[:-1].flip(0).unbind()
    try:
        for start in range(0, len(rest), TOGETHER):
            part = rest[start : start + TOGETHER]
            value = _steps(len(part))(value, argument, *part)
    except Exception as error:  # no compiler here, or one that fails
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(f"A kernel could not be compiled; LSO runs more slowly without it ({reason}).", stacklevel=2)
        _broken.append(reason)
        return None
    return value


# why kernels cannot be compiled here
_broken: list[str] = []


@cache
def _steps(count: int) -> Callable[..., Tensor]:
    """Return a function that does ``value = (value + coefficient) * argument`` for `count` coefficients."""
    names = [f"c{number}" for number in range(count)]
    step = "x += {0}.real(); y += {0}.imag(); t = x * p - y * q; y = x * q + y * p; x = t; "
    code = (
        f"template <typename T> T horner_{count}(T value, T argument, {', '.join(f'T {name}' for name in names)}) {{ "
        "auto p = argument.real(); auto q = argument.imag(); auto x = value.real(); auto y = value.imag(); auto t = x; "
        f"{''.join(step.format(name) for name in names)}return T(x, y); }}"
    )
    jiterator: Any = torch.cuda.jiterator
    function: Callable[..., Tensor] = jiterator._create_jit_fn(code)
    return function
