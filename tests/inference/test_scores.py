"""Signal tokens come in whole runs or not at all."""

import pytest
import torch

from modalink.errors import GenerationError
from modalink.inference.scores import Numbers, Silent, WholeRuns

RUNS = {"image": [5, 6, 7], "audio": [9]}


def possible(last: list[int], length: int = 3) -> list[list[int]]:
    ids = torch.zeros(len(last), length, dtype=torch.long)
    ids[:, -1] = torch.tensor(last)
    scores = WholeRuns(RUNS, longest=10)(ids, torch.arange(12.0).expand(len(last), -1))
    return [[token for token in range(12) if score[token] > -torch.inf] for score in scores]


def test_a_run_that_has_begun_is_finished_and_none_begins_out_of_order():
    free = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert possible([1, 5, 6, 7, 9]) == [free, [6], [7], free, free]


def test_a_run_that_would_not_fit_does_not_begin():
    short = [0, 1, 2, 3, 4, 8, 9, 10, 11]
    assert possible([1], length=7) == [[*short[:5], 5, *short[5:]]]
    assert possible([1], length=8) == [short]
    assert possible([6], length=9) == [[7]]


def test_scores_given_are_left_as_they_are():
    scores = torch.zeros(1, 12)
    WholeRuns(RUNS, longest=10)(torch.tensor([[5]]), scores)
    assert not scores.any()
    assert torch.equal(WholeRuns({}, longest=10)(torch.tensor([[5]]), scores), scores)


def test_what_is_never_spoken_and_what_would_not_fit_is_taken_out():
    scores = torch.zeros(3, 12)
    Silent(RUNS, never=[11])(scores, rooms=[3, 2, 0])
    silent = [[token for token in range(12) if row[token] == -torch.inf] for row in scores]
    assert silent == [[6, 7, 11], [5, 6, 7, 11], [5, 6, 7, 9, 11]]


def test_scores_that_are_no_numbers_are_refused():
    ids, scores = torch.tensor([[5]]), torch.zeros(1, 12)
    assert Numbers()(ids, scores) is scores
    scores[0, 3] = torch.nan
    with pytest.raises(GenerationError, match="scores are not numbers"):
        Numbers()(ids, scores)
