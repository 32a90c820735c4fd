"""Items of several lengths in one record."""

import pytest
import torch

from modalink.errors import PartError
from modalink.ragged import Layout, Ragged, by_shape


def layouts(*lengths: int) -> list[Layout]:
    return [Layout.of_units(length) for length in lengths]


def test_a_layout_counts_its_tokens() -> None:
    before = Layout.of_units(5, tiles=(2, 2))
    after = before.each(6, grid=(2, 3))
    assert (before.tokens, after.tokens, after.units, after.tiles) == (5, 30, 5, (2, 2))


def test_the_thumbnail_stands_first_or_last_where_one_block_is_no_tile():
    assert Layout.of_units(4, tiles=(2, 2)).thumbnail is None and Layout.of_units(3).thumbnail is None
    assert Layout.of_units(5, tiles=(2, 2)).thumbnail == 0
    assert Layout.of_units(5, tiles=(2, 2), thumbnail_last=True).thumbnail == 4


def test_blocks_lie_on_one_grid_or_on_their_own():
    item = Layout.of_units(2)
    assert item.on_grids([(2, 3), (2, 3)]) == Layout(2, (6, 6), (2, 3))
    uneven = item.on_grids([(2, 3), (1, 2)])
    assert (uneven.blocks, uneven.grid, uneven.block_grids) == ((6, 2), None, ((2, 3), (1, 2)))
    assert item.block_grids == (None, None) and uneven.each(4).block_grids == (None, None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"units": 0, "blocks": (1,)}, "0 units"),
        ({"units": 1, "blocks": ()}, "needed some"),
        ({"units": 2, "blocks": (4, 5), "grid": (2, 2)}, "grid"),
        ({"units": 2, "blocks": (4, 4), "tiles": (2, 2)}, "2 blocks and tiles"),
        ({"units": 2, "blocks": (4, 4), "times_s": (0.0,)}, "1 times"),
        ({"units": 2, "blocks": (4, 5), "grids": ((2, 2), (2, 2))}, r"grids of \(\(2, 2\), \(2, 2\)\)"),
        ({"units": 2, "blocks": (4, 4), "grid": (2, 2), "grids": ((2, 2), (2, 2))}, "grids of"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(PartError, match=says):
        Layout(**wrong)


def test_items_come_out_as_they_went_in() -> None:
    items = [torch.randn(n, 3) for n in (2, 5, 1)]
    ragged = Ragged.of(items, layouts(2, 5, 1))
    assert all(torch.equal(one, other) for one, other in zip(ragged, items, strict=True))
    picked = ragged.take([2, 0, 2])
    assert picked.lengths == (1, 2, 1) and torch.equal(picked.values[1:3], items[0])


def test_padding_is_marked() -> None:
    values, held = Ragged.of([torch.ones(n, 2) for n in (1, 3)], layouts(1, 3)).padded()
    assert held.tolist() == [[True, False, False], [True, True, True]]
    assert values.sum(2).tolist() == [[2, 0, 0], [2, 2, 2]]


def test_units_of_two_shapes_do_not_join() -> None:
    with pytest.raises(PartError, match=r"shapes \[\(2,\), \(3,\)\]"):
        Ragged.of([torch.ones(1, 2), torch.ones(1, 3)], layouts(1, 1))
    with pytest.raises(PartError, match=r"items of \(1, 2\) rows"):
        Ragged.of([torch.ones(1, 2), torch.ones(2, 2)], layouts(1, 2)).stack()


def test_rows_must_be_as_many_as_the_items_say() -> None:
    with pytest.raises(PartError, match="3 rows and 1 layouts for items of"):
        Ragged(torch.ones(3, 1), (2,), tuple(layouts(2)))


@pytest.mark.parametrize("lengths", [(2, 2), (2, 4)])
def test_items_are_changed_one_by_one(lengths: tuple[int, ...]) -> None:
    """The mean of neighbours: nothing of one item reaches another, whether they are even or not."""
    items = [torch.randn(n, 3) for n in lengths]
    after = [Layout(n, (n // 2,)) for n in lengths]
    halved = Ragged.of(items, layouts(*lengths)).by_item(lambda x: x.unflatten(1, (-1, 2)).mean(2), after)
    for one, other in zip(halved, items, strict=True):
        assert torch.allclose(one, other.unflatten(0, (-1, 2)).mean(1))


def test_items_of_one_shape_are_computed_together_and_keep_their_order() -> None:
    asked = []

    def sums(same: torch.Tensor, places: list[int]) -> torch.Tensor:
        asked.append((tuple(same.shape), places))
        return same.flatten(1).sum(1)

    items = [torch.full(shape, float(number)) for number, shape in enumerate([(2, 3), (4,), (2, 3), (4,), (1,)])]
    assert by_shape(items, sums).tolist() == [0.0, 4.0, 12.0, 12.0, 4.0]
    assert asked == [((2, 2, 3), [0, 2]), ((2, 4), [1, 3]), ((1, 1), [4])]
