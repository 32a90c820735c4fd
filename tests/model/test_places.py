"""The places in tokens that stand for media."""

import pytest
import torch

from modalink.errors import PromptError
from modalink.model.places import Placement, places_of, signal_runs

IDS = torch.tensor([[9, 9, 9, 1, 9], [1, 9, 9, 2, 0]])


def test_placeholders_are_shared_out_in_reading_order():
    found = Placement.find(IDS, 9, [3, 1, 2], "image")
    assert found.index.tolist() == [0, 1, 2, 4, 6, 7]
    assert (found.lengths, found.samples) == ((3, 1, 2), ("row 0", "row 0", "row 1"))


@pytest.mark.parametrize(
    ("lengths", "says"),
    [
        ([3, 1], r"6 image placeholder tokens \(row 0: 4, row 1: 2\) and 2 image items of 1 to 3 prompt tokens"),
        ([], "6 image placeholder tokens .* and 0 image items"),
        ([3, 2, 1], "the 2 placeholder tokens of image item 2 in rows 0 and 1"),
    ],
)
def test_items_that_do_not_fit_are_named(lengths, says):
    with pytest.raises(PromptError, match=says):
        Placement.find(IDS, 9, lengths, "image")


def test_an_item_of_another_length_than_its_places_is_named_with_its_sample():
    placed = Placement.of([[0, 1], [4, 5, 6]], ["first", "second"])
    placed.check((2, 3), "audio")
    with pytest.raises(PromptError, match="second: audio item 2 of the batch has 3 placeholder tokens and 4 prompt"):
        placed.check((2, 4), "audio")
    with pytest.raises(PromptError, match="2 runs of audio placeholders and 1 audio items"):
        placed.check((2,), "audio")


def test_whole_runs_of_signal_tokens_are_found_and_torn_ones_refused():
    spoken = torch.tensor([[5, 6, 1, 5], [6, 0, 0, 0]])
    with pytest.raises(PromptError, match="no whole runs of 3"):
        signal_runs(spoken, [5, 6, 7], "image")
    assert signal_runs(spoken, [5, 6], "image").index.tolist() == [0, 1, 3, 4]
    assert signal_runs(spoken, [8], "image") is None


def test_places_are_those_of_each_item_in_turn():
    assert [*places_of([1, 9, 9, 2, 9], [9], [2, 1])] == [[1, 2], [4]]
