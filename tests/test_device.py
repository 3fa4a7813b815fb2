"""The switches of a device, and the arithmetic that a precision promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_specfusion.device import (
    Acceleration,
    accelerated,
    acceleration,
    computing,
    tf32_products,
    uploaded,
    uses_tf32,
)


def settings() -> tuple[str, str]:
    backends = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision
    return tuple("tf32" if on else "ieee" for on in (backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32))


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_only_networks_round_products_and_only_if_asked(precision: str) -> None:
    before, device = settings(), torch.device("cuda")
    with computing("cuda", precision):
        assert settings() == ("ieee", "ieee")
        assert uses_tf32() is (precision == "tf32")
        with tf32_products(device):
            assert settings() == (("tf32", "tf32") if precision == "tf32" else ("ieee", "ieee"))
        assert settings() == ("ieee", "ieee")
    assert settings() == before
    assert not uses_tf32()


def test_the_settings_are_put_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(KeyError), computing("cuda", "tf32"), tf32_products(torch.device("cuda")):
        raise KeyError
    assert settings() == before


def test_the_processor_keeps_its_settings() -> None:
    before = settings()
    with computing("cpu", "tf32"), tf32_products(torch.device("cpu")):
        assert settings() == before


def test_switches_hold_in_their_block() -> None:
    assert acceleration() == Acceleration()
    with accelerated(Acceleration(graphs=False)):
        assert not acceleration().graphs
        assert acceleration().transfers
    assert acceleration().graphs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_arrays_take_the_type_of_a_tensor(dtype: torch.dtype) -> None:
    array = np.linspace(0, 1, 6).reshape(2, 3).T
    found = uploaded(array, torch.zeros(1, dtype=dtype))
    assert found.dtype == dtype
    assert torch.equal(found, torch.tensor(array.tolist(), dtype=dtype))
