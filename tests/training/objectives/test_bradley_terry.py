"""Rewards of pairs: TRL's number in float64, ties, several replies, and margins.

The number was made once by TRL 1.16's `RewardTrainer.compute_loss`, called on a stand-in of a model with these rewards.
"""

import pytest
import torch
from torch.nn import functional

from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sides import Judgement
from modalink.training.objectives import Output
from modalink.training.objectives.bradley_terry import BradleyTerryConfig
from modalink.training.randomness import ItemRngs


def _batch(*samples: tuple[float | None, ...]) -> Batch:
    def side(rank: int, score: float | None) -> Prepared:
        return Prepared("s", [1, 5 + rank], [IGNORED, 5 + rank], judgement=Judgement(rank, score))

    made = []
    for scores in samples:
        first, *others = (side(rank, score) for rank, score in enumerate(scores))
        made.append(Prepared("s", first.input_ids, first.labels, judgement=first.judgement, alternatives=tuple(others)))
    return collate(made, packed=True, pad_id=0)


def _mean(objective: BradleyTerryConfig, batch: Batch, *rewards: float) -> float:
    output = Output(rewards=torch.tensor(rewards, dtype=torch.float64))
    return objective.sum(output, batch, {}, ItemRngs(0, 0, [])).item() / objective.count(batch)


def test_pairs_with_margins_and_centring_cost_what_they_cost_in_trl() -> None:
    batch = _batch((0.5, 0.0), (0.0, None), (2.0, 0.0))
    # The second pair has no margin. TRL's rows: better 1, -0.5, 0.2; worse 0.3, -0.1, 0.9.
    found = _mean(BradleyTerryConfig(margins=True), batch, 1.0, 0.3, -0.5, -0.1, 0.2, 0.9)
    assert found == pytest.approx(1.4362658945193783, abs=1e-9)


def test_margins_are_left_out_unless_asked_for_and_zero_rewards_cost_ln_2() -> None:
    batch = _batch((3.0, 1.0))
    assert _mean(BradleyTerryConfig(), batch, 0.0, 0.0) == pytest.approx(0.6931471805599453)
    expected = float(-functional.logsigmoid(torch.tensor(-2.0)))
    assert _mean(BradleyTerryConfig(margins=True), batch, 0.0, 0.0) == pytest.approx(expected, abs=1e-6)


def test_replies_of_the_same_score_shall_be_worth_the_same() -> None:
    batch = _batch((1.0, 1.0))
    assert BradleyTerryConfig().count(batch) == 1
    assert _mean(BradleyTerryConfig(centring=0.0, ties=0.5), batch, 1.0, -1.0) == pytest.approx(0.5 * 4.0)
    assert BradleyTerryConfig(ties=0.0).count(batch) == 0


def test_a_prompt_with_several_replies_counts_once() -> None:
    batch = _batch((None, None, None), (None, None))
    objective = BradleyTerryConfig(centring=0.0)
    assert objective.count(batch) == 2
    rewards = [2.0, 1.0, 0.0, 1.0, 0.0]
    one, two = (float(-functional.logsigmoid(torch.tensor(x))) for x in (1.0, 2.0))
    assert _mean(objective, batch, *rewards) == pytest.approx(((one + two + one) / 3 + one) / 2, abs=1e-6)
