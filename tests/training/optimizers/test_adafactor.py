"""Adafactor: the numbers of transformers' own implementation, a state that resumes, and little memory."""

import pytest
import torch
from torch import nn
from transformers.optimization import Adafactor

from modalink.training.optimization import load_optimizer_tensors, optimizer_tensors
from modalink.training.optimizers.adafactor import AdafactorConfig


def _parameters() -> tuple[nn.Parameter, nn.Parameter]:
    random = torch.Generator().manual_seed(3)
    return (
        nn.Parameter(torch.randn(6, 4, generator=random, dtype=torch.float64)),
        nn.Parameter(torch.zeros(5, dtype=torch.float64)),
    )


def _groups(parameters: tuple[nn.Parameter, ...], weight_decay: float = 0.1) -> list[dict]:
    named = list(zip("wb", parameters, strict=True))
    return [{"params": named, "lr": 0.01, "base_lr": 0.01, "weight_decay": weight_decay}]


def _steps(optimizer: torch.optim.Optimizer, parameters: tuple[nn.Parameter, ...], numbers: range) -> None:
    for number in numbers:
        optimizer.zero_grad()
        sum(((p + 0.3) * (number + 1)).sin().sum() for p in parameters).backward()
        optimizer.step()


def test_numbers_are_those_of_transformers() -> None:
    ours, theirs = _parameters(), _parameters()
    _steps(AdafactorConfig().build(_groups(ours, weight_decay=0.0)), ours, range(5))  # theirs scales the decay, too
    reference = Adafactor(theirs, lr=0.01, eps=(1e-300, 1e-3), relative_step=False, scale_parameter=True)
    _steps(reference, theirs, range(5))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_the_state_is_a_row_and_a_column_and_resumes_to_the_bit() -> None:
    whole, again = _parameters(), _parameters()
    optimizer = AdafactorConfig().build(_groups(whole))
    _steps(optimizer, whole, range(3))
    kept = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    assert {name: tensor.numel() for name, tensor in kept.items() if not name.endswith("/step")} == {
        "w/row_var": 6,
        "w/col_var": 4,
        "b/variance": 5,
    }
    for target, source in zip(again, whole, strict=True):
        target.data.copy_(source)
    resumed = AdafactorConfig().build(_groups(again))
    load_optimizer_tensors(resumed, kept)
    _steps(optimizer, whole, range(3, 6))
    _steps(resumed, again, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


@pytest.mark.parametrize("setting", [{"decay": 0.5}, {"clip": 0}, {"smallest": -1}])
def test_settings_that_mean_nothing_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        AdafactorConfig.model_validate(setting)
