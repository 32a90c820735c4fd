"""Who received a gradient."""

import pytest
import torch
from torch import nn

from modalink.errors import TrainingError
from modalink.model.collating import collate
from modalink.model.items import Item
from modalink.model.prepared import Prepared
from modalink.training.gradient_check import PATIENCE, GradientWatch
from modalink.training.objectives.align import AlignConfig
from modalink.training.objectives.language import LanguageConfig

OBJECTIVES = [LanguageConfig(), AlignConfig()]
PROJECTOR, LORA, ENCODER = "inputs.image.projector", "llm.lora", "inputs.image.encoder"


def _group(*names: str) -> list[tuple[str, nn.Parameter]]:
    return [(name, nn.Parameter(torch.zeros(2))) for name in names]


def _receive(members: list[tuple[str, nn.Parameter]]) -> None:
    for _, parameter in members:
        parameter.grad = torch.ones(2)


def _batch(image: bool):
    items = {"image": [Item.of(torch.ones(3, 2, 2))]} if image else {}
    return collate([Prepared("a", [1, 2], [-100, 2], media=items)], packed=True, pad_id=0)


def test_only_batches_that_hold_the_medium_are_a_chance_for_its_projector() -> None:
    watch = GradientWatch(
        {PROJECTOR: _group("p"), LORA: _group("l"), "outputs.image.projector": _group("o")}, OBJECTIVES
    )
    assert watch.chances_in([_batch(image=False)]) == [False, True, False]
    assert watch.chances_in([_batch(image=False), _batch(image=True)]) == [True, True, False]


@pytest.mark.parametrize(("caption", "chance"), [("a cube", True), (None, False)])
def test_targets_that_no_objective_learns_from_are_no_chance(caption: str | None, chance: bool) -> None:
    """Alignment compares captions only."""
    target = Item.of(torch.ones(1, 3, 2, 2), caption=caption)
    batch = collate([Prepared("a", [1, 2], [-100, 2], targets={"image": [target]})], packed=True, pad_id=0)
    watch = GradientWatch({"outputs.image.projector": _group("o")}, OBJECTIVES)
    assert watch.chances_in([batch]) == [chance]


def test_a_group_without_gradient_fails_after_its_patience_and_is_named() -> None:
    trained = {PROJECTOR: _group("p.weight", "p.bias"), LORA: _group("l")}
    watch = GradientWatch(trained, OBJECTIVES)
    _receive(trained[LORA])
    for _ in range(PATIENCE - 1):
        watch.note([True, True], {PROJECTOR: 0.0, LORA: 1.0})
    with pytest.raises(TrainingError, match=rf"{PROJECTOR} should train, but 2 of its 2 tensors \(p.weight, p.bias\)"):
        watch.note([True, True], {PROJECTOR: 0.0, LORA: 1.0})


def test_a_projector_whose_medium_comes_late_is_no_false_alarm() -> None:
    trained = {PROJECTOR: _group("p")}
    watch = GradientWatch(trained, OBJECTIVES)
    for _ in range(3 * PATIENCE):
        watch.note([False], {PROJECTOR: 0.0})
    _receive(trained[PROJECTOR])
    watch.note([True], {PROJECTOR: 0.5})
    watch.finish()
    assert watch.unused() == {}


def test_the_stages_end_names_a_group_that_no_sample_concerned() -> None:
    watch = GradientWatch({PROJECTOR: _group("p")}, OBJECTIVES)
    watch.note([False], {PROJECTOR: 0.0})
    with pytest.raises(TrainingError, match="no gradient in the whole stage, no sample of which concerns it"):
        watch.finish()


def test_one_dead_tensor_of_a_link_is_an_error_and_of_a_pretrained_encoder_a_note() -> None:
    link, encoder = _group("p.used", "p.dead"), _group("e.used", "e.dead")
    watch = GradientWatch({ENCODER: encoder}, OBJECTIVES)
    _receive(encoder[:1])
    watch.note([True], {ENCODER: 1.0})
    watch.finish()
    assert watch.unused() == {ENCODER: ["e.dead"]}

    watch = GradientWatch({PROJECTOR: link}, OBJECTIVES)
    _receive(link[:1])
    watch.note([True], {PROJECTOR: 1.0})
    with pytest.raises(TrainingError, match=r"1 of its 2 tensors \(p.dead\)"):
        watch.finish()


def test_a_gradient_of_zeros_is_none() -> None:
    trained = {PROJECTOR: _group("p")}
    watch = GradientWatch(trained, OBJECTIVES)
    trained[PROJECTOR][0][1].grad = torch.zeros(2)
    watch.note([True], {PROJECTOR: 0.0})
    with pytest.raises(TrainingError):
        watch.finish()


def test_what_was_noted_survives_a_resume() -> None:
    trained = {PROJECTOR: _group("p")}
    watch = GradientWatch(trained, OBJECTIVES)
    _receive(trained[PROJECTOR])
    watch.note([True], {PROJECTOR: 1.0})
    resumed = GradientWatch({PROJECTOR: _group("p")}, OBJECTIVES)
    resumed.load_state_dict(watch.state_dict())
    resumed.finish()
    assert resumed.unused() == {}
