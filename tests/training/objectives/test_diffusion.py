"""Denoising loss."""

import pytest
import torch

from modalink.training.objectives.diffusion import DiffusionConfig
from modalink.training.randomness import ItemRngs
from tests.training.objectives.conftest import unlearned

KEEPING, DROPPING = DiffusionConfig(condition_dropout=0.0), DiffusionConfig(condition_dropout=0.5)
HALVING = DiffusionConfig(condition_dropout=0.0, share=0.5)
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


def test_a_share_stands_for_all_and_is_drawn_anew_for_each_item(batch, tutor, output) -> None:
    made, sums, counts = MADE.clone().requires_grad_(), [], []
    for step in range(400):
        tutor.seen.clear()
        sums.append(HALVING.sum(output(made), batch, {"image": tutor}, ItemRngs(0, step, [0, 1])))
        counts.append(len(tutor.seen[0]) if tutor.seen else 0)
    whole = KEEPING.sum(output(MADE), batch, {"image": tutor}, ItemRngs(0, 0, [0, 1]))
    assert torch.stack(sums).mean().item() == pytest.approx(float(whole), rel=0.1)
    assert {*counts} == {0, 1, 2, 3}
    # A micro-batch of which nothing is drawn can go backward like any other.
    sums[counts.index(0)].backward()
    assert torch.equal(made.grad, torch.zeros_like(made))
    assert HALVING.count(batch) == 3


def test_which_items_are_drawn_does_not_depend_on_the_micro_batch_or_on_marks(batch, tutor, output) -> None:
    for step in range(8):
        rngs, swapped = ItemRngs(0, step, [4, 9]), ItemRngs(0, step, [9, 4])
        drawn, other = (HALVING.drawn("image", batch.targets["image"], one) for one in (rngs, swapped))
        assert (0 in drawn) == (1 in other)
        assert (1 in drawn) == (0 in other)
        assert HALVING.drawn("image", unlearned(batch, 1).targets["image"], rngs) == [i for i in drawn if i != 1]
