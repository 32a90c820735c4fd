"""What a recipe's author reads when something is wrong, by eye."""

import pytest

from modalink.errors import RecipeError
from modalink.kinds import kinds
from modalink.recipe import Recipe, load
from modalink.recipe.upgrade import upgraded

STAGE_KEYS = (
    "known: batch, checkpoint_every, clip, data, ema, epochs, evaluate, image_size, init, kind, max_tokens, micro_batch, micro_tokens, min_lr, mixture, "
    "name, objectives, on_bad_sample, optimizer, precision, schedule, steps, train, warmup"
)
_OF_THE_INPUT = (
    "inputs.image.encoder, inputs.image.projector, inputs.image.projector.layers, inputs.image.projector.norm, llm"
)
GROUPS = f"known: {_OF_THE_INPUT}, llm.lora"
ENCODERS = "known: " + ", ".join(sorted(kinds("modalink.encoders")))
SOURCES = "known: " + ", ".join(sorted(kinds("modalink.data.sources")))
OBJECTIVES = "one of: " + ", ".join(sorted(kinds("modalink.training.objectives")))
CASES = [
    ("batch: 8", "bacth: 8", "see.yaml: 2 problems\n"
     "  see.yaml, line 11, stages.0: the key 'batch' is missing\n"
     "  see.yaml, line 17, stages.0.bacth: unknown key 'bacth'; did you mean 'batch'? " + STAGE_KEYS),
    ("rank: 8", "rnk: 8", "see.yaml: 2 problems\n"
     "  see.yaml, line 8, llm.lora: the key 'rank' is missing\n"
     "  see.yaml, line 8, llm.lora.rnk: unknown key 'rnk'; did you mean 'rank'? known: alpha, checkpoint, dora, dropout, rank, revision, targets"),
    ("kind: vision", "kind: visoin",
     "see.yaml, line 4, inputs.image.encoder: unknown kind of encoders 'visoin'; did you mean 'vision'? " + ENCODERS),
    ("source: tiny_world", "source: tinyworld",
     "see.yaml, line 16, stages.0.data.0: unknown kind of data.sources 'tinyworld'; did you mean 'tiny_world'? "
     + SOURCES),
    ("{kind: language}", "{weight: 2}",
     "see.yaml, line 15, stages.0.objectives.0: found {'weight': 2}, needed a mapping with 'kind', "
     + OBJECTIVES),
    ("llm.lora: {lr", "llm.loar: {lr",
     "see.yaml, line 14, stages.0.train.llm.loar: unknown parameter group 'llm.loar'; did you mean "
     "'llm.lora'? " + GROUPS),
    ("  lora: {rank: 8, alpha: 16}\n", "",
     "see.yaml, line 13, stages.0.train.llm.lora: unknown parameter group 'llm.lora'; did you mean 'llm'? known: "
     f"{_OF_THE_INPUT}; give the LLM adapters: llm.lora: {{rank: 8, alpha: 16}}"),
    ("llm.lora: {lr", "llm.new_tokens: {lr",
     "see.yaml, line 14, stages.0.train.llm.new_tokens: unknown parameter group 'llm.new_tokens'; " + GROUPS
     + "; new tokens come with the signal tokens of outputs, and the recipe has none"),
    ("batch: 8", "batch: many",
     "see.yaml, line 17, stages.0.batch: found 'many', needed a valid integer, unable to parse string as an integer"),
    ("lr: 1e-4", "lr: -1", "see.yaml, line 14, stages.0.train.llm.lora.lr: found -1, needed greater than 0"),
    ("batch: 8", "batch: 8\n    schedule: cosinus",
     "see.yaml, line 18, stages.0.schedule: found 'cosinus', needed 'cosine', 'linear' or 'constant'; did you mean "
     "'cosine'?"),
    ("name: see", "name: 12", "see.yaml, line 1, name: found 12, needed text (put it in quotes)"),
    ("prompt: {template: chatml}", "prompt: chatml",
     "see.yaml, line 9, prompt: found 'chatml', needed a mapping (lines of `key: value`)"),
    ("    data: [{source: tiny_world, count: 20}]", "    data: {source: tiny_world}",
     "see.yaml, line 16, stages.0.data: found {'source': 'tiny_world'}, needed a list (lines that begin with `-`)"),
    ("steps: 30", "steps: 30\n    epochs: 1",
     "see.yaml, line 11, stages.0: found epochs 1.0 and steps 30, needed exactly one of the two"),
    ("batch: 8", "batch: 8\n    micro_batch: 3", "see.yaml, line 11, stages.0: micro_batch 3 does not divide batch 8"),
    ("steps: 30", "steps: 30\n    warmup: 31",
     "see.yaml, line 11, stages.0: warmup of 31 steps is longer than the stage's 30 steps"),
    ("{kind: language}", "{kind: align}",
     "see.yaml, line 15, stages.0.objectives.0: the objective 'align' needs outputs, and the recipe has none"),
    ("batch: 8", "batch: 8\n    condition_dropout: 0.2",
     "see.yaml, line 18, stages.0.condition_dropout: condition_dropout belongs to its objective now: objectives: "
     "[{kind: diffusion, condition_dropout: 0.1}]"),
    ("batch: 8", "batch: 8\n    optimizer: {kind: adam}",
     "see.yaml, line 18, stages.0.optimizer: unknown kind of training.optimizers 'adam'; did you mean 'adamw'? known: "
     "adafactor, adamw"),
    ("batch: 8", "batch: 8\n    optimizer: {betas: [0.9, 1]}",
     "see.yaml, line 18, stages.0.optimizer.betas.1: found 1, needed less than 1"),
    ("count: 20", "count: 20, weight: 1",
     "see.yaml, line 16, stages.0.data.0.weight: the mixture 'concatenate' reads no weight; use `ratio`"),
    ("batch: 8", "batch: 8\n    mixture: ratio",
     "see.yaml, line 16, stages.0.data.0: the mixture `ratio` needs a weight for each source"),
    ("prompt: {template: chatml}", "prompt: {template: chatml}\nprovenance: {stages.0.bacth: published}",
     "see.yaml, line 10, provenance.stages.0.bacth: leads nowhere: stages.0: unknown key 'bacth'; did you mean "
     "'batch'? " + STAGE_KEYS),
    ("prompt: {template: chatml}", "prompt: {template: chatml}\nprovenance: {stages.0.batch: guessed}",
     "see.yaml, line 10, provenance.stages.0.batch: found 'guessed', needed text of the form "
     "^(published|code|recalled|assumed)(: .+)?$"),
    ("lr: 1e-4", "lr: inf", "see.yaml, line 14, stages.0.train.llm.lora.lr: found 'inf', needed a finite number"),
    ("batch: 8", "batch: 8\n    warmup: .inf", "see.yaml, line 18, stages.0.warmup: found inf, needed a finite number"),
    ("batch: 8", "batch: 2000000", "see.yaml, line 17, stages.0.batch: found 2000000, needed less than or equal to 1048576"),
    ("name: see", f"name: see\nseed: {2**63}",
     "see.yaml, line 2, seed: found 9223372036854775808, needed a number of at most 64 bits"),
    ("count: 20", f"count: {10**40}", "see.yaml, line 16, stages.0.data.0.count: found 1" + 40 * "0"
     + ", needed a number of at most 64 bits"),
    ("- name: pretrain", "- name: Model",
     "see.yaml, line 11, stages.0.name: found 'Model', a name that the run folder has for a file of its own; choose another"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), CASES)
def test_message(see, right, wrong, message):
    text = see.read_text()
    assert right in text
    see.write_text(text.replace(right, wrong))
    with pytest.raises(RecipeError) as caught:
        load(see)
    assert str(caught.value) == message


def test_two_stages_of_one_name(see):
    text = see.read_text()
    see.write_text(text + text[text.index("  - name") :])
    with pytest.raises(RecipeError, match=r"line 19, stages.1.name: the name 'pretrain' is taken by an earlier stage"):
        load(see)


@pytest.mark.parametrize("name", ["evaluation", "examples", "recipe.yaml", "manifest.json", "report.html"])
def test_a_stages_folder_stands_where_nothing_else_of_the_run_does(see, name):
    with pytest.raises(RecipeError, match=f"stages.0.name: found '{name}', a name that the run folder has"):
        load(see, [f"stages.0.name={name}"])
    assert load(see, [f"stages.0.name={name}-2"]).stages[0].name == f"{name}-2"


@pytest.mark.parametrize(("key", "value"), [("guidance", "3.0"), ("steps", "20")])
def test_how_media_are_sampled_belongs_to_the_generator(key, value):
    says = rf"outputs.image.{key}: {key} belongs to the generator now: generator: \{{{key}: {value}\}}"
    with pytest.raises(RecipeError, match=says):
        load("next-gpt-image", [f"outputs.image.{key}={value}"])


def test_a_run_of_before_goes_on_with_its_sampling():
    data = load("next-gpt-image").to_dict()
    old = {**data["outputs"]["image"], "guidance": 5.0, "steps": 7}
    old["generator"] = {k: v for k, v in old["generator"].items() if k not in ("guidance", "steps")}
    generator = (
        Recipe.model_validate(upgraded({**data, "outputs": {"image": old}, "provenance": {}}))
        .outputs["image"]
        .generator
    )
    assert (generator.guidance, generator.steps) == (5.0, 7)


def test_an_output_projector_needs_an_objective_that_teaches_it():
    overrides = ["stages.1.objectives=[{kind: language}]"]
    with pytest.raises(
        RecipeError, match=r"outputs.image.projector: nothing here teaches it: add the objective align or"
    ):
        load("next-gpt-image", overrides)


def test_a_system_needs_a_modality(see):
    with pytest.raises(RecipeError, match="found neither inputs nor outputs"):
        load(see, ["inputs={}", "stages=[]"])


def test_errors_of_python_objects_name_the_place_too(see):
    data = load(see).to_dict()
    data["llm"]["lora"]["rank"] = "high"
    with pytest.raises(ValueError, match=r"lora.rank: found 'high', needed a valid integer"):
        Recipe.model_validate(data)
