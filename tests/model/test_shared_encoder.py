"""One encoder that reads two modalities, each with a projector of its own."""

from dataclasses import replace

import pytest
import torch

from modalink.modalities.image import RECORD as IMAGE
from modalink.model import System, compose
from modalink.recipe import SystemSpec, train_groups

HEAT = replace(
    IMAGE, name="heat", like="image", plural="heats", blocks=("heat_map",), placeholder="<heat>", signal="[HEAT{}]", argument="heat_values"
)  # fmt: skip


@pytest.fixture
def spec(plug_in, make_spec):
    plug_in("heat", HEAT)
    data = make_spec().to_dict()
    data["inputs"]["heat"] = {"use": "image", "projector": {"kind": "linear"}}
    return SystemSpec.model_validate(data)


def talk_of(processor, picture):
    content = [{"type": "image", "image": picture(1)}, {"type": "heat_map", "heat_map": picture(2)}]
    return processor(conversation=[{"role": "user", "content": [*content, {"type": "text", "text": "compare"}]}])


def test_two_modalities_share_one_encoder_and_load_again(spec, picture, tmp_path):
    system = compose(spec)
    assert set(system.model.model.encoders) == {"image"}
    assert {*system.model.trainable_groups()} == {
        "llm", "inputs.image.encoder", "inputs.image.projector", "inputs.heat.projector"
    }  # fmt: skip
    assert "inputs.heat.encoder" not in train_groups(spec)
    inputs = talk_of(system.processor, picture)
    expected = system.model(**inputs).logits
    system.save(tmp_path / "saved")
    again = System.load(tmp_path / "saved")
    assert torch.equal(again.model(**talk_of(again.processor, picture)).logits, expected)


def test_each_projector_reads_what_the_shared_encoder_makes_of_its_own_media(spec, picture):
    system = compose(spec)
    inputs = talk_of(system.processor, picture)
    before = system.model(**inputs).logits
    with torch.no_grad():
        system.model.model.input_projectors["heat"].linear.bias.add_(1)
    changed = (system.model(**inputs).logits != before).any(-1)[0]
    first_heat = inputs["input_ids"][0].tolist().index(system.processor.tokens.placeholders["heat"])
    assert changed[first_heat:].all() and not changed[:first_heat].any()


@pytest.mark.parametrize(
    ("heat", "says"),
    [
        ({"use": "sound"}, "found 'sound', which has no encoder; those that have one: image"),
        ({}, "needs an encoder, or use: a modality that has one"),
        ({"use": "heat"}, "found 'heat', which has no encoder"),
    ],
)
def test_an_encoder_that_is_not_there_cannot_be_used(spec, heat, says):
    data = spec.to_dict()
    data["inputs"]["heat"] = {**heat, "projector": {"kind": "linear"}}
    with pytest.raises(ValueError, match=says):
        SystemSpec.model_validate(data)
