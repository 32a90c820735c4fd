"""What a stage computes in."""

import pytest
import torch

from modalink.devices import multiplies_bfloat16
from modalink.model import precision
from modalink.model.precision import autocast, resolve

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"bf16": True}, torch.bfloat16),
        ({}, torch.float32),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_multiplies_it(monkeypatch, capabilities, dtype) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(precision, "multiplies_bfloat16", multiplies_bfloat16)  # which other tests do not ask
    assert resolve("auto", CPU) is dtype


def test_a_named_precision_is_taken_as_it_is() -> None:
    assert resolve("float32", CPU) is torch.float32
    assert resolve("bfloat16", CPU) is torch.bfloat16


def test_autocast_changes_products_in_bfloat16_only() -> None:
    layer = torch.nn.Linear(2, 2)
    with autocast(torch.bfloat16, CPU):
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    with autocast(torch.float32, CPU):
        assert layer(torch.ones(1, 2)).dtype == torch.float32
