from typing import Literal

import pytest

from modalink.data.source import SourceConfig
from modalink.encoders.vision import VisionConfig
from modalink.encoders.whisper import WhisperConfig
from modalink.errors import RecipeError
from modalink.generators.zeroscope import ZeroscopeConfig
from modalink.recipe import Recipe, load, recipe_names
from modalink.recipe.groups import Group
from modalink.recipe.tiny import tiny_form
from modalink.roles import EncoderConfig


class SonarConfig(EncoderConfig):
    kind: Literal["sonar"] = "sonar"

    def reads(self):
        return frozenset({"image"})

    def build(self, *, weights=True):
        raise NotImplementedError

    preprocessor = build


class TwoWaysConfig(EncoderConfig):
    kind: Literal["two_ways"] = "two_ways"
    modalities: tuple[str, ...] = ("image", "audio")

    def reads(self):
        return frozenset(self.modalities)

    def for_modality(self, modality):
        return self.replace(modalities=(modality,))

    def tiny(self):
        config = VisionConfig if "image" in self.modalities else WhisperConfig
        return config(checkpoint="x").tiny()

    def build(self, *, weights=True):
        raise NotImplementedError

    preprocessor = build


class WavesConfig(SourceConfig):
    kind: Literal["waves"] = "waves"
    count: int = 500

    def tiny(self):
        return self.at_most(count=5)

    def open(self):
        raise NotImplementedError


@pytest.mark.parametrize("name", recipe_names())
def test_the_tiny_form_has_the_shape_of_the_whole(name):
    whole, tiny = load(name), load(name, tiny=True)
    made = {
        "image": "zoo:diffusion",
        "video": "zoo:clip_diffusion",
        "audio": "zoo:sound_lm",
        "points": "zoo:solid_diffusion",
    }
    assert tiny.inputs.keys() == whole.inputs.keys() and [*tiny.outputs] == [*whole.outputs]
    for modality in whole.inputs:
        assert all(checkpoint.startswith("zoo:") for checkpoint, _ in tiny.encoder(modality).checkpoints())
        assert tiny.projector(modality).kind == whole.projector(modality).kind
    for modality in whole.outputs:
        assert tiny.outputs[modality].generator.checkpoint == made[modality]
        signals = whole.outputs[modality].signal_tokens
        linked = whole.outputs[whole.outputs[modality].use or modality]
        if any(link.one_for_each for link in linked.links.values()):
            (shape,) = tiny.outputs[modality].generator.condition_shapes().values()
            signals = shape.tokens  # a query for each token of the zoo's generator
        assert tiny.outputs[modality].signal_tokens == signals
    assert tiny.llm.checkpoint == ("zoo:t5" if whole.llm.architecture().is_encoder_decoder else "zoo:llm")
    for small, stage in zip(tiny.stages, whole.stages, strict=True):
        # A kind of stage may ask for fewer steps of sampling.
        # What is said in codes is learned by codes beside the others.
        losses = [
            [(loss.kind, loss.weight) for loss in each.objectives if loss.kind != "codes"] for each in (small, stage)
        ]
        assert small.name == stage.name and losses[0] == losses[1]
        for group, settings in stage.train.items():
            # Published rates are for far wider parts.
            least = 3e-3 if Group(group).is_link and tiny.llm.checkpoint == "zoo:llm" else 1e-3
            assert small.train[group] == settings.replace(lr=max(settings.lr, least))


def test_adapters_keep_their_strength():
    lora = load("llava-1.5-7b-lora", tiny=True).llm.lora
    assert (lora.rank, lora.alpha) == (8, 16)


def test_the_tiny_world_shows_what_a_stage_teaches():
    stages = load("next-gpt-image", tiny=True).stages
    tasks = {stage.name: set(stage.data[0].tasks) for stage in stages}
    assert tasks == {"encode": {"caption"}, "decode": {"draw"}, "instruct": {"caption", "vqa", "draw"}}


@pytest.mark.parametrize(
    ("sources", "mixture", "expected"),
    [
        ([("waves", 0.7), ("waves", 0.3)], "ratio", [("waves", 0.7), ("waves", 0.3)]),
        ([("waves", None)], "sqrt", [("waves", None)]),
        ([("waves", 0.7), ("text", 0.2), ("text", 0.1)], "ratio", [("waves", 0.7), ("tiny_world", 1.0)]),
        ([("waves", None), ("text", None)], "concatenate", [("waves", 1.0), ("tiny_world", 1.0)]),
        ([("text", 2.0), ("text", 1.0)], "ratio", [("tiny_world", None)]),
    ],
)
def test_sources_that_declare_a_tiny_form_keep_their_place(see, install, sources, mixture, expected):
    install(WavesConfig)
    data = load(see).to_dict()
    stage = data["stages"][0]
    given = [
        {"source": name, "weight": weight} | ({"path": "a.txt"} if name == "text" else {}) for name, weight in sources
    ]
    stage |= {
        "data": given,
        "mixture": mixture,
        "evaluate": {"every": 5, "data": [source | {"weight": None} for source in given]},
    }
    small = Recipe.model_validate(tiny_form(Recipe.model_validate(data))).stages[0]
    assert [(source.kind, source.weight) for source in small.data] == expected
    assert small.mixture == (
        "ratio" if expected[-1][1] else mixture if len(expected) == len(sources) else "concatenate"
    )
    assert {source.kind for source in small.evaluate.data} == {name for name, _ in expected}
    assert all(source.count == 5 for source in small.data if source.kind == "waves")
    assert all(source.split == "validation" for source in small.evaluate.data if source.kind == "tiny_world")


def test_a_system_that_writes_places_is_taught_to():
    tasks = [stage.data[0].tasks.keys() for stage in load("llava-1.5", tiny=True).stages]
    assert [*map(set, tasks)] == [{"caption"}, {"caption", "vqa", "locate", "region"}]
    assert load("llava-1.5", tiny=True).prompt.coordinates == "llava-1.5"


def test_what_shares_parts_that_are_apart_at_tiny_size_gets_its_own(see, install):
    install(TwoWaysConfig)
    data = load(see).to_dict()
    data["inputs"] = {
        "image": {"encoder": {"kind": "two_ways", "checkpoint": "x"}, "projector": {"kind": "mlp"}},
        "audio": {"use": "image"},
    }
    tiny = Recipe.model_validate(tiny_form(Recipe.model_validate(data)))
    assert [tiny.inputs[m].encoder.checkpoint for m in tiny.inputs] == ["zoo:vision", "zoo:audio"]
    assert tiny.inputs["audio"].use is None and tiny.inputs["audio"].projector.kind == "mlp"
    assert {"inputs.image.projector", "inputs.audio.projector"} < tiny.stages[0].train.keys()
    assert tiny.stages[0].data[0].shows.keys() == {"image", "audio"}


def test_a_stage_shows_what_it_teaches_to_read():
    data = load("demo-all").to_dict()
    for number, modality in enumerate(["video", "audio"]):
        data["stages"][number] |= {
            "train": {f"inputs.{modality}.projector": {"lr": 1e-3}},
            "objectives": [{"kind": "language"}],
            "data": [{"source": "text", "path": "a.txt"}],
            "mixture": "concatenate",
        }
    stages = Recipe.model_validate(tiny_form(Recipe.model_validate(data))).stages
    assert [set(stage.data[0].shows) for stage in stages[:2]] == [{"video"}, {"audio"}]


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


def test_an_encoder_of_several_modalities_stays_one():
    """ImageBind's tiny form is the zoo's of that form; of frames one encoder still reads both."""
    bound, framed = load("next-gpt-7b", tiny=True).inputs, load("x-instructblip-7b", tiny=True).inputs
    assert (bound["image"].encoder.checkpoint, bound["image"].encoder.kind) == ("zoo:unified", "imagebind")
    assert [bound[modality].use for modality in ("video", "audio")] == ["image", "image"]
    assert load("bubogpt-7b", tiny=True).inputs["audio"].encoder.modalities == ("audio",)
    assert (framed["image"].use, framed["image"].encoder) == ("video", None)


def test_a_codec_is_taught_where_things_are():
    tiny = load("llava-1.5", tiny=True)
    assert tiny.prompt.coordinates == load("llava-1.5").prompt.coordinates == "llava-1.5"
    assert [set(stage.data[0].tasks) for stage in tiny.stages] == [
        {"caption"},  # the LLM, which must learn to write numbers, is frozen
        {"caption", "vqa", "locate", "region"},
    ]
    assert "locate" not in load("llava", tiny=True).stages[-1].data[0].tasks


def test_a_stage_of_smaller_images_stays_one():
    """At tiny size they have half the side of the zoo's encoder."""
    assert [stage.image_size for stage in load("cogvlm-17b").stages] == [{"image": 224}, {"image": 224}, {}, {}]
    assert [stage.image_size for stage in load("cogvlm-17b", tiny=True).stages] == [
        {"image": 32},
        {"image": 32},
        {},
        {},
    ]


def test_signal_tokens_begin_where_a_reply_ends():
    """A tiny LLM does not come to them from anywhere else in some steps."""
    assert load("minigpt-5-7b").outputs["image"].signal_start == "mean"
    assert load("minigpt-5-7b", tiny=True).outputs["image"].signal_start == "end"


def test_numbers_are_written_where_the_llm_itself_learns():
    """Adapters alone are shown boxes and asked what is in them."""
    adapted, whole = load("llava-1.5-7b-lora", tiny=True), load("llava-1.5-7b", tiny=True)
    assert {"locate", "region"} & adapted.stages[-1].data[0].tasks.keys() == {"region"}
    assert {"locate", "region"} <= whole.stages[-1].data[0].tasks.keys()


def test_what_no_tiny_generator_makes_is_left_out_beside_pictures(monkeypatch, caplog):
    monkeypatch.delattr(ZeroscopeConfig, "tiny")
    recipe = load("next-gpt-7b", tiny=True)
    assert [*recipe.outputs] == ["image", "audio"] and [*recipe.inputs] == ["image", "video", "audio"]
    assert not any(group.startswith("outputs.video") for s in recipe.stages for group in s.train)
    (record,) = caplog.records
    assert record.getMessage() == (
        "next-gpt-7b: the tiny form leaves out outputs.video, for which no tiny generator ships"
    )


def test_a_system_makes_films_and_sounds_where_a_stage_teaches_it(caplog):
    recipe = load("next-gpt-7b", tiny=True)
    checkpoints = {m: made.generator.checkpoint for m, made in recipe.outputs.items()}
    assert checkpoints == {"image": "zoo:diffusion", "video": "zoo:clip_diffusion", "audio": "zoo:sound_lm"}
    encode, decode, instruct = (stage.data for stage in recipe.stages)
    assert [source.tasks.keys() for source in encode] == [{"caption"}]
    for pictures, others in (decode, instruct):
        assert "make" not in pictures.tasks and "draw" in pictures.tasks
        assert (others.tasks, others.shows) == ({"make": 1.0}, {"video": 1.0, "audio": 1.0})
    assert not caplog.records


def test_a_system_that_makes_sounds_alone_is_asked_for_no_pictures():
    understand, generate, instruct = load("m2ugen", tiny=True).stages
    assert [set(source.tasks) for source in understand.data] == [{"caption", "vqa"}]
    assert {*understand.data[0].shows} == {"image", "video", "audio"}
    assert [(source.tasks, source.shows) for source in generate.data] == [({"make": 1.0}, {"audio": 1.0})]
    assert [set(source.tasks) for source in instruct.data] == [{"caption", "vqa"}, {"make"}]


def test_what_says_codes_learns_by_codes_where_the_published_one_restores_from_noise():
    published, tiny = load("next-gpt-7b"), load("next-gpt-7b", tiny=True)
    assert [own.kind for own in published.stages[1].objectives] == ["language", "align", "diffusion"]
    language, align, diffusion, codes = tiny.stages[1].objectives
    assert [own.kind for own in (language, align, diffusion, codes)] == ["language", "align", "diffusion", "codes"]
    assert (align.modalities, diffusion.modalities, codes.modalities) == (None, ("image", "video"), ("audio",))
    assert (codes.weight, codes.condition_dropout) == (diffusion.weight, diffusion.condition_dropout)


def test_links_to_conditions_that_the_tiny_generator_does_not_read_are_left_out():
    """AudioLDM 2 reads two conditions, the tiny generator of sounds one of the same name."""
    published = load("codi-2-7b").to_dict()
    rates = {"lr": 1e-3}
    published["stages"][1]["train"] |= {"outputs.audio.projector.generated": rates}
    del published["stages"][1]["train"]["outputs.audio.projector"]
    tiny = Recipe.model_validate(tiny_form(Recipe.model_validate(published)))
    assert [*published["outputs"]["audio"]["projectors"]] == ["generated", "tokens"]
    assert [*tiny.outputs["audio"].links] == ["tokens"]
    first, second = (stage.train.keys() for stage in tiny.stages)
    assert "outputs.audio.projector" in first
    assert not any(group.startswith("outputs.audio") for group in second)


def test_the_tiny_world_asks_for_what_else_a_stage_teaches_to_make(caplog):
    data = load("minigpt-5-7b").to_dict()
    shapes = {"kind": "shap_e", "checkpoint": "openai/shap-e"}
    data["outputs"]["points"] = {"signal_tokens": 1, "projector": {"kind": "mlp"}, "generator": shapes}
    second = data["stages"][1]
    second["train"]["outputs.points.projector"] = {"lr": 1e-3}
    second["objectives"] = [{"kind": "language"}, {"kind": "align"}]
    tiny = Recipe.model_validate(tiny_form(Recipe.model_validate(data)))
    assert [*tiny.outputs] == ["image", "points"] and tiny.outputs[
        "points"
    ].generator.checkpoint == "zoo:solid_diffusion"
    before, (pictures, solids) = (stage.data for stage in tiny.stages)
    assert len(before) == 1 and "draw" in pictures.tasks and "make" not in pictures.tasks
    assert (solids.tasks, solids.shows, solids.count) == ({"make": 1.0}, {"points": 1.0}, 2000)
    assert not caplog.records
