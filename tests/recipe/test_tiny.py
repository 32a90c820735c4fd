from typing import Literal

import pytest

from modalink.errors import RecipeError
from modalink.recipe import load, shipped
from modalink.recipe.tiny import tiny_form
from modalink.roles import EncoderConfig


class SonarConfig(EncoderConfig):
    kind: Literal["sonar"] = "sonar"

    def reads(self):
        return frozenset({"image"})

    def build(self, *, weights=True):
        raise NotImplementedError

    preprocessor = build


@pytest.mark.parametrize("name", shipped())
def test_the_tiny_form_has_the_shape_of_the_whole(name):
    whole, tiny = load(name), load(name, tiny=True)
    assert tiny.inputs.keys() == whole.inputs.keys() and tiny.outputs.keys() == whole.outputs.keys()
    for modality in whole.inputs:
        assert tiny.inputs[modality].encoder.checkpoint == "zoo:vision"
        assert tiny.inputs[modality].projector.kind == whole.inputs[modality].projector.kind
    for modality in whole.outputs:
        assert tiny.outputs[modality].generator.checkpoint == "zoo:diffusion"
        assert tiny.outputs[modality].signal_tokens == whole.outputs[modality].signal_tokens
    assert tiny.llm.checkpoint == "zoo:llm"
    for small, stage in zip(tiny.stages, whole.stages, strict=True):
        assert (small.name, small.train, small.objectives) == (stage.name, stage.train, stage.objectives)


def test_adapters_keep_their_strength():
    lora = load("llava-1.5-7b-lora", tiny=True).llm.lora
    assert (lora.rank, lora.alpha) == (8, 16)


def test_the_tiny_world_shows_what_a_stage_teaches():
    stages = load("next-gpt-image", tiny=True).stages
    tasks = {stage.name: set(stage.data[0].tasks) for stage in stages}
    assert tasks == {"encode": {"caption"}, "decode": {"draw"}, "instruct": {"caption", "vqa", "draw"}}


def test_overrides_lie_over_the_tiny_form():
    recipe = load("llava-7b", ["stages.0.steps=3", "inputs.image.encoder.layer=-2"], tiny=True)
    assert recipe.stages[0].steps == 3
    assert recipe.inputs["image"].encoder.layer == -2


def test_a_part_without_a_tiny_form_says_so(see):
    recipe = load(see)
    other = SonarConfig(checkpoint="org/sonar")
    image = recipe.inputs["image"].model_copy(update={"encoder": other})
    with pytest.raises(RecipeError, match=r"inputs.image.encoder: the kind 'sonar' has no tiny form; give SonarConfig"):
        tiny_form(recipe.model_copy(update={"inputs": {"image": image}}))
