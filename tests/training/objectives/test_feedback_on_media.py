"""Diffusion-DPO and Diffusion-KTO: what they weigh, and that nothing else moves."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.errors import TrainingError
from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.items import Item
from modalink.model.prepared import Prepared
from modalink.model.sides import Judgement
from modalink.recipe import Recipe
from modalink.roles import Conditions
from modalink.training.objectives import Output
from modalink.training.objectives.diffusion_dpo import DiffusionDpoConfig
from modalink.training.objectives.diffusion_kto import DiffusionKtoConfig
from modalink.training.randomness import ItemRngs
from modalink.training.train import train
from tests.support.forks import ended_together
from tests.support.run_files import recipe_file, records_of
from tests.training import child

RNGS = ItemRngs(0, 0, [0, 0, 1, 1])


def _reply(value: float, judged: Judgement, media: int = 1) -> Prepared:
    items = [Item.of(torch.full((1, 3, 2, 2), value + i)) for i in range(media)]
    return Prepared("a", [1, 2], [-100, 2], targets={"image": items}, judgement=judged)


def _pair(better: float, worse: float, media: tuple[int, int] = (1, 1)) -> Prepared:
    worst = _reply(worse, Judgement(rank=1), media[1])
    return replace(_reply(better, Judgement(), media[0]), alternatives=(worst,))


def _batch(*samples: Prepared) -> Batch:
    return collate(samples, packed=True, pad_id=0)


def _said(values: Tensor) -> dict[str, Conditions]:
    """Conditions that the tutor restores to these values."""
    return {"image": Conditions({"tokens": values[:, None, None].expand(-1, 2, 4)})}


def test_where_policy_is_reference_pairs_cost_ln_2_and_marks_one_half(tutor) -> None:
    made = _said(torch.tensor([0.5, 1.0, 2.0, 2.5]))
    output, batch = Output(conditions=made, reference_conditions=made), _batch(_pair(1.0, 2.0), _pair(3.0, 4.0))
    dpo, kto = DiffusionDpoConfig(), DiffusionKtoConfig()
    assert (dpo.count(batch), kto.count(batch)) == (2, 4)
    assert dpo.sum(output, batch, {"image": tutor}, RNGS).item() == pytest.approx(2 * math.log(2), abs=1e-6)
    assert kto.sum(output, batch, {"image": tutor}, RNGS).item() == pytest.approx(4 * 0.5, abs=1e-6)


def test_their_losses_are_those_of_the_papers(tutor) -> None:
    """The tutor's error is the squared distance of what is said from what is shown."""
    shown, policy = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.9, 1.0, 2.0, 4.5]).requires_grad_()
    start = torch.tensor([0.5, 1.5, 2.0, 2.5])
    output = Output(conditions=_said(policy), reference_conditions=_said(start))
    batch = _batch(_pair(1.0, 2.0), _pair(3.0, 4.0))
    gain = (start - shown).square() - (policy - shown).square()
    expected = -logsigmoid(2 / 2 * (gain[0] - gain[1])) - logsigmoid(2 / 2 * (gain[2] - gain[3]))
    found = DiffusionDpoConfig(beta=2.0).sum(output, batch, {"image": tutor}, RNGS)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    (own,), (its,) = (torch.autograd.grad(loss, policy, retain_graph=True) for loss in (found, expected))
    assert torch.allclose(own, its, rtol=1e-5)

    above = 2 * gain - (2 * gain).mean().clamp(min=0).detach()
    utility = torch.tensor([3.0, 0.5, 3.0, 0.5]) * (1 - (torch.tensor([1.0, -1.0, 1.0, -1.0]) * above).sigmoid())
    marked = DiffusionKtoConfig(beta=2.0, good=3.0, bad=0.5).sum(output, batch, {"image": tutor}, RNGS)
    assert marked.item() == pytest.approx(utility.sum().item(), rel=1e-5)


def test_sides_policy_and_reference_see_the_same_noise(tutor) -> None:
    made = _said(torch.tensor([0.5, 1.0, 2.0, 2.5]))
    output = Output(conditions=made, reference_conditions=made)
    DiffusionDpoConfig().sum(output, _batch(_pair(1.0, 2.0), _pair(3.0, 4.0)), {"image": tutor}, RNGS)
    reference, policy = tutor.noise
    assert torch.equal(reference, policy)
    assert reference[0] == reference[1] != reference[2] == reference[3]


def test_marks_are_labels_or_ranks_and_what_was_not_judged_counts_nothing() -> None:
    kto, dpo = DiffusionKtoConfig(), DiffusionDpoConfig()
    for sample, units in (
        (_reply(1.0, Judgement(label=True)), (1, 0)),
        (_reply(1.0, Judgement(label=False)), (1, 0)),
        (_reply(1.0, Judgement()), (0, 0)),
        (_pair(1.0, 2.0), (2, 1)),
        (_pair(1.0, 2.0, media=(1, 0)), (1, 0)),
        (_pair(1.0, 2.0, media=(2, 2)), (4, 2)),
    ):
        assert (kto.count(_batch(sample)), dpo.count(_batch(sample))) == units
    with pytest.raises(TrainingError, match="sample a: found replies that make 2 and 1 media, needed as many"):
        dpo.count(_batch(_pair(1.0, 2.0, media=(2, 1))))


@pytest.fixture
def pictures(picture_pairs: Path) -> dict[str, Any]:
    """A stage that learns from pairs of pictures; its objectives are to be given."""
    return {
        "name": "pictures",
        "kind": "preference",
        "train": {group: {"lr": 1e-3} for group in ("outputs.image.projector", "llm.lora")},
        "data": [{"source": "preferences", "path": str(picture_pairs)}],
        "batch": 4,
        "steps": 3,
        "precision": "float32",
    }


@pytest.mark.parametrize("kind", ["diffusion_dpo", "diffusion_kto"])
def test_a_stage_learns_from_pairs_of_pictures(
    make_recipe: Callable[..., Recipe], pictures: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    """It begins at the known loss, whatever dropout its adapters have, and moves what it trains and nothing else."""
    stage = pictures | {"objectives": [{"kind": kind}]}
    run = train(make_recipe(stage, lora_dropout=0.5), tmp_path / "run")
    records = records_of(run, "pictures")
    expected = {"diffusion_dpo": (math.log(2), 4), "diffusion_kto": (0.5, 8)}[kind]
    assert records[0]["losses"][kind] == pytest.approx(expected[0], abs=1e-4)
    assert records[0]["units"] == {kind: expected[1]}
    assert set(records[0]["grad_norms"]) == {*stage["train"]} and min(records[0]["grad_norms"].values()) > 0
    with pytest.raises(ValueError, match="measures by the state in which its stage began"):
        make_recipe(stage | {"kind": "supervised"})


def test_two_processes_learn_from_pictures_what_one_learns(
    make_recipe: Callable[..., Recipe], pictures: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    """From pairs and marks, and in a stage of its own from a reward that is followed through the sampler."""
    judged = [{"kind": "diffusion_dpo"}, {"kind": "diffusion_kto"}]
    follows = [{"kind": "reward_gradient", "last": 1, "steps": 2}]
    drawn = [{"source": "messages", "path": data["draw"]}]
    short = {"micro_batch": 1, "steps": 1}
    stages = [
        pictures | short | {"objectives": judged},
        pictures | short | {"name": "follow", "kind": "supervised", "objectives": follows, "data": drawn},
    ]
    recipe, one, two, output = make_recipe(*stages), tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(child.__file__, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    for name in ("pictures", "follow"):
        (alone,), (together,) = records_of(one, name), records_of(two, name)
        assert together["units"] == alone["units"] and min(alone["units"].values()) >= 4
        assert together["losses"] == pytest.approx(alone["losses"], rel=1e-2)
        assert together["grad_norms"] == pytest.approx(alone["grad_norms"], rel=5e-2)
