"""The arithmetic of policy gradients equals that of the field's libraries, and does what it says.

`policy_numbers.json` holds values and norms of gradients, in float64 on the arrays of `numbers`: `trl.*` of TRL 1.16.0,
`GRPOTrainer._compute_loss` and `RLOOTrainer._compute_loss` called with a stand-in for the trainer; `verl.*` of
verl-project/verl at 1dda039, `verl/trainer/ppo/core_algos.py` (`compute_gae_advantage_return`, `compute_policy_loss`,
`compute_value_loss`, `kl_penalty`).
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from modalink.model.sampled import Drawing, Sampled
from modalink.model.sides import Judgement, SideTokens
from modalink.training.objectives.policy import PolicyConfig
from modalink.training.policy_gradient import (
    aggregated,
    drawn_logprobs,
    generalised_advantages,
    importance,
    kl_penalty,
    outcome_advantages,
    policy_losses,
    value_losses,
    whitened,
)

KNOWN = json.loads((Path(__file__).parent / "policy_numbers.json").read_text())


def numbers():
    rng, rows, columns = np.random.default_rng(0), 4, 6
    lengths = np.array([6, 3, 5, 1])
    mask = (np.arange(columns) < lengths[:, None]).astype(float)
    logprobs = -np.abs(rng.normal(size=(rows, columns)))
    old = logprobs + 0.6 * rng.normal(size=(rows, columns))
    reference = logprobs + 0.2 * rng.normal(size=(rows, columns))
    advantages, values = rng.normal(size=rows), rng.normal(size=(rows, columns))
    before = values + 0.3 * rng.normal(size=(rows, columns))
    rewards = np.zeros((rows, columns))
    rewards[np.arange(rows), lengths - 1] = rng.normal(size=rows)
    rewards -= 0.05 * (old - reference) * mask
    returns, by_token = rng.normal(size=(rows, columns)), rng.normal(size=(rows, columns))
    names = {"mask": mask, "logprobs": logprobs, "old": old, "reference": reference, "advantages": advantages}
    names |= {"values": values, "before": before, "rewards": rewards, "returns": returns, "by_token": by_token}
    return {name: torch.tensor(array) for name, array in names.items()}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("trl.grpo", {"aggregation": "grpo"}),
        ("trl.bnpo", {"aggregation": "bnpo"}),
        ("trl.dapo", {"aggregation": "dapo"}),
        ("trl.dr_grpo", {"aggregation": "dr_grpo"}),
        ("trl.grpo.k3", {"aggregation": "grpo", "kl": 0.1, "kl_estimator": "k3"}),
        ("trl.bnpo.k3", {"aggregation": "bnpo", "kl": 0.1, "kl_estimator": "k3"}),
        ("trl.dapo.k3", {"aggregation": "dapo", "kl": 0.1, "kl_estimator": "k3"}),
        ("trl.dr_grpo.k3", {"aggregation": "dr_grpo", "kl": 0.1, "kl_estimator": "k3"}),
        ("trl.dapo.k3_ratio", {"aggregation": "dapo", "kl": 0.1, "kl_estimator": "k3_ratio"}),
        ("trl.grpo.delta", {"aggregation": "grpo", "most": 1.3}),
        ("trl.gspo", {"aggregation": "grpo", "ratio": "sequence", "low": 3e-4, "high": 4e-4}),
        ("trl.gspo.k3_ratio", {"aggregation": "grpo", "ratio": "sequence", "kl": 0.1, "kl_estimator": "k3_ratio"}),
        ("trl.cispo", {"aggregation": "dapo", "clip": "cispo", "most": 1.1}),
        ("trl.cispo.5", {"aggregation": "dapo", "clip": "cispo"}),
        ("trl.rloo", {"aggregation": "grpo", "ratio": "sequence_sum"}),
    ],
)
def test_losses_and_gradients_are_those_of_trl(name, settings):
    given = numbers()
    objective = PolicyConfig.model_validate({"kl": 0.0, **settings})
    logprobs = given["logprobs"].clone().requires_grad_()
    advantages = given["advantages"][:, None].expand_as(logprobs)
    total = objective.loss(logprobs, given["mask"], given["old"], given["reference"], advantages, 8)
    loss = total / (given["mask"].sum() if objective.aggregation == "dapo" else len(logprobs))
    loss.backward()
    assert [loss.item(), logprobs.grad.norm().item()] == pytest.approx(KNOWN[name], abs=1e-9)


def test_advantages_and_returns_are_those_of_verl():
    given = numbers()
    advantages, returns = generalised_advantages(given["rewards"], given["values"], given["mask"], 0.98, 0.9)
    tokens = advantages[given["mask"] > 0]
    own = whitened(advantages, given["mask"], float(tokens.mean()), float(tokens.var()))
    torch.testing.assert_close(own, torch.tensor(KNOWN["verl.gae.advantages"]).double(), atol=1e-6, rtol=0)
    expected = torch.tensor(KNOWN["verl.gae.returns"], dtype=torch.float64)
    torch.testing.assert_close(returns * given["mask"], expected, atol=1e-9, rtol=0)


def test_dual_clip_and_clipped_values_are_those_of_verl():
    given = numbers()
    logprobs, mask = given["logprobs"].clone().requires_grad_(), given["mask"]
    ratio = importance(logprobs - given["old"], mask, "token")
    losses = policy_losses(logprobs, ratio, given["by_token"], clip="ppo", low=0.2, high=0.28, most=1.3)
    loss = aggregated(losses, mask, "dapo", 8) / mask.sum()
    loss.backward()
    assert [loss.item(), logprobs.grad.norm().item()] == pytest.approx(KNOWN["verl.policy"], abs=1e-9)
    values = given["values"].clone().requires_grad_()
    loss = (value_losses(values, given["before"], given["returns"], 0.2) * mask).sum() / mask.sum()
    loss.backward()
    assert [loss.item(), values.grad.norm().item()] == pytest.approx(KNOWN["verl.value"], abs=1e-9)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_estimators_are_those_of_verl(kind):
    given = numbers()
    found = (kl_penalty(given["logprobs"], given["reference"], kind) * given["mask"]).sum()
    assert float(found) == pytest.approx(KNOWN[f"verl.{kind}"], abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "reaches"), [("k1", None), ("k2", "reverse"), ("k3", "forward"), ("k3_ratio", "reverse")]
)
def test_only_some_estimators_have_the_gradient_of_the_divergence(kind, reaches):
    """Of a policy over five tokens all of which are drawn, each as often as it is likely."""
    rng = np.random.default_rng(1)
    scores, other = (torch.tensor(rng.normal(size=5)) for _ in range(2))
    scores.requires_grad_()
    policy, reference = scores.log_softmax(-1), other.log_softmax(-1)
    drawn = policy.detach().exp()
    ratio = (policy - policy.detach()).exp()
    term = kl_penalty(policy[None], reference[None], kind, ratio[None])[0]
    (found,) = torch.autograd.grad((drawn * term).sum(), scores, retain_graph=True)
    divergences = {
        "reverse": (policy.exp() * (policy - reference)).sum(),
        "forward": (reference.exp() * (reference - policy)).sum(),
    }
    expected = torch.zeros(5, dtype=torch.float64)
    if reaches is not None:
        (expected,) = torch.autograd.grad(divergences[reaches], scores, retain_graph=True)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_replies_are_compared_with_each_other():
    rewards = [[1.0, 0.0, 0.0], [2.0, 2.0], [5.0]]
    everything = [reward for own in rewards for reward in own]

    def advantages(kind):
        return outcome_advantages(rewards, kind, everything)

    third = 1 / 3
    scale = np.std([1, 0, 0], ddof=1) + 1e-4
    assert advantages("dr_grpo") == [pytest.approx([2 * third, -third, -third]), [0.0, 0.0], [0.0]]
    assert advantages("grpo")[0] == pytest.approx([2 * third / scale, -third / scale, -third / scale])
    assert advantages("batch")[0][0] == pytest.approx(2 * third / (np.std(everything, ddof=1) + 1e-4))
    assert advantages("rloo") == [pytest.approx([1.0, -0.5, -0.5]), [0.0, 0.0], [0.0]]
    assert [value for own in advantages("reinforce") for value in own] == pytest.approx(
        list(np.array(everything) - np.mean(everything))
    )


def test_tokens_that_cannot_come_have_no_share_of_the_probability():
    logits = torch.tensor(np.random.default_rng(2).normal(size=(3, 5)))
    drawing = Drawing(temperature=2.0, never=(4,))
    sides = [
        SideTokens(0, Judgement(), (0, 1), Sampled(drawing, ((1, 0),))),
        SideTokens(0, Judgement(), (3,), Sampled(drawing)),
    ]
    found = drawn_logprobs(logits, torch.tensor([0, 1, 3]), sides)
    for row, token, left in ((0, 0, [0, 1, 2, 3]), (1, 1, [1, 2, 3]), (2, 3, [0, 1, 2, 3])):
        own = (logits[row, left] / 2).log_softmax(-1)[left.index(token)]
        assert float(found[row]) == pytest.approx(float(own), abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"most": 1.2}, "needed most above 1"), ({"clip": "none", "most": 3.0}, "bounds nothing")],
)
def test_bounds_that_mean_nothing_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        PolicyConfig.model_validate(settings)
