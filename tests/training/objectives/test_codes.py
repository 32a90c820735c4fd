"""Cross-entropy of codes, said under projected conditions."""

import pytest
import torch
from torch import Tensor

from modalink.conversation import Conversation
from modalink.modalities.audio import example
from modalink.model import compose
from modalink.model.collating import collate
from modalink.recipe import SystemSpec
from modalink.roles import Conditions, PredictsCodes
from modalink.testing.checkpoints import tiny_llama
from modalink.testing.sound_pipelines import tiny_musicgen
from modalink.training.objectives import Output
from modalink.training.objectives.codes import CodesConfig
from modalink.training.randomness import ItemRngs
from tests.training.objectives.conftest import Tutor, unlearned

KEEPING, DROPPING = CodesConfig(condition_dropout=0.0), CodesConfig(condition_dropout=0.5)
MADE = torch.stack([torch.full((2, 4), v) for v in (1.5, 5.0, 3.0)])


class Choir(PredictsCodes):
    """Its codes are as many zeros as a picture's value says; its error is the condition times their number."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def encode_media(self, media):
        return [torch.zeros(1, int(values.mean()), dtype=torch.long) for values in media]

    def null_conditions(self, items):
        return Conditions({"tokens": torch.zeros(items, 2, 4)})

    def code_error(self, codes, conditions):
        self.seen.append(conditions["tokens"])
        return conditions["tokens"].mean((1, 2)) * codes.shape[-1]


def viewed(generator) -> Tutor:
    """A generator as objectives see it."""
    view = Tutor()
    view.generator = generator
    return view


@pytest.fixture
def choir() -> Tutor:
    return viewed(Choir())


def test_its_units_are_all_targets_of_any_length_and_its_sum_their_errors(batch, choir, output) -> None:
    found = KEEPING.sum(output(MADE), batch, {"image": choir}, ItemRngs(0, 0, [0, 1]))
    assert KEEPING.count(batch) == 3
    assert found == pytest.approx(1.5 * 1 + 5.0 * 2 + 3.0 * 3)
    marked = unlearned(batch, 1)
    assert KEEPING.count(marked) == 2
    assert KEEPING.sum(output(MADE), marked, {"image": choir}, ItemRngs(0, 0, [0, 1])) == pytest.approx(1.5 + 9.0)


def test_dropped_items_get_the_null_conditions_and_give_no_gradient(batch, choir, output) -> None:
    made, dropped = MADE.clone().requires_grad_(), 0
    for step in range(20):
        made.grad, choir.generator.seen = None, []
        DROPPING.sum(output(made), batch, {"image": choir}, ItemRngs(0, step, [0, 1])).backward()
        empty = torch.stack([seen[0].eq(0).all() for seen in choir.generator.seen])
        assert torch.equal(made.grad.abs().sum(dim=(1, 2)) == 0, empty)
        dropped += int(empty.sum())
    assert 15 < dropped < 45


def test_a_projector_learns_through_the_frozen_musicgen(tmp_path) -> None:
    """The error of one sound falls by a fifth in 30 steps, and nothing but the projector moves."""
    generator = {"kind": "musicgen", "checkpoint": str(tiny_musicgen(tmp_path / "music")), "seconds": 0.006}
    output = {"signal_tokens": 2, "projector": {"kind": "mlp"}, "generator": {**generator, "text_tokens": 2}}
    data = {"inputs": {}, "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))}, "outputs": {"audio": output}}
    system = compose(SystemSpec.model_validate(data | {"prompt": {"template": "vicuna-v1.1"}}))
    sound = {"type": "audio", "audio": example(0)}
    talk = [{"role": "user", "content": "Play."}, {"role": "assistant", "content": [sound]}]
    prepared = system.processor.prepare(Conversation.from_messages(talk))
    batch, music = collate([prepared], packed=True, pad_id=0), system.generators["audio"]
    projector = system.model.output_projectors["audio"]
    optimizer = torch.optim.Adam(projector.parameters(), 0.03)
    losses = []
    for _ in range(30):
        found = system.model(input_ids=torch.tensor([prepared.input_ids]), return_conditions=True).conditions
        view = {"audio": viewed(music)}
        loss = KEEPING.sum(Output(conditions=found), batch, view, ItemRngs(0, 0, [0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(parameter.grad is None for parameter in music.parameters())
