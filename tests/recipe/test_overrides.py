import pytest

from modalink.errors import RecipeError
from modalink.recipe import load


def test_values_are_yaml(see):
    recipe = load(
        see,
        [
            "stages.0.batch=4",
            "stages.0.train.llm.lora.lr=2e-5",
            "stages.0.clip=null",
            "prompt.system='a=b'",
            "llm.lora.targets=[q_proj, k_proj]",
            "stages.0.data.0.tasks={vqa: 2}",
        ],
    )
    stage = recipe.stages[0]
    assert (stage.batch, stage.clip, stage.train["llm.lora"].lr) == (4, None, 2e-5)
    assert recipe.prompt.system == "a=b"
    assert recipe.llm.lora.targets == ("q_proj", "k_proj")
    assert stage.data[0].tasks == {"vqa": 2.0}


def test_the_last_of_two_wins(see):
    assert load(see, ["seed=1", "seed=2"]).seed == 2


def test_a_group_can_be_added(see):
    assert load(see, ["stages.0.train.inputs.image.encoder.lr=1e-6"]).stages[0].train["inputs.image.encoder"].lr == 1e-6
    whole = load(see, ["stages.0.train.inputs.image.encoder={lr: 1e-6, weight_decay: 0.1}"])
    assert whole.stages[0].train["inputs.image.encoder"].weight_decay == 0.1


def test_another_kind_leaves_the_old_settings_behind(see):
    recipe = load(see, ["inputs.image.projector.kind=linear", "inputs.image.projector.join.tokens=4"])
    assert recipe.inputs["image"].projector.join.tokens == 4
    assert not hasattr(recipe.inputs["image"].projector, "layers")


def test_adapters_can_be_taken_away(see):
    recipe = load(see, ["llm.lora=null", "stages.0.train={inputs.image.projector: {lr: 0.1}}"])
    assert recipe.llm.lora is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.0.bacth=8", ", stages.0.bacth: unknown key 'bacth'; did you mean 'batch'? known: "),
        ("stages.0.batch=x", ", stages.0.batch: found 'x', needed a valid integer"),
        ("stages.1.batch=8", ": stages: found index '1', needed a number from 0 to 0"),
        ("stages.last.batch=8", ": stages: found index 'last', needed a number from 0 to 0"),
        ("name.first=x", ": name: found the value 'see', which has nothing inside; cannot go to 'first'"),
        (
            "stages.0.train.llm.lroa.lr=1",
            ", stages.0.train.llm.lroa: unknown parameter group 'llm.lroa'; did you mean ",
        ),
        ("seed=[1", ", line 1: this is no YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_a_bad_override_names_itself(see, override, message):
    with pytest.raises(RecipeError) as caught:
        load(see, [override])
    assert str(caught.value).startswith(f"override {override!r}{message}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "'seed' is no override: needed PATH=VALUE, for example stages.0.batch=8"),
        ("=3", "'=3' is no override: needed PATH=VALUE, for example stages.0.batch=8"),
        ("stages..batch=3", "'stages..batch' is no path: found an empty step, needed keys and indices joined by dots"),
    ],
)
def test_what_is_no_override(see, override, message):
    with pytest.raises(RecipeError) as caught:
        load(see, [override])
    assert str(caught.value) == message


def test_an_overridden_value_is_no_longer_published():
    recipe = load("llava-1.5-7b", ["stages.0.batch=8", "llm.checkpoint=zoo:llm"])
    assert recipe.provenance["stages.0.batch"] == "assumed: override 'stages.0.batch=8'"
    assert "llm.checkpoint" not in recipe.provenance
    assert recipe.provenance["stages.0"].startswith("code: ")


@pytest.mark.parametrize(
    "override",
    ["x" * 10**5, "seed=" + "x" * 10**5, "x" * 10**5 + "=1", "seed=[" + "1," * 40_000, "a." * 50_000 + "b=1"],
)
def test_a_long_override_is_cut_in_the_message(see, override):
    with pytest.raises(RecipeError) as caught:
        load(see, [override])
    assert len(str(caught.value)) < 2000
