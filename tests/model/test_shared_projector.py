"""One input projector that two modalities go through."""

from dataclasses import replace

import pytest
import torch

from modalink.errors import PartError
from modalink.model import System, compose
from modalink.recipe import SystemSpec, train_groups
from tests.model.test_shared_encoder import HEAT, TwoTowersConfig, talk_of


@pytest.fixture
def spec(plug_in, make_spec):
    plug_in("heat", HEAT)
    data = make_spec().to_dict()
    data["inputs"]["heat"] = {"use": "image"}
    return SystemSpec.model_validate(data)


def test_it_is_held_once_and_reads_both(spec, picture, tmp_path):
    system = compose(spec)
    assert set(system.model.model.input_projectors) == {"image"}
    assert {group.modality for group in train_groups(spec) if group.side == "inputs"} == {"image"}
    inputs = talk_of(system.processor, picture)
    before = system.model(**inputs).logits
    system.save(tmp_path / "saved")
    again = System.load(tmp_path / "saved")
    assert torch.equal(again.model(**talk_of(again.processor, picture)).logits, before)
    with torch.no_grad():
        next(system.model.model.input_projectors["image"].parameters()).add_(1)
    changed = (system.model(**inputs).logits != before).any(-1)[0]
    ids = inputs["input_ids"][0].tolist()
    first = [ids.index(system.processor.tokens.placeholders[m]) for m in ("image", "heat")]
    assert changed[first].all()


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"image": {"encoder": {"kind": "vision", "checkpoint": "zoo:vision"}}}, "the key 'projector' is missing"),
        ({"heat": {"use": "image"}, "video": {"use": "heat"}}, "found 'heat', which has no encoder"),
    ],
)
def test_one_that_is_not_there_cannot_be_shared(spec, inputs, says):
    data = spec.to_dict()
    data["inputs"] |= inputs
    with pytest.raises(ValueError, match=says):
        SystemSpec.model_validate(data)


def test_tokens_of_another_width_are_refused(plug_in, make_spec):
    plug_in("heat", replace(HEAT, like=None))
    data = make_spec().to_dict()
    data["inputs"] = {
        "image": {"encoder": TwoTowersConfig(), "projector": {"kind": "linear"}},
        "heat": {"use": "image"},
    }
    says = r"inputs.heat: goes through the projector of image, and found tokens 8 wide, needed 16"
    with pytest.raises(PartError, match=says):
        compose(SystemSpec.model_validate(data))
