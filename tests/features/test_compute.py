"""Outputs whose bits depend on the item alone."""

import pytest
import torch

from modalink.features.cache import FeatureCache, FeatureKey
from modalink.features.compute import Once

ITEMS = torch.randn(9, 4)
NAMES = [f"item {i}" for i in range(9)]
KEY = FeatureKey.of("weights", {}, {}, torch.float32)


@pytest.fixture
def once() -> Once:
    return Once(FeatureCache(chunk=4), torch.float32, torch.device("cpu"))


def test_items_are_computed_once_and_in_chunks_of_one_size(once: Once) -> None:
    sizes: list[int] = []

    def double(places: list[int]) -> list[torch.Tensor]:
        sizes.append(len(places))
        return [*(ITEMS[places] * 2)]

    for _ in range(2):
        assert torch.equal(torch.stack(once.get(KEY, NAMES, double)), ITEMS * 2)
    # One more than three chunks: the one that compares the places of a chunk.
    assert sizes == [4] * 4


def test_a_module_whose_result_depends_on_the_place_computes_items_alone(once: Once) -> None:
    def rounded_by_place(places: list[int]) -> list[torch.Tensor]:
        return [*(ITEMS[places] * (1 + torch.arange(len(places))[:, None] * torch.finfo(torch.float32).eps))]

    assert torch.equal(torch.stack(once.get(KEY, NAMES, rounded_by_place)), ITEMS)


def test_each_shape_is_asked_anew(once: Once) -> None:
    def steady_when_small(places: list[int]) -> list[torch.Tensor]:
        return [*(ITEMS[places] + (torch.arange(len(places))[:, None] if large else 0))]

    large = False
    found = once.get(KEY, NAMES[:4], steady_when_small, [(8, 8)] * 4)
    assert torch.equal(torch.stack(found), ITEMS[:4])
    large = True
    found = once.get(KEY, NAMES[4:8], lambda p: steady_when_small([i + 4 for i in p]), [(16, 16)] * 4)
    assert torch.equal(torch.stack(found), ITEMS[4:8])
