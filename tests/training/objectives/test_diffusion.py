"""Denoising loss."""

import pytest
import torch

from modalink.training.objectives.diffusion import DiffusionConfig
from modalink.training.randomness import ItemRngs
from tests.training.objectives.conftest import unlearned

KEEPING, DROPPING = DiffusionConfig(condition_dropout=0.0), DiffusionConfig(condition_dropout=0.5)
MADE = torch.stack([torch.full((2, 4), v) for v in (1.5, 5.0, 3.0)])


def test_its_units_are_all_targets_and_its_sum_their_errors(batch, tutor, output) -> None:
    found = KEEPING.sum(output(MADE), batch, {"image": tutor}, ItemRngs(0, 0, [0, 1]))
    assert DiffusionConfig().count(batch) == 3
    assert found == pytest.approx(0.5**2 + 3.0**2 + 0.0)


def test_items_without_loss_count_nothing_and_change_nobody_elses_draws(batch, tutor, output) -> None:
    marked = unlearned(batch, 1)
    for objective in (KEEPING, DROPPING):
        objective.sum(output(MADE), batch, {"image": tutor}, ItemRngs(0, 3, [0, 1]))
        objective.sum(output(MADE), marked, {"image": tutor}, ItemRngs(0, 3, [0, 1]))
        assert torch.equal(tutor.noise[-1], tutor.noise[-2][[0, 2]])
        assert torch.equal(tutor.seen[-1], tutor.seen[-2][[0, 2]])
    assert KEEPING.count(marked) == 2
    assert KEEPING.sum(output(MADE), marked, {"image": tutor}, ItemRngs(0, 3, [0, 1])) == pytest.approx(0.5**2)


def test_noise_belongs_to_the_item_wherever_the_sample_stands_in_a_micro_batch(batch, tutor, output) -> None:
    KEEPING.sum(output(MADE), batch, {"image": tutor}, ItemRngs(0, 7, [4, 9]))
    KEEPING.sum(output(MADE), batch, {"image": tutor}, ItemRngs(0, 7, [9, 4]))
    together, swapped = tutor.noise
    assert len(set(together.tolist())) == 3
    assert together[0] == swapped[1]
    assert together[1] == swapped[0]


def test_every_step_and_every_seed_draws_other_noise(batch, tutor, output) -> None:
    for rngs in (ItemRngs(0, 0, [0, 1]), ItemRngs(0, 1, [0, 1]), ItemRngs(1, 0, [0, 1])):
        KEEPING.sum(output(MADE), batch, {"image": tutor}, rngs)
    assert len({noise[0].item() for noise in tutor.noise}) == 3


def test_dropped_items_get_the_conditions_of_the_empty_text_and_give_no_gradient(batch, tutor, output) -> None:
    made = MADE.clone().requires_grad_()
    dropped = []
    for step in range(20):
        made.grad = None
        DROPPING.sum(output(made), batch, {"image": tutor}, ItemRngs(0, step, [0, 1])).backward()
        is_empty = (tutor.seen[-1] == 0).all(dim=(1, 2))
        assert torch.equal(made.grad.abs().sum(dim=(1, 2))[:2] == 0, is_empty[:2])
        dropped += is_empty.tolist()
    assert 15 < sum(dropped) < 45


def test_dropping_does_not_depend_on_the_micro_batch(batch, tutor, output) -> None:
    for step in range(8):
        DROPPING.sum(output(MADE), batch, {"image": tutor}, ItemRngs(0, step, [4, 9]))
        DROPPING.sum(output(MADE.flip(0)), batch, {"image": tutor}, ItemRngs(0, step, [9, 4]))
        straight, swapped = ((seen == 0).all(dim=(1, 2)) for seen in tutor.seen[-2:])
        assert straight[0] == swapped[1]
        assert straight[1] == swapped[0]
