"""One encoder that reads two modalities, each with a projector of its own."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import nn

from modalink.encoders.several import SeveralConfig
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.modalities.image import RECORD as IMAGE
from modalink.model import System, compose
from modalink.recipe import SystemSpec, train_groups
from modalink.roles import Encoder, EncoderConfig
from modalink.testing.fakes import TinyEncoder, TinyEncoderConfig, TinyPreprocessor
from modalink.training.frozen import FrozenEncoders

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


WIDTHS = {"image": 16, "heat": 8}


class TwoTowersConfig(EncoderConfig):
    """Images and heat maps, each through a tower of its own."""

    kind: Literal["two_towers"] = "two_towers"
    checkpoint: Literal["none"] = "none"
    modalities: tuple[str, ...] = ("image", "heat")

    def checkpoints(self):
        return ()

    def reads(self):
        return frozenset(self.modalities)

    def for_modality(self, modality):
        return self.replace(modalities=(modality,))

    def build(self, *, weights=True):
        return TwoTowers({m: TinyEncoder(WIDTHS[m], 2) for m in self.modalities})

    def preprocessor(self):
        return TinyPreprocessor(16)


class TwoTowers(Encoder):
    def __init__(self, towers):
        super().__init__()
        self.towers = nn.ModuleDict(towers)
        first = next(iter(towers.values()))
        self.dim, self.unit_shape = first.dim, first.unit_shape

    def for_modality(self, modality):
        return self.towers[modality]

    def layout(self, item):
        return next(iter(self.towers.values())).layout(item)

    def forward(self, items):
        return next(iter(self.towers.values()))(items)


@pytest.fixture
def two_towers(plug_in, make_spec):
    plug_in("heat", replace(HEAT, like=None))
    data = make_spec().to_dict()
    data["inputs"] = {
        "image": {"encoder": TwoTowersConfig(), "projector": {"kind": "linear"}},
        "heat": {"use": "image", "projector": {"kind": "linear"}},
    }
    return SystemSpec.model_validate(data)


def test_an_encoder_may_read_each_modality_in_its_own_way(two_towers, picture):
    system = compose(two_towers)
    model = system.model.model
    assert [model.input_projectors[m].linear.in_features for m in WIDTHS] == [16, 8]
    assert [model.encoder(m).dim for m in WIDTHS] == [16, 8]
    owned = {id(parameter) for parameter in model.encoders["image"].parameters()}
    assert all(id(p) in owned for m in WIDTHS for p in model.encoder(m).parameters())
    inputs = talk_of(system.processor, picture)
    before = system.model(**inputs).logits
    with torch.no_grad():
        model.encoder("heat").colours.bias.add_(1)
    changed = (system.model(**inputs).logits != before).any(-1)[0]
    first_heat = inputs["input_ids"][0].tolist().index(system.processor.tokens.placeholders["heat"])
    assert changed[first_heat:].all() and not changed[:first_heat].any()


def test_features_of_each_modality_have_a_key_of_their_own(two_towers):
    system = compose(two_towers)
    once = Once(FeatureCache(), torch.float32, torch.device("cpu"))
    keys = FrozenEncoders(system, [], once).keys
    with torch.no_grad():
        system.model.model.encoder("heat").colours.bias.add_(1)
    again = FrozenEncoders(system, [], once).keys
    assert keys["image"] == again["image"] and len({keys["image"], keys["heat"], again["heat"]}) == 3


def test_one_beside_another_is_read_as_the_modality_that_both_read(two_towers):
    both = SeveralConfig(encoders=(TwoTowersConfig(modalities=("heat", "image")), TinyEncoderConfig()))
    assert both.reads() == {"image"}
    assert both.build().dim == both.build().for_modality("image").dim == 16 + 16
    apart = SeveralConfig(encoders=(TwoTowersConfig(), TwoTowersConfig()))
    assert [apart.build().for_modality(m).dim for m in WIDTHS] == [32, 16]
    assert [apart.for_modality(m).build().dim for m in WIDTHS] == [32, 16]
