"""What designs may not differ in is the same, and what is compared stays."""

import pytest

from modalink.comparison import Rates
from modalink.comparison.recipes import comparables, shown, split
from modalink.errors import RecipeError


@pytest.fixture
def designs(make_comparison):
    return lambda reads=("image",), **changes: comparables(make_comparison(**changes), reads)


def test_only_what_reads_the_questions_stays(designs):
    for one in designs():
        recipe = one.recipe
        assert list(recipe.inputs) == ["image"] and not recipe.outputs
        assert [stage.name for stage in recipe.stages] == ["stage-1", "stage-2"]  # none hears
        assert [list(stage.train) for stage in recipe.stages] == [
            ["inputs.image.projector"],
            ["inputs.image.projector", "llm.lora"],
        ]
        assert [[o.kind for o in stage.objectives] for stage in recipe.stages] == [["language"], ["language"]]


def test_data_order_seed_and_batch_are_the_same_by_construction(designs):
    runs = [one.with_steps([2, 3], seed=4) for one in designs()]
    first, second = (run.to_dict() for run in runs)
    assert first.pop("name") == "linear" and second.pop("name") == "mlp"
    assert first["inputs"]["image"].pop("projector") != second["inputs"]["image"].pop("projector")
    assert first == second  # stages' names decide the order of data, beside the seed
    assert (first["seed"], [stage["steps"] for stage in first["stages"]]) == (4, [2, 3])
    assert {(stage["batch"], stage["micro_batch"], stage["epochs"]) for stage in first["stages"]} == {(2, None, None)}


def test_rates_are_the_designs_own_or_the_comparisons(designs):
    own = [stage.train for stage in designs()[0].recipe.stages]
    assert own[1]["llm.lora"].lr == 1e-4
    given = [stage.train for stage in designs(rates=Rates(links=0.5, parts=0.25))[0].recipe.stages]
    assert {settings.lr for train in given for settings in train.values()} == {0.5}


def test_the_llm_is_that_of_the_first(designs, recipes, tmp_path):
    other = tmp_path / "other.yaml"
    llm = "llm: {checkpoint: meta/other, join: {kind: splice, where: prefix}, lora: {rank: 4, alpha: 4}}\n"
    other.write_text(f"extends: mlp.yaml\n{llm}prompt: {{template: vicuna-v1.1, coordinates: unit}}\n")
    found = designs(designs=[{"name": "a", "recipe": recipes["linear"]}, {"name": "b", "recipe": str(other)}])[1]
    assert (found.recipe.llm.checkpoint, found.recipe.llm.join.where) == ("zoo:llm", "prefix")
    assert (found.recipe.prompt.template, found.recipe.prompt.coordinates) == ("chatml", "unit")
    assert found.notes == ("the LLM is zoo:llm, in the recipe meta/other",)


def test_a_design_changes_itself_last(designs, recipes):
    learned = [{"source": "tiny_world", "tasks": ["caption"]}]
    changed = {"name": "b", "recipe": recipes["mlp"], "data": learned}
    changed["overrides"] = ["inputs.image.projector.layers=3", "stages.1.schedule=linear"]
    found = designs(designs=[{"name": "a", "recipe": recipes["mlp"]}, changed])
    assert [one.recipe.inputs["image"].projector.layers for one in found] == [2, 3]
    assert [list(one.recipe.stages[0].data[0].tasks) for one in found] == [["caption", "vqa"], ["caption"]]
    assert found[1].recipe.stages[1].schedule == "linear"


def test_an_encoder_that_another_input_lends_comes_along(designs, tmp_path):
    lent = tmp_path / "lent.yaml"
    lent.write_text(
        "extends: linear.yaml\ninputs:\n  audio:\n    encoder: {kind: imagebind, checkpoint: x}\n"
        "  image: {encoder: null, use: audio}\nstages: [{name: s, train: {inputs.audio.encoder: {lr: 1e-3}}, "
        "objectives: [{kind: language}], data: [{source: tiny_world}], batch: 2, steps: 2}]\n"
    )
    found = designs(designs=[{"name": "a", "recipe": str(lent)}, {"name": "b", "recipe": str(lent)}])[0].recipe
    assert (found.inputs["image"].use, found.inputs["image"].encoder.kind) == (None, "imagebind")
    assert list(found.stages[0].train) == ["inputs.image.encoder"]


def test_what_teaches_from_captions_alone_reads_those_of_the_comparison(designs):
    learned = [{"source": "tiny_world", "count": 7, "tasks": ["caption"]}]
    pair = [{"name": "plain", "recipe": "blip-2"}, {"name": "taught", "recipe": "dlp"}]
    plain, taught = (one.recipe for one in designs(designs=pair, data=learned, tiny=True))
    assert (list(plain.inputs), list(taught.inputs)) == (["image"], ["image", "sentence"])
    sentences, *pictures = [stage.data[0] for stage in taught.stages]
    assert (sentences.kind, sentences.of.kind, sentences.of.count) == ("sentences", "tiny_world", 7)
    assert [source.kind for source in pictures] == ["tiny_world"] * 2
    assert list(taught.stages[0].train) == ["inputs.sentence.encoder", "inputs.sentence.projector"]
    kinds = [[one.kind for one in stage.objectives] for stage in taught.stages]
    assert kinds[0] == ["language", "sentence_contrast", "vocabulary"]
    assert kinds[1:] == [["itc", "itm", "itg", "prompt_alignment"], ["language", "prompt_alignment"]]


def test_designs_that_cannot_be_compared_are_refused(designs, make_comparison):
    with pytest.raises(
        RecipeError, match=r"design linear: it reads image, audio, and the data or questions show video"
    ):
        designs(("image", "video"))
    twice = [{"name": "same", "recipe": "demo"}] * 2
    with pytest.raises(ValueError, match="found two designs with the name 'same', needed each name once"):
        make_comparison(designs=twice)
    with pytest.raises(ValueError, match=r"found steps 5 and seconds 3\.0, needed exactly one of the two"):
        make_comparison(seconds=3)
    with pytest.raises(ValueError, match=r"found the seeds \[1, 1\], needed each once"):
        make_comparison(seeds=[1, 1])
    with pytest.raises(RecipeError, match=r"override 'stages\.7\.schedule=linear'"):
        designs(designs=[{"name": n, "recipe": "demo", "overrides": ["stages.7.schedule=linear"]} for n in "ab"])


def test_a_design_that_learns_nothing_of_it_is_refused(designs, recipes, tmp_path):
    deaf = tmp_path / "deaf.yaml"
    stage = "{name: s, train: {inputs.audio.projector: {lr: 1e-3}}, objectives: [{kind: language}], "
    deaf.write_text(f"extends: linear.yaml\nstages: [{stage}data: [{{source: tiny_world}}], batch: 2, steps: 2}}]\n")
    with pytest.raises(RecipeError, match="design b: no stage of it trains anything that reads image"):
        designs(designs=[{"name": "a", "recipe": recipes["mlp"]}, {"name": "b", "recipe": str(deaf)}])


def test_what_is_drawn_anew_and_not_trained_is_said(designs, recipes, tmp_path):
    frozen = tmp_path / "frozen.yaml"
    stage = "{name: s, train: {llm.lora: {lr: 1e-3}}, objectives: [{kind: language}], "
    frozen.write_text(f"extends: linear.yaml\nstages: [{stage}data: [{{source: tiny_world}}], batch: 2, steps: 2}}]\n")
    pair = [{"name": "a", "recipe": recipes["mlp"]}, {"name": "b", "recipe": str(frozen)}]
    own, other = designs(designs=pair, tiny=True)
    assert own.notes == () and other.notes == (
        "of inputs.image.projector nothing is trained; at tiny size the rest is drawn anew, where a recipe takes a checkpoint's",
    )


def test_what_data_show(make_comparison):
    assert shown(make_comparison().data) == {"image"}
    sounds = {"source": "tiny_world", "shows": ["image", "audio"], "tasks": ["vqa"]}
    assert shown(make_comparison(data=[sounds]).data) == {"image", "audio"}


def test_a_budget_is_shared_evenly():
    assert split(5, 2) == [3, 2] and split(4, 2) == [2, 2] and split(7, 3) == [3, 2, 2]
