"""One step: the same gradient however it is cut, and no update that is not finite."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise

import pytest
import torch

from modalink.errors import TrainingError
from modalink.features.cache import FeatureCache
from modalink.kinds import named
from modalink.model import Prepared, compose
from modalink.model.items import Item
from modalink.recipe import Recipe
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.objectives.language import LanguageConfig
from modalink.training.opening import make_learner, open_loader
from modalink.training.step import Learner


@pytest.fixture(scope="module")
def start(make_recipe: Callable[..., Recipe], instruct: Callable[..., dict], tmp_path_factory: pytest.TempPathFactory):
    """A learner of the second stage and the samples of its first step, of which some show and some draw."""

    def make(**changes) -> tuple[Learner, list[Prepared]]:
        recipe = make_recipe(instruct(batch=4, **changes))
        system = compose(recipe, seed=0)
        # At first the adapters' outputs are zero, and half of their gradients too.
        for name, parameter in system.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
        folder = tmp_path_factory.mktemp("step")
        run = Run(folder, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
        stage = recipe.stages[0]
        trained = freeze(system.model, system.model.trainable_groups(), stage.train)
        with ExitStack() as stack:
            batches = iter(open_loader(run, stage, folder, stack))
            samples = next(batches)
            batches.close()
        assert {bool(sample.targets) for sample in samples} == {True, False}
        return make_learner(run, stage, trained, steps=10), samples

    return make


def _gradients(learner: Learner, samples: list[Prepared]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    parts = learner.micro_batches(samples)
    losses, _ = learner.gradients(0, parts, learner.counts([part.batch for part in parts]))
    members = [member for group in learner.trained.values() for member in group]
    assert all(parameter.grad is not None for _, parameter in members)
    return {name: parameter.grad.clone() for name, parameter in members}, losses


@pytest.fixture(scope="module")
def whole(start) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The gradient of the step in one packed pass, and its losses."""
    torch.manual_seed(0)
    return _gradients(*start())


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_micro_batches_give_the_gradient_of_the_packed_whole(start, whole, micro_batch: int) -> None:
    gradients, losses = whole
    learner, samples = start(micro_batch=micro_batch)
    assert [len(part.positions) for part in learner.micro_batches(samples)] == [micro_batch] * (4 // micro_batch)
    cut, cut_losses = _gradients(learner, samples)
    assert cut_losses == pytest.approx(losses, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("limit", [1, 40, 90, 150, 10_000])
def test_any_limit_of_tokens_gives_the_gradient_of_the_whole(
    start, whole, monkeypatch, limit: int, packs: bool
) -> None:
    gradients, losses = whole
    learner, samples = start(micro_tokens=limit)
    monkeypatch.setattr(type(learner.system.model), "packs", packs)
    chunks = learner.division.divided(samples)
    assert [sample for chunk in chunks for sample in chunk] == samples
    assert all(len(chunk) == 1 or learner.division.tokens(chunk) <= limit for chunk in chunks)
    joined = [[*first, second[0]] for first, second in pairwise(chunks)]
    assert all(learner.division.tokens(chunk) > limit for chunk in joined)
    cut, cut_losses = _gradients(learner, samples)
    assert cut_losses == pytest.approx(losses, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6)


def test_tokens_of_a_forward_pass_count_padding_where_there_is_some(start, monkeypatch) -> None:
    learner, samples = start()
    lengths = [len(sample.input_ids) for sample in samples]
    assert learner.division.tokens(samples) == sum(lengths)
    monkeypatch.setattr(type(learner.system.model), "packs", False)
    assert learner.division.tokens(samples) == 4 * max(lengths) > sum(lengths)


def test_a_process_makes_as_many_forward_passes_as_any_other(start, monkeypatch) -> None:
    learner, samples = start()
    for passes in (1, 2, 4):
        monkeypatch.setattr("modalink.training.parallel.largest", lambda own, n=passes: [max(own[0], n), *own[1:]])
        parts = learner.micro_batches(samples)
        assert len(parts) == passes
        assert [place for part in parts for place in part.positions] == [0, 1, 2, 3, *[-1] * (passes - 1)]
        assert learner.counts([part.batch for part in parts]) == learner.counts([parts[0].batch])


@pytest.mark.parametrize("packed", [True, False])
def test_a_process_without_a_medium_reads_a_filler_of_which_nothing_is_learned(start, monkeypatch, packed) -> None:
    learner, samples = start(train={"inputs.image.projector": {"lr": 1e-2}, "outputs.image.projector": {"lr": 1e-2}})
    monkeypatch.setattr(type(learner.system.model), "packs", packed)
    for lacking in ("media", "targets"):
        own = [sample for sample in samples if not getattr(sample, lacking)]
        counts = learner.counts([part.batch for part in learner.micro_batches(own)])
        alone, norms = learner.gradients(0, learner.micro_batches(own), counts)
        with monkeypatch.context() as patch:
            patch.setattr("modalink.training.parallel.largest", lambda own: [max(value, 1.0) for value in own])
            (part,) = learner.micro_batches(own)
            patch.setattr("modalink.training.parallel.world", lambda: 2)
            patch.setattr("modalink.training.parallel.add_gradients", lambda parameters: None)
            patch.setattr("modalink.training.parallel.summed", lambda values: values)
            assert part.batch.samples == [*(sample.id for sample in own), "filler"]
            assert learner.counts([part.batch]) == counts
            losses, with_filler = learner.gradients(0, [part], counts)
        assert losses == pytest.approx(alone, rel=1e-4)
        assert with_filler == pytest.approx(norms, rel=1e-3, abs=1e-7)
        side = "inputs" if lacking == "media" else "outputs"
        for name, parameter in learner.trained[f"{side}.image.projector"]:
            assert parameter.grad is not None and not parameter.grad.any(), name


def test_padded_rows_give_the_gradient_of_the_packed_stream(start, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, samples = start()
    gradients, losses = _gradients(learner, samples)
    monkeypatch.setattr(type(learner.system.model), "packs", False)
    assert learner.micro_batches(samples)[0].batch.input_ids.shape[0] == 4
    padded, padded_losses = _gradients(learner, samples)
    assert padded_losses == pytest.approx(losses, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(padded[name], gradient, rtol=1e-4, atol=1e-6)


def test_weights_of_objectives_scale_their_gradients(start) -> None:
    objectives = [{"kind": "language"}, {"kind": "align", "weight": 0.0}, {"kind": "diffusion", "weight": 0.0}]
    alone, _ = _gradients(*start(objectives=objectives))
    scaled, _ = _gradients(*start(objectives=[objectives[0] | {"weight": 3.0}, *objectives[1:]]))
    for name, gradient in alone.items():
        torch.testing.assert_close(scaled[name], 3 * gradient, rtol=1e-4, atol=1e-6)


def test_gradients_reach_the_trained_parameters_and_no_others(start) -> None:
    learner, samples = start()
    gradients, _ = _gradients(learner, samples)
    holders = {name for name, parameter in learner.system.model.named_parameters() if parameter.grad is not None}
    assert holders == set(gradients)
    frozen = [p for generator in learner.system.generators.values() for p in generator.parameters()]
    assert frozen
    assert all(p.grad is None for p in frozen)
    assert all(gradient.abs().sum() > 0 for gradient in gradients.values())


def test_a_step_that_is_not_finite_changes_nothing_and_names_its_sample(start) -> None:
    learner, samples = start()
    learner.learn(0, samples)
    shows = next(sample for sample in samples if sample.media)
    item = shows.media["image"][0]
    # Another digest, so that the cache does not save the step.
    shows.media["image"][0] = Item.of(item.load() * math.nan, tokens=item.tokens, caption=item.caption)
    before = {name: parameter.detach().clone() for name, parameter in learner.system.model.named_parameters()}
    moments = {name: tensor.clone() for name, tensor in _moments(learner).items()}
    with pytest.raises(TrainingError) as caught:
        learner.learn(1, samples)
    message = str(caught.value)
    assert "stage instruct, step 2: found loss language nan" in message
    assert f"nothing was updated; samples that are not finite alone: {shows.id};" in message
    assert all(torch.equal(p, before[name]) for name, p in learner.system.model.named_parameters())
    assert all(torch.equal(tensor, moments[name]) for name, tensor in _moments(learner).items())


def _moments(learner: Learner) -> dict[str, torch.Tensor]:
    return {f"{i}{key}": v for i, state in enumerate(learner.optimizer.state.values()) for key, v in state.items()}


def test_the_norm_is_told_before_clipping_and_the_update_is_clipped(start) -> None:
    learner, samples = start(clip=1e-3)
    record = learner.learn(0, samples)
    assert record["grad_norm"] > 1e-2
    clipped = torch.nn.utils.get_total_norm([p.grad for p in learner.parameters if p.grad is not None])
    assert float(clipped) == pytest.approx(1e-3, rel=1e-2)
    assert record["grad_norm"] == pytest.approx(math.hypot(*record["grad_norms"].values()))


def test_two_objectives_of_a_kind_have_two_names() -> None:
    first, second = LanguageConfig(), LanguageConfig(weight=2.0)
    assert named([first, second]) == {"language": first, "language-2": second}
