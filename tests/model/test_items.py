"""Media made ready."""

import torch

from modalink.model.items import Item, ragged, texts


def test_an_item_is_loaded_when_it_is_read():
    loaded = []

    def load():
        loaded.append(True)
        return torch.ones(2, 3)

    first = Item.of(torch.zeros(1, 3), text=(4, 5))
    second = Item(first.layout.of_units(2), "digest", load)
    assert not loaded
    assert ragged([first, second]).lengths == (1, 2) and loaded
    said = texts([first, second])
    assert (said.values.tolist(), said.lengths) == ([4, 5], (2, 0))
    assert texts([second]) is None
