"""What PPO computes of a step's replies is what TRL and OpenRLHF compute.

Of `policy_numbers.json`, in float64 on the arrays of `test_policy_gradient.numbers`: `trl.ppo` of TRL at f2cd577,
`trl/experimental/ppo/ppo_trainer.py` (rewards, whitening, advantages and returns, loss; replies that fill their rows);
`openrlhf.ppo` of OpenRLHF at 3c3be62 (`compute_reward`, `get_advantages_and_returns`, `PolicyLoss`, `ValueLoss`; replies
of several lengths).
"""

import pytest
import torch

from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.prepared import Prepared
from modalink.model.sampled import Drawing, Sampled
from modalink.training.objectives import Output
from modalink.training.objectives.value import ValueConfig
from modalink.training.policy_gradient import (
    aggregated,
    clipped,
    generalised_advantages,
    importance,
    policy_losses,
    token_rewards,
    value_losses,
)
from modalink.training.randomness import ItemRngs
from modalink.training.token_advantages import Gae, Judged, explained_variance, token_advantages
from tests.training.test_policy_gradient import KNOWN, numbers


def _judged(lengths):
    given = numbers()
    return [
        Judged(
            *(given["advantages"][i].item(), *(given[name][i, :n].tolist() for name in ("old", "reference", "before")))
        )
        for i, n in enumerate(lengths)
    ]


@pytest.mark.parametrize(
    ("name", "settings"), [("trl.ppo", Gae()), ("trl.ppo.whitened", Gae(gamma=0.98, whiten_rewards=True))]
)
def test_a_step_is_that_of_trl(name, settings):
    given, known = numbers(), KNOWN[name]
    found = token_advantages(_judged([6] * 4), settings, 0.05)
    advantages, returns = (torch.tensor(rows, dtype=torch.float64) for rows in (found.advantages, found.returns))
    torch.testing.assert_close(advantages, torch.tensor(known["advantages"]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(returns, torch.tensor(known["returns"], dtype=torch.float64), atol=1e-9, rtol=0)
    assert found.explained == pytest.approx(known["explained"], abs=1e-9)
    logprobs, values = (given[name].clone().requires_grad_() for name in ("logprobs", "values"))
    mask = torch.ones_like(logprobs)
    ratio = importance(logprobs - given["old"], mask, "token")
    policy = policy_losses(logprobs, ratio, advantages, clip="ppo", low=0.2, high=0.2)
    loss = policy.mean() + 0.1 * value_losses(values, given["before"], returns, 0.2).mean()
    loss.backward()
    assert loss.item() == pytest.approx(known["loss"], abs=1e-9)
    assert [logprobs.grad.norm().item(), values.grad.norm().item()] == pytest.approx(known["grad"], abs=1e-9)
    bounded = clipped(ratio, advantages, clip="ppo", low=0.2, high=0.2)
    assert bounded.mean().item() == pytest.approx(known["pg_clipped"], abs=1e-9)
    assert (
        value_losses(values, given["before"], returns, 0.2) > value_losses(values, given["before"], returns, None)
    ).double().mean() == pytest.approx(known["vf_clipped"], abs=1e-6)


def test_replies_of_several_lengths_are_those_of_openrlhf():
    given, known = numbers(), KNOWN["openrlhf.ppo"]
    mask = given["mask"]
    rewards = token_rewards(given["advantages"], given["old"] - given["reference"], mask, 0.05)
    torch.testing.assert_close(rewards, torch.tensor(known["rewards"], dtype=torch.float64), atol=1e-9, rtol=0)
    advantages, returns = generalised_advantages(rewards, given["before"], mask, 0.98, 0.9)
    for own, name in ((advantages * mask, "advantages"), (returns * mask, "returns")):
        torch.testing.assert_close(own, torch.tensor(known[name], dtype=torch.float64), atol=1e-9, rtol=0)
    found = token_advantages(_judged([6, 3, 5, 1]), Gae(gamma=0.98, lam=0.9, whiten=False), 0.05)
    for own, row, length in zip(found.advantages, known["advantages"], [6, 3, 5, 1], strict=True):
        assert own == pytest.approx(row[:length], abs=1e-9)
    logprobs, values = (given[name].clone().requires_grad_() for name in ("logprobs", "values"))
    ratio = importance(logprobs - given["old"], mask, "token")
    policy = aggregated(policy_losses(logprobs, ratio, advantages, clip="ppo", high=0.28), mask, "dapo", 8) / mask.sum()
    value = (value_losses(values, given["before"], returns, 0.2) * mask).sum() / mask.sum()
    (policy + 0.1 * value).backward()
    assert [policy.item(), value.item()] == pytest.approx([known["policy"], known["value"]], abs=1e-9)
    assert [logprobs.grad.norm().item(), values.grad.norm().item()] == pytest.approx(known["grad"], abs=1e-9)
    bounded = clipped(ratio, advantages, clip="ppo", high=0.28)
    assert ((bounded * mask).sum() / mask.sum()).item() == pytest.approx(known["clipped"], abs=1e-9)


def test_whitened_advantages_have_mean_0_and_variance_1_over_the_tokens_that_count():
    replies = _judged([6, 3, 5, 1])
    found = token_advantages([*replies[:3], Judged(9.0, (-1.0,), (-1.0,), (0.0,), counts=False)], Gae(), 0.0)
    tokens = torch.tensor([value for own in found.advantages[:3] for value in own], dtype=torch.float64)
    assert len(tokens) == 14
    assert tokens.mean().item() == pytest.approx(0, abs=1e-12) and tokens.var().item() == pytest.approx(1, abs=1e-6)
    without = token_advantages(replies[:3], Gae(), 0.0)
    assert found.advantages[:3] == [pytest.approx(own, abs=1e-12) for own in without.advantages]
    assert found.explained == pytest.approx(without.explained, abs=1e-12)
    assert token_advantages([], Gae(), 0.1).advantages == []


def test_values_that_know_the_returns_explain_them_and_their_mean_explains_nothing():
    returns, mask = torch.arange(6.0).double().reshape(2, 3), torch.ones(2, 3, dtype=torch.float64)
    assert explained_variance(returns + 5, returns, mask) == pytest.approx(1)
    assert explained_variance(torch.full_like(returns, 2.5), returns, mask) == pytest.approx(0)
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3)
    assert explained_variance(returns, torch.ones_like(returns), mask) == 0


def _batch() -> Batch:
    sides = []
    for number, (old, returns, counts) in enumerate((((0.1, 0.2), (1.0, 0.0), True), ((0.3,), (2.0,), False))):
        labels = [-100, *[5] * len(old)]
        sampled = Sampled(Drawing(), values=old, returns=returns, counts=counts)
        sides.append(Prepared(str(number), [1, *[5] * len(old)], labels, sampled=sampled))
    return collate(sides, packed=True, pad_id=0)


def test_the_objective_is_about_the_tokens_that_count():
    objective, batch = ValueConfig(clip=0.2), _batch()
    values = torch.tensor([0.5, 0.2, 9.0], dtype=torch.float64, requires_grad=True)
    output = Output(values=values)
    loss = objective.sum(output, batch, {}, ItemRngs(0, 0, [0, 1]))
    loss.backward()
    # The first moved by 0.4 and is held at 0.3, further from 1.0 than 0.5 is; the third does not count.
    assert objective.count(batch) == 2
    assert loss.item() == pytest.approx((0.7**2 + 0.2**2) / 2)
    assert values.grad.tolist() == pytest.approx([0.0, 0.2, 0.0])
    assert output.diagnostics["clipped"].tolist() == [1.0, 2.0]
