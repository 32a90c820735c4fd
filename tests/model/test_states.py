"""What output projectors read of the LLM: which layers, at signal tokens or before them."""

import pytest
import torch
from PIL import Image
from torch import Tensor

from modalink.errors import PartError, PromptError
from modalink.model import System, compose
from modalink.model.collating import collate
from modalink.model.places import Placement
from modalink.model.states import Earlier, StateReader
from modalink.recipe import StatesSpec, SystemSpec
from modalink.testing.checkpoints import tiny_t5

LAYERS = tuple(torch.randn(1, 9, 4, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in range(3))
RUN = Placement.of([[5, 6]], ["one"], [1])
"""Signal tokens at 5 and 6 of a sample that begins at 1."""


def reader(count: int = 2, **settings) -> StateReader:
    return StateReader(StatesSpec.model_validate(settings), count, layers=2).double()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, LAYERS[2]),
        ({"layers": [1]}, LAYERS[1]),
        ({"layers": [-2, 2]}, (LAYERS[1] + LAYERS[2]) / 2),
        ({"layers": [1, 2], "weights": "learned"}, (LAYERS[1] + LAYERS[2]) / 2),
        ({"embeddings": True}, LAYERS[2] + LAYERS[0]),
    ],
)
@pytest.mark.parametrize(("at", "first"), [("signals", 5), ("before", 4)])
def test_layers_are_joined_at_the_signal_tokens_or_one_place_before(
    settings: dict, expected: Tensor, at: str, first: int
) -> None:
    found = reader(at=at, **settings).asked(LAYERS, RUN)
    added = LAYERS[0] if settings.get("embeddings") else torch.zeros(1, 9, 4)
    wanted = (expected - added)[:, first : first + 2] + added[:, 5:7]
    torch.testing.assert_close(found.states, wanted, rtol=1e-12, atol=1e-12)
    assert found.mask is None


def test_learned_weights_move_to_the_layer_that_is_needed() -> None:
    own = reader(layers=[1, 2], weights="learned")
    optimizer = torch.optim.Adam(own.parameters(), 0.1)
    for _ in range(60):
        loss = (own.asked(LAYERS, RUN).states - LAYERS[1][:, 5:7]).square().mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    assert own.layer_weights is not None and own.layer_weights.softmax(0)[0] > 0.9


def test_a_prompt_is_cut_to_its_last_states_with_zeros_and_a_mask_behind_a_shorter_one() -> None:
    cut = reader(3, at="prompt").asked(LAYERS, RUN)
    assert torch.equal(cut.states, LAYERS[2][:, 2:5]) and cut.mask is not None and cut.mask.all()
    longer = reader(6, at="prompt").asked(LAYERS, RUN)
    assert torch.equal(longer.states[:, :4], LAYERS[2][:, 1:5]) and not longer.states[:, 4:].any()
    assert longer.mask is not None and longer.mask.tolist() == [[True] * 4 + [False] * 2]


def test_a_prompt_is_resampled_between_its_ends() -> None:
    found = reader(7, at="prompt", fit="resample").asked(LAYERS, RUN)
    own = LAYERS[2][0, 1:5]
    assert found.mask is None
    torch.testing.assert_close(found.states[0, ::2], own, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.states[0, 1], (own[0] + own[1]) / 2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("at", ["prompt", "before"])
def test_earlier_tokens_and_padding_make_the_same_prompt(at: str) -> None:
    own = reader(6, at=at)
    expected = own.asked(LAYERS, RUN)
    behind = [layer[:, 5:] for layer in LAYERS]
    mask = torch.tensor([[0, 1, 1, 1, 1]])
    found = own.asked(behind, Placement.of([[0, 1]], [""], [0]), earlier=Earlier(own.joined(LAYERS)[:, :5], mask))
    assert torch.equal(found.states, expected.states)
    padded = own.asked(LAYERS, Placement.of([[5, 6]], [""], [0]), mask=torch.tensor([[0] + [1] * 8]))
    assert torch.equal(padded.states, expected.states)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_the_llm_has_not_is_refused(layer: int) -> None:
    with pytest.raises(PartError, match=f"found the layer {layer}, needed -3 to 2"):
        reader(layers=[layer])


@pytest.mark.parametrize("at", ["prompt", "before"])
def test_a_run_with_nothing_before_it_has_no_prompt(at: str) -> None:
    with pytest.raises(PromptError, match="one: found nothing before its signal tokens"):
        reader(at=at).asked(LAYERS, Placement.of([[1, 2]], ["one"], [1]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "resample"}, "fit and count are about the prompt's states"),
        ({"count": 3, "at": "before"}, "fit and count are about the prompt's states"),
        ({"layers": [1, 1]}, "needed each of them once"),
        ({"layers": []}, "at least 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StatesSpec.model_validate(settings)


def new(make_spec, **output) -> System:
    data = make_spec(draws=True).to_dict()
    data["outputs"]["image"] |= {"projector": {"kind": "mlp", "norm": False}} | output
    return compose(SystemSpec.model_validate(data))


@pytest.mark.parametrize(
    "states",
    [
        {"layers": [1, -1], "weights": "learned", "embeddings": True},
        {"at": "prompt"},
        {"at": "before", "embeddings": True},
        {"at": "prompt", "fit": "resample", "layers": [0, 1]},
    ],
)
def test_conditions_alone_equal_those_beside_others_packed_and_padded(make_spec, talk, states: dict) -> None:
    system = new(make_spec, states=states)
    system.model.double()
    talks = [
        talk(("user", [f"draw {word}"]), ("assistant", ["here ", _drawn()]), id=word) for word in ("it", "a b c d")
    ]
    samples = [system.processor.prepare(one) for one in talks]
    alone = [system.model(**collate([one], packed=True, pad_id=0).inputs()).conditions["image"] for one in samples]
    for packed in (True, False):
        made = system.model(**collate(samples, packed=packed, pad_id=0).inputs()).conditions["image"]
        for one, own in zip(made, alone, strict=True):
            torch.testing.assert_close(one["tokens"], own["tokens"], rtol=1e-9, atol=1e-9)
    assert (alone[0]["tokens"] - alone[1]["tokens"]).abs().max() > 1e-4
    rows = collate(samples, packed=False, pad_id=0)
    width, lengths = rows.input_ids.shape[1], [len(one.input_ids) for one in samples]
    ids, mask = torch.zeros_like(rows.input_ids), torch.zeros_like(rows.input_ids)
    for row, (sample, length) in enumerate(zip(samples, lengths, strict=True)):
        ids[row, width - length :], mask[row, width - length :] = torch.tensor(sample.input_ids), 1
    given = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    left = system.model(**given, return_conditions=True).conditions["image"]
    for one, own in zip(left, alone, strict=True):
        torch.testing.assert_close(one["tokens"], own["tokens"], rtol=1e-9, atol=1e-9)


def _drawn() -> Image.Image:
    return Image.new("RGB", (32, 32))


def test_what_is_learned_of_layers_is_saved_with_the_projector(make_spec, tmp_path) -> None:
    system = new(make_spec, states={"layers": [1, 2], "weights": "learned"})
    weights = system.model.reader("image").layer_weights
    with torch.no_grad():
        weights.copy_(torch.tensor([0.5, -0.5]))
    names = dict(system.model.trainable_groups()["outputs.image.projector"])
    assert weights is names["state_readers.image.layer_weights"]
    system.save(tmp_path / "saved")
    assert torch.equal(System.load(tmp_path / "saved").model.reader("image").layer_weights, weights)


@pytest.mark.parametrize("at", ["prompt", "before"])
def test_an_encoder_decoder_has_no_states_of_its_prompt(make_spec, tmp_path, at: str) -> None:
    data = make_spec(draws=True, llm=tiny_t5(tmp_path / "t5")).to_dict()
    data["outputs"]["image"] |= {"projector": {"kind": "mlp"}, "states": {"at": at}}
    with pytest.raises(PartError, match=r"outputs.image.states: T5ForConditionalGeneration is an encoder-decoder"):
        compose(SystemSpec.model_validate(data))
