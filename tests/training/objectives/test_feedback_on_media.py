"""Diffusion-DPO and Diffusion-KTO: what they weigh, and that nothing else moves."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.errors import TrainingError
from modalink.model.batch import Batch, Prepared, collate
from modalink.model.items import Item
from modalink.model.sides import Judgement
from modalink.recipe import Recipe
from modalink.roles import Conditions
from modalink.training.objectives import Output
from modalink.training.objectives.diffusion_dpo import DiffusionDpoConfig
from modalink.training.objectives.diffusion_kto import DiffusionKtoConfig
from modalink.training.randomness import ItemRngs
from modalink.training.train import train
from tests.support.tiny_run import COLOURS

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


@pytest.mark.parametrize("kind", ["diffusion_dpo", "diffusion_kto"])
def test_a_stage_learns_from_pairs_of_pictures(
    make_recipe: Callable[..., Recipe], data: dict[str, str], tmp_path: Path, kind: str
) -> None:
    """It begins at the known loss, whatever dropout its adapters have, and moves what it trains and nothing else."""
    pairs = tmp_path / "pairs.jsonl"
    folder, rows = Path(data["draw"]).parent, []
    for number, colour in enumerate(COLOURS):
        sides = [
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "Here: "},
                        {"type": "image", "path": str(folder / f"{n}.png")},
                    ],
                }
            ]
            for n in (number, (number + 1) % len(COLOURS))
        ]
        prompt = [{"role": "user", "content": f"Draw a {colour} cube."}]
        rows.append({"prompt": prompt, "chosen": sides[0], "rejected": sides[1]})
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    groups = ("outputs.image.projector", "llm.lora")
    stage = {
        "name": "pictures",
        "kind": "preference",
        "train": {group: {"lr": 1e-3} for group in groups},
        "objectives": [{"kind": kind}],
        "data": [{"source": "preferences", "path": str(pairs)}],
        "batch": 4,
        "steps": 3,
        "precision": "float32",
    }
    run = train(make_recipe(stage, lora_dropout=0.5), tmp_path / "run")
    records = [json.loads(line) for line in (run / "pictures" / "metrics.jsonl").read_text().splitlines()]
    expected = {"diffusion_dpo": (math.log(2), 4), "diffusion_kto": (0.5, 8)}[kind]
    assert records[0]["losses"][kind] == pytest.approx(expected[0], abs=1e-4)
    assert records[0]["units"] == {kind: expected[1]}
    assert set(records[0]["grad_norms"]) == {*groups} and min(records[0]["grad_norms"].values()) > 0
    with pytest.raises(ValueError, match="measures by the state in which its stage began"):
        make_recipe(stage | {"kind": "supervised"})
