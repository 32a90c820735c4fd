"""Objectives about judged replies, against TRL's numbers in float64 and the constants that are known.

The numbers were made once by TRL 1.16's own methods (`DPOTrainer._compute_loss`, `KTOTrainer._compute_loss`,
`CPOTrainer.cpo_loss`, `ORPOTrainer.odds_ratio_loss`), called on stand-ins of a model that give these log-probabilities.
"""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sides import Judgement
from modalink.training.objectives import ObjectiveConfig, Output
from modalink.training.objectives._dpo_losses import LOSSES
from modalink.training.objectives.bco import BcoConfig
from modalink.training.objectives.cpo import CpoConfig
from modalink.training.objectives.ddpo import DdpoConfig, unchanged
from modalink.training.objectives.dpo import DpoConfig
from modalink.training.objectives.kto import KtoConfig
from modalink.training.objectives.language import LanguageConfig
from modalink.training.objectives.mdpo import MdpoConfig
from modalink.training.objectives.orpo import OrpoConfig
from modalink.training.objectives.povid import PovidConfig
from modalink.training.objectives.rrhf import RrhfConfig
from modalink.training.objectives.simpo import SimpoConfig
from modalink.training.objectives.v_dpo import VDpoConfig
from modalink.training.randomness import ItemRngs

LENGTHS = ((3, 2), (2, 4), (1, 1))
"""Tokens of the better and the worse reply of each pair."""
BY_TRL = {
    "sigmoid": 0.4622756726591146,
    "ipo": 1.1336767718581815,
    "hinge": 0.4594512962421911,
    "robust": 0.39470708468938853,
    "sigmoid_norm": 0.5926385231583855,
    "nca_pair": 1.3468466073294263,
    "sppo_hard": 7.749118752755077,
    "apo_zero": 0.8735576100291853,
    "apo_down": 0.983315246042563,
    "exo_pair": 0.26096988398229365,
    "cdpo": 0.5163305430348956,  # of `cpo_loss` with the log-ratios in the place of log-probabilities
}
LN2 = math.log(2)


def _side(tokens: Sequence[int], rank: int, **judged: Any) -> Prepared:
    return Prepared("s", [1, 2, *tokens], [IGNORED, IGNORED, *tokens], judgement=Judgement(rank, **judged))


def _sample(*sides: Prepared) -> Prepared:
    first, *others = sides
    return Prepared(first.id, first.input_ids, first.labels, judgement=first.judgement, alternatives=tuple(others))


def _batch(*samples: Prepared) -> Batch:
    return collate(samples, packed=True, pad_id=0)


def _pairs() -> Batch:
    return _batch(*(_sample(_side([5] * c, 0), _side([6] * r, 1)) for c, r in LENGTHS))


def _logprobs(seed: int) -> Tensor:
    """Of the tokens of all pairs: below 0, in float64."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [count for pair in LENGTHS for count in pair]
    return torch.cat([-(torch.rand(count, generator=generator, dtype=torch.float64) * 3) for count in sizes])


def _mean(objective: ObjectiveConfig, output: Output, batch: Batch) -> float:
    return objective.sum(output, batch, {}, ItemRngs(0, 0, [])).item() / objective.count(batch)


@pytest.fixture
def moved() -> Output:
    return Output(logprobs=_logprobs(1), reference_logprobs=_logprobs(2))


@pytest.fixture
def still() -> Output:
    return Output(logprobs=_logprobs(1), reference_logprobs=_logprobs(1))


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_pairs_are_those_of_trl(loss: str, moved: Output) -> None:
    objective = DpoConfig.model_validate({"loss": loss, "beta": 0.3})
    assert objective.count(_pairs()) == 3
    assert _mean(objective, moved, _pairs()) == pytest.approx(BY_TRL[loss], abs=1e-9)


def test_tails_of_longer_replies_weigh_less_for_policy_and_reference_alike(moved: Output, still: Output) -> None:
    objective = DpoConfig(beta=0.3, tail=0.25)
    assert _mean(objective, moved, _pairs()) == pytest.approx(0.5447371208581661, abs=1e-9)
    assert _mean(objective, still, _pairs()) == pytest.approx(LN2, abs=1e-12)


def test_losses_without_a_reference_are_those_of_trl() -> None:
    output = Output(logprobs=_logprobs(1))
    numbers = {SimpoConfig(): 0.41448655140108864, CpoConfig(): 0.5885778764780651}
    for objective, number in numbers.items():
        assert _mean(objective, output, _pairs()) == pytest.approx(number, abs=1e-9)
    assert _mean(OrpoConfig(), output, _pairs()) == pytest.approx(0.25033292174339294, abs=1e-7)  # TRL's in float32


@pytest.mark.parametrize(
    ("loss", "constant"),
    [
        *(("sigmoid", LN2), ("sigmoid_norm", LN2), ("robust", LN2), ("cdpo", LN2), ("hinge", 1.0), ("apo_zero", 1.0)),
        *(("apo_down", 1.0), ("nca_pair", 2 * LN2), ("ipo", (1 / 0.6) ** 2), ("sppo_hard", 2 * (0.5 / 0.3) ** 2)),
    ],
)
def test_where_nothing_has_moved_losses_are_known(loss: str, constant: float, still: Output) -> None:
    objective = DpoConfig.model_validate({"loss": loss, "beta": 0.3})
    assert _mean(objective, still, _pairs()) == pytest.approx(constant, abs=1e-12)


def test_a_setting_that_a_loss_does_not_read_is_refused() -> None:
    with pytest.raises(
        ValueError, match="found smoothing beside the loss 'sigmoid', which cdpo, exo_pair, robust read"
    ):
        DpoConfig(smoothing=0.2)


def test_pairs_with_a_large_margin_hold_on_to_the_reference_more_strongly(moved: Output) -> None:
    samples = [
        _sample(_side([5] * c, 0, score=3.0), _side([6] * r, 1, score=3.0 - margin))
        for (c, r), margin in zip(LENGTHS, (1.0, 2.0, 3.0), strict=True)
    ]
    objective = DpoConfig(beta=0.3, margin_weight=0.5, margin_slope=2.0)
    ratios = [part.sum() for part in (_logprobs(1) - _logprobs(2)).split([n for pair in LENGTHS for n in pair])]
    expected = [
        -functional.logsigmoid(0.3 * (1 + 0.5 * (1 - math.exp(-2 * margin))) * (ratios[2 * n] - ratios[2 * n + 1]))
        for n, margin in enumerate((1.0, 2.0, 3.0))
    ]
    assert _mean(objective, moved, _batch(*samples)) == pytest.approx(float(sum(expected)) / 3, abs=1e-12)


def test_kto_is_trl_s_with_the_mean_of_mismatched_replies(moved: Output) -> None:
    objective = KtoConfig(beta=0.3, undesirable=1.2)
    assert objective.count(_pairs()) == 6
    for shift, number in ((0.6048027818050495, 0.48140203062960346), (0.0, 0.48556697452950487)):
        noted = Output(logprobs=moved.logprobs, reference_logprobs=moved.reference_logprobs, noted={"moved": shift})
        assert _mean(objective, noted, _pairs()) == pytest.approx(number, abs=1e-9)
    assert objective.noted({}, {"moved": -3.0, "count": 2.0}) == {"moved": 0.0}
    assert objective.noted({}, {"moved": 3.0, "count": 2.0}) == {"moved": 1.5}


def test_kto_takes_replies_that_were_judged_alone_and_measures_by_mismatched_ones() -> None:
    mismatched = _side([7, 7], 0, variant="mismatched")
    batch = _batch(_sample(_side([5], 0, label=True), mismatched), _sample(_side([6, 6], 0, label=False)))
    policy = torch.tensor([-1.0, -0.5, -0.5, -2.0, -2.0], dtype=torch.float64)
    output = Output(logprobs=policy, reference_logprobs=policy - 1)
    objective = KtoConfig(beta=1.0)
    found = {name: float(value) for name, value in objective.statistics(output, batch).items()}
    assert found == {"moved": 2.0, "count": 1.0}
    noted = Output(logprobs=policy, reference_logprobs=policy - 1, noted=objective.noted({}, found))
    expected = (1 - torch.sigmoid(torch.tensor(1.0 - 2.0))) + (1 - torch.sigmoid(torch.tensor(2.0 - 2.0)))
    assert objective.count(batch) == 2
    assert _mean(objective, noted, batch) == pytest.approx(float(expected) / 2, abs=1e-7)
    assert _mean(objective, Output(logprobs=policy, reference_logprobs=policy), batch) == pytest.approx(0.5)


def test_bco_s_shift_is_the_mean_of_all_rewards_so_far(moved: Output, still: Output) -> None:
    objective = BcoConfig(beta=0.3)
    assert _mean(objective, moved, _pairs()) == pytest.approx(1.2053013795356575, abs=1e-9)
    assert _mean(objective, still, _pairs()) == pytest.approx(2 * LN2, abs=1e-12)
    sums = {name: float(value) for name, value in objective.statistics(moved, _pairs()).items()}
    rewards = 0.3 * torch.stack(
        [part.sum() for part in (_logprobs(1) - _logprobs(2)).split([n for pair in LENGTHS for n in pair])]
    )
    assert sums == pytest.approx({"sum": float(rewards.sum()), "count": 6.0})
    first = objective.noted({}, sums)
    assert objective.noted(first, {"sum": 12.0, "count": 6.0}) == pytest.approx(
        {"seen": 12.0, "delta": (float(rewards.sum()) + 12) / 12}
    )
    assert BcoConfig(momentum=0.9).noted(first, {"sum": 12.0, "count": 6.0})["delta"] == pytest.approx(
        0.9 * first["delta"] + 0.1 * 2.0
    )
    shifted = Output(logprobs=moved.logprobs, reference_logprobs=moved.reference_logprobs, noted={"delta": 0.2})
    pairs = rewards.view(3, 2)
    expected = -functional.logsigmoid(pairs[:, 0] - 0.2) - functional.logsigmoid(0.2 - pairs[:, 1])
    assert _mean(objective, shifted, _pairs()) == pytest.approx(float(expected.mean()), abs=1e-12)


def test_tokens_that_a_correction_changed_weigh_more() -> None:
    same = [10, 11, 12, 13]
    chosen, rejected = [*same, 20, 30, 31], [*same, 40, 41, 30, 31]
    assert unchanged(chosen, rejected, 3) == ([True] * 4 + [False] * 3, [True] * 4 + [False] * 4)
    assert unchanged(chosen, rejected, 2) == ([True] * 4 + [False] + [True] * 2, [True] * 4 + [False] * 2 + [True] * 2)
    batch = _batch(_sample(_side(chosen, 0), _side(rejected, 1)))
    ratios = torch.arange(15, dtype=torch.float64) / 10
    output = Output(logprobs=ratios, reference_logprobs=torch.zeros_like(ratios))
    better = torch.tensor([1.0] * 4 + [5.0] * 3, dtype=torch.float64)
    worse = torch.tensor([1.0] * 4 + [5.0] * 4, dtype=torch.float64)
    sums = [(ratios[:7] * better).sum(), (ratios[7:] * worse).sum()]
    means = [sums[0] / better.sum(), sums[1] / worse.sum()]
    for divide, (one, other) in ((True, means), (False, sums)):
        expected = -functional.logsigmoid(0.5 * (one - other))
        assert _mean(DdpoConfig(divide=divide), output, batch) == pytest.approx(expected.item(), abs=1e-12)


def test_several_ranked_replies_cost_by_each_that_stands_the_wrong_way_round() -> None:
    batch = _batch(_sample(_side([5], 0), _side([6, 6], 1), _side([7], 2)), _sample(_side([8], 0)))
    output = Output(logprobs=torch.tensor([-2.0, -1.0, -2.0, -1.0, -9.0], dtype=torch.float64))
    assert RrhfConfig().count(batch) == 1
    # Means: -2, -1.5 and -1: each worse one is likelier.
    assert _mean(RrhfConfig(), output, batch) == pytest.approx(0.5 + 1.0 + 0.5)
    assert _mean(RrhfConfig(length_power=0.0), output, batch) == pytest.approx(0.0 + 1.0 + 2.0)


def _with_variants(*variants: tuple[str, int, int]) -> Batch:
    """A pair of two and three tokens, and variants of it."""
    tokens = {0: [5, 6], 1: [5, 7, 8]}
    others = [_side(tokens[rank], rank, variant=name) for name, rank, _ in variants]
    return _batch(_sample(_side(tokens[0], 0), _side(tokens[1], 1), *others))


def _sums(seed: int, *counts: int) -> tuple[Output, list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    ratios = torch.randn(sum(counts), generator=generator, dtype=torch.float64)
    output = Output(logprobs=ratios.requires_grad_(), reference_logprobs=torch.zeros_like(ratios))
    return output, [part for part in ratios.split(list(counts))]


def test_mdpo_adds_the_pair_of_media_and_an_anchor() -> None:
    batch = _with_variants(("damaged", 0, 2))
    output, (chosen, rejected, damaged) = _sums(0, 2, 3, 2)
    better, worse, spoilt = (0.1 * part.sum() for part in (chosen, rejected, damaged))
    terms = [-functional.logsigmoid(x) for x in (better - worse, better - spoilt, better)]
    assert _mean(MdpoConfig(), output, batch) == pytest.approx(sum(terms).item(), abs=1e-12)
    alone = MdpoConfig(conditional=0.0, anchor=0.0)
    assert _mean(alone, output, batch) == pytest.approx(terms[0].item(), abs=1e-12)
    assert MdpoConfig().count(batch) == 1


def test_povid_s_worse_reply_counts_half_about_a_noisy_medium() -> None:
    batch = _with_variants(("noisy", 1, 3))
    output, (chosen, rejected, noisy) = _sums(1, 2, 3, 3)
    worse = 0.5 * rejected.sum() + 0.5 * noisy.sum()
    expected = -functional.logsigmoid(0.1 * (chosen.sum() - worse))
    assert _mean(PovidConfig(), output, batch) == pytest.approx(expected.item(), abs=1e-12)


def test_v_dpo_takes_off_what_is_said_unseen_from_where_replies_part() -> None:
    batch = _with_variants(("unseen", 0, 2), ("unseen", 1, 3))
    output, (chosen, rejected, blind, blinder) = _sums(2, 2, 3, 2, 3)
    better = chosen.sum() + 0.5 * (chosen[1:].sum() - blind[1:].sum())
    worse = rejected.sum() + 0.5 * (rejected[1:].sum() - blinder[1:].sum())
    expected = -functional.logsigmoid(0.1 * (better - worse))
    loss = VDpoConfig().sum(output, batch, {}, ItemRngs(0, 0, []))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    loss.backward()
    assert output.logprobs is not None and output.logprobs.grad is not None
    assert output.logprobs.grad[:5].abs().min() > 0 and not output.logprobs.grad[5:].any()
    plain = VDpoConfig(guidance=1.0)
    assert _mean(plain, output, batch) == pytest.approx(_mean(DpoConfig(), output, batch), abs=1e-12)


def test_of_several_replies_the_best_alone_is_spoken_by_tokens_or_by_replies() -> None:
    batch = _batch(
        _sample(_side([3, 4], 0), _side([5], 1)), _sample(_side([6], 0, label=False)), _sample(_side([7], 0))
    )
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    losses = functional.cross_entropy(logits, batch.wanted, reduction="none")
    output = Output(logits=logits)
    assert LanguageConfig().count(batch) == 3
    assert _mean(LanguageConfig(), output, batch) == pytest.approx(float(losses[[0, 1, 4]].mean()), abs=1e-6)
    assert LanguageConfig(per="reply").count(batch) == 2
    expected = (losses[:2].mean() + losses[4]) / 2
    assert _mean(LanguageConfig(per="reply"), output, batch) == pytest.approx(float(expected), abs=1e-6)
