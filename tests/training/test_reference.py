"""The reference is what the stage trains, as it was before the first step, whatever is learned since."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from modalink.features.cache import FeatureCache
from modalink.model import Prepared, compose
from modalink.recipe import Recipe
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import make_learner, open_loader
from modalink.training.reference import digest_of
from modalink.training.step import Learner


@pytest.fixture
def start(make_recipe: Callable[..., Recipe], prefer, tmp_path: Path):
    """A learner of pairs whose adapters an earlier stage has trained, and the samples of its first step."""

    def make(**changes) -> tuple[Learner, list[Prepared]]:
        recipe = make_recipe(prefer(batch=4, **changes), lora_dropout=0.5)
        system = compose(recipe, seed=0)
        for name, parameter in system.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(0))
        run = Run(tmp_path, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
        stage = recipe.stages[0]
        trained = freeze(system.model, system.model.trainable_groups(), stage.train, dropout=stage.dropout)
        with ExitStack() as stack:
            batches = open_loader(run, stage, tmp_path, stack).batches()
            samples = next(batches)
            batches.close()
        return make_learner(run, stage, trained, steps=10), samples

    return make


def _logprobs(learner: Learner, samples: list[Prepared]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the policy, and of the reference."""
    (part,) = learner.micro_batches(samples)
    with torch.no_grad():
        output, _ = learner.forward(0, part)
    assert output.logprobs is not None and output.reference_logprobs is not None
    return output.logprobs, output.reference_logprobs


@pytest.mark.parametrize("packs", [True, False])
def test_what_is_learned_leaves_the_reference_as_it_was(start, monkeypatch, packs: bool) -> None:
    learner, samples = start()
    monkeypatch.setattr(type(learner.system.model), "packs", packs)
    policy, reference = _logprobs(learner, samples)
    torch.testing.assert_close(policy, reference, rtol=0, atol=1e-5)
    assert not any(module.training for module in learner.system.model.modules())
    before = learner.weights["model.input_projectors.image.layers.0.weight"].clone()
    for step in range(3):
        learner.learn(step, samples)
    assert not torch.equal(learner.weights["model.input_projectors.image.layers.0.weight"], before)
    learner.reference.once.cache.__init__()  # nothing is remembered: it is computed anew
    moved, still = _logprobs(learner, samples)
    torch.testing.assert_close(still, reference, rtol=0, atol=0)
    assert (moved - policy).abs().max() > 0.1


def test_it_is_the_same_whatever_stands_beside_a_sample(start) -> None:
    learner, samples = start()
    _, together = _logprobs(learner, samples)
    learner.reference.once.cache.__init__()
    alone = torch.cat([_logprobs(learner, [sample])[1] for sample in samples])
    assert torch.equal(together, alone)
    learner.reference.keeps = False
    torch.testing.assert_close(_logprobs(learner, samples)[1], together, rtol=0, atol=1e-5)


def test_a_pair_is_computed_once(start, monkeypatch) -> None:
    learner, samples = start()
    computed = []
    alone = learner.reference._alone
    monkeypatch.setattr(learner.reference, "_alone", lambda sample: computed.append(sample.id) or alone(sample))
    for _ in range(2):
        _logprobs(learner, samples)
    assert sorted(computed) == sorted({sample.id for sample in samples})
    assert len({digest_of(sample) for sample in samples}) == len(samples)


def test_adapters_that_an_earlier_stage_trained_belong_to_it(start) -> None:
    learner, samples = start()
    _, reference = _logprobs(learner, samples)
    with torch.no_grad():
        for name, parameter in learner.system.model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    off, still = _logprobs(learner, samples)
    assert torch.equal(still, reference)
    assert (off - reference).abs().max() > 0.1
