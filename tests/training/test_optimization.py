"""AdamW, its rates and its state."""

import pytest
import torch
from torch import nn

from modalink.recipe import Stage
from modalink.training.objectives.language import LanguageConfig
from modalink.training.optimization import (
    build_optimizer,
    load_optimizer_tensors,
    lr_factor,
    optimizer_tensors,
    set_lr,
)
from modalink.training.stages.supervised import SupervisedConfig


def _stage(**settings) -> Stage:
    base = {"name": "s", "train": {"a": {"lr": 0.1}}, "steps": 100, "batch": 1}
    data = [{"source": "text", "path": "absent.txt"}]
    return SupervisedConfig.model_validate({**base, "objectives": [LanguageConfig()], "data": data, **settings})


def test_the_rate_warms_up_to_its_peak_and_falls_along_half_a_cosine() -> None:
    stage = _stage(warmup=0.1, min_lr=0.2)
    factors = [lr_factor(stage, step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == pytest.approx(1.0)
    assert factors[55] == pytest.approx(0.2 + 0.8 * 0.5)
    assert 0.2 < factors[99] < 0.201
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_warm_up_can_be_given_in_steps_and_the_schedule_chosen() -> None:
    assert lr_factor(_stage(warmup=20), 9, 100) == pytest.approx(0.5)
    assert lr_factor(_stage(warmup=0, schedule="linear"), 75, 100) == pytest.approx(0.25)
    assert lr_factor(_stage(warmup=0, schedule="constant"), 75, 100) == 1.0


def _model() -> tuple[nn.ParameterDict, dict[str, list[tuple[str, nn.Parameter]]]]:
    torch.manual_seed(1)
    model = nn.ParameterDict({"w": nn.Parameter(torch.randn(3, 2)), "b": nn.Parameter(torch.randn(3))})
    return model, {"a": [(name, model[name]) for name in ("w", "b")]}


def _go(optimizer: torch.optim.Optimizer, model: nn.ParameterDict, names: str, step: int) -> None:
    optimizer.zero_grad()
    sum((model[name] * (step + 1)).sin().sum() for name in names).backward()
    set_lr(optimizer, 1 / (step + 1))
    optimizer.step()


def test_a_stage_chooses_its_betas_and_by_default_has_those_of_pytorch() -> None:
    _, groups = _model()
    defaults = torch.optim.AdamW([torch.zeros(1)], fused=True).defaults
    assert {**build_optimizer(_stage(), groups).defaults} == defaults
    chosen = build_optimizer(_stage(optimizer={"betas": [0.9, 0.98], "eps": 1e-6}), groups)
    assert [(g["betas"], g["eps"]) for g in chosen.param_groups] == [((0.9, 0.98), 1e-6)] * 2


def test_the_optimizer_goes_on_from_its_tensors_to_the_bit_even_where_a_parameter_has_no_state() -> None:
    stage = _stage(train={"a": {"lr": 0.1, "weight_decay": 0.3}})
    model, groups = _model()
    optimizer = build_optimizer(stage, groups)
    for step in range(2):
        _go(optimizer, model, "w", step)
    again, groups_again = _model()
    again.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    resumed = build_optimizer(stage, groups_again)
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    assert {name.split("/")[0] for name in saved} == {"w"}
    load_optimizer_tensors(resumed, saved)
    for step in range(2, 5):
        _go(optimizer, model, "wb", step)
        _go(resumed, again, "wb", step)
    assert all(torch.equal(model[name], again[name]) for name in ("w", "b"))


def test_rates_are_told_by_group() -> None:
    _, groups = _model()
    optimizer = build_optimizer(_stage(), groups)
    assert set_lr(optimizer, 0.5) == {"a": pytest.approx(0.05)}
