"""Draws that depend on their place alone."""

import random

import numpy as np
import torch

from modalink.training.randomness import ItemRngs, seed_everything, seed_of


def _draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_place_has_one_seed_and_two_places_have_two() -> None:
    assert seed_of(0, "pretrain", 3) == seed_of(0, "pretrain", 3)
    assert (
        len({seed_of(0, "pretrain", 3), seed_of(0, "pretrain", 4), seed_of(1, "pretrain", 3), seed_of(0, "it", 3)}) == 4
    )
    assert 0 <= seed_of("any") < 2**63


def test_seeding_a_place_again_repeats_all_three_generators() -> None:
    seed_everything(0, 5)
    first = _draws()
    _draws()
    seed_everything(0, 5)
    assert _draws() == first
    seed_everything(0, 6)
    assert not set(_draws()) & set(first)


def test_items_of_one_sample_and_purposes_are_told_apart() -> None:
    rngs = ItemRngs(0, 0, [3, 8])
    noise = [torch.rand((), generator=rng).item() for rng in rngs.of("noise", [0, 0, 1])]
    drop = [torch.rand((), generator=rng).item() for rng in rngs.of("drop", [0, 0, 1])]
    assert len({*noise, *drop}) == 6
    alone = ItemRngs(0, 0, [8])
    assert torch.rand((), generator=alone.of("noise", [0])[0]).item() == noise[2]
