"""Compiled kernels: what they compute, and where they are not used."""

from __future__ import annotations

import re

import pytest
import torch

from napari_specfusion.device import Acceleration, accelerated
from napari_specfusion.networks import kernels
from napari_specfusion.networks.kernels import horner


def example(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    coefficients = torch.randn(17, 2, 1, 4, dtype=torch.complex64)
    angle = torch.rand(5, 2, 3, 4) * 6
    return coefficients.to(device), torch.polar(torch.ones_like(angle), angle).to(device)


def expected(coefficients: torch.Tensor, argument: torch.Tensor) -> torch.Tensor:
    powers = torch.stack([argument.cdouble() ** (q + 1) for q in range(len(coefficients))])
    return (coefficients.cdouble()[:, None] * powers).sum(0)


def test_the_processor_does_without() -> None:
    with torch.inference_mode():
        assert horner(*example("cpu")) is None


def test_the_steps_are_horner_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the kernel, run by Python: it is arithmetic in both languages."""
    codes: list[str] = []
    monkeypatch.setattr(torch.cuda.jiterator, "_create_jit_fn", lambda code: codes.append(code) or code)
    kernels._steps.cache_clear()
    coefficients, argument = (values[..., 0, 0, 0] if values.ndim == 4 else values for values in example("cpu"))
    value, rest = complex(coefficients[-1] * argument[0]), coefficients[:-1].flip(0)
    for start in range(0, len(rest), kernels.TOGETHER):
        part = rest[start : start + kernels.TOGETHER]
        code = kernels._steps(len(part))
        body = re.sub(r"(\w+)\.(real|imag)\(\)", r"\1.\2", code[code.index("{") + 1 : code.rindex("}")]).replace(
            "auto ", ""
        )
        names = {"value": value, "argument": complex(argument[0]), "T": complex}
        names |= {f"c{number}": complex(one) for number, one in enumerate(part)}
        *lines, last = [line.strip() for line in body.split(";") if line.strip()]
        for line in lines:
            exec(line, {}, names)
        value = eval(last.removeprefix("return "), {}, names)
    kernels._steps.cache_clear()
    right = sum(complex(c) * complex(argument[0]) ** (q + 1) for q, c in enumerate(coefficients))
    assert abs(value - right) < 1e-5 * abs(right)
    # torch reads the code by a pattern
    for code in codes:
        parsed = torch.cuda.jiterator._CodeParser(code)
        assert parsed.function_name.startswith("horner_")
        # eight tensors at most
        assert parsed.function_params.count("T ") <= 8


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_the_kernel_computes_the_series(dtype: torch.dtype) -> None:
    coefficients, argument = (values.to(dtype) for values in example("cuda"))
    with torch.inference_mode():
        found = horner(coefficients, argument)
        assert found is not None
        right = expected(coefficients, argument)
        assert found.dtype == dtype
        assert float((found - right).abs().max() / right.abs().max()) < (2e-6 if dtype == torch.complex64 else 1e-13)
        with accelerated(Acceleration(kernels=False)):
            assert horner(coefficients, argument) is None
    assert horner(coefficients, argument) is None
