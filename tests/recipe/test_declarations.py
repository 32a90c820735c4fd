"""What parts declare is what a recipe is checked by; no kind is known by its name."""

from dataclasses import replace
from typing import ClassVar, Literal

import pytest

from modalink.errors import RecipeError
from modalink.modalities.image import RECORD as IMAGE
from modalink.recipe import Recipe, load
from modalink.testing import TinyEncoderConfig, TinyGeneratorConfig
from modalink.training.objectives import ObjectiveConfig

OTHER = replace(IMAGE, name="heat", plural="heats", blocks=(), placeholder="<heat>", signal="[HEAT{}]", argument="heat")


class SonarConfig(TinyEncoderConfig):
    def reads(self):
        return frozenset({"echo", "sound"})


class PlotterConfig(TinyGeneratorConfig):
    def makes(self):
        return frozenset({"plot"})


class SteerConfig(ObjectiveConfig):
    kind: Literal["steer"] = "steer"
    needs: ClassVar = frozenset({"conditions"})

    def count(self, batch):
        return 1

    sum = count


def test_an_encoder_stands_only_where_it_reads(see):
    data = load(see).to_dict()
    data["inputs"]["image"]["encoder"] = SonarConfig()
    with pytest.raises(ValueError, match=r"the encoder 'tiny' reads echo, sound, needed one that reads image"):
        Recipe.model_validate(data)


def test_a_generator_stands_only_where_it_makes():
    data = load("next-gpt-image").to_dict()
    data["outputs"]["image"]["generator"] = PlotterConfig()
    with pytest.raises(ValueError, match=r"the generator 'tiny' makes plot, needed one that makes image"):
        Recipe.model_validate(data)


@pytest.mark.parametrize(("like", "fits"), [("image", True), (None, False)])
def test_a_modality_that_decodes_to_the_same_shares_parts(see, plug_in, like, fits):
    plug_in("heat", replace(OTHER, like=like))
    data = load(see).to_dict()
    data["inputs"]["heat"] = {"use": "image", "projector": {"kind": "linear"}}
    if fits:
        assert Recipe.model_validate(data).encoder("heat").kind == "vision"
    else:
        with pytest.raises(ValueError, match=r"inputs.heat.use: the encoder 'vision' reads image, needed"):
            Recipe.model_validate(data)


def test_a_brought_objective_teaches_what_its_needs_depend_on(install):
    install(SteerConfig)
    assert load("next-gpt-image", ["stages.1.objectives=[{kind: steer}]"]).stages[1].objectives[0].kind == "steer"
    with pytest.raises(RecipeError, match=r"add the objective align or codes or .*diffusion or .* or flow or .*steer"):
        load("next-gpt-image", ["stages.1.objectives=[{kind: language}]"])
