"""The tiny form of a recipe: every part in its own tiny form, and stages that are short, to train on a laptop.

What stays is the shape of the system: kinds of parts, signal tokens, stages, who trains in which, objectives.
"""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

from modalink.errors import RecipeError
from modalink.kinds import KindConfig
from modalink.recipe.evaluation import SOURCES
from modalink.recipe.groups import JOIN, LLM, LORA, NEW_TOKENS, PEFT, Group
from modalink.recipe.schema import Recipe
from modalink.recipe.stage import Stage
from modalink.recipe.system import InputSpec, OutputSpec


def tiny_form(recipe: Recipe) -> dict[str, Any]:
    """The data of a recipe's tiny form.

    Raises:
        RecipeError: A part is of a kind that has no tiny form.
    """
    changes = {
        "inputs": {modality: _input(recipe, modality) for modality in recipe.inputs},
        "outputs": {modality: _output(modality, made) for modality, made in recipe.outputs.items()},
        "llm": _part(LLM, recipe.llm),
    }
    return {
        **recipe.model_copy(update=changes).to_dict(),
        "name": f"{recipe.name}-tiny",
        "prompt": {"template": "chatml"},  # the only one that the zoo's LLM has read
        "init": None,  # of other shapes
        "stages": [_stage(recipe, stage) for stage in recipe.stages],
        "provenance": {},
    }


def _input(recipe: Recipe, modality: str) -> InputSpec:
    """An input, with an encoder of its own where the tiny form of the one that it used reads its modality no more."""
    chosen, owner = recipe.inputs[modality], recipe.encoder_owners[modality]
    shared = _part(Group.encoder(owner), recipe.encoders()[owner])
    own = _part(Group.encoder(modality), recipe.encoder(modality))
    uses = chosen.use is not None and modality in shared.reads()
    changes = {"encoder": None if uses else own, "use": owner if uses else None}
    projector = _part(Group.input_projector(modality), chosen.projector)
    return chosen.model_copy(update={**changes, "projector": projector})


def _output(modality: str, made: OutputSpec) -> OutputSpec:
    projector = _part(Group.output_projector(modality), made.projector)
    generator = _part(Group.generator(modality), made.generator)
    return made.model_copy(update={"projector": projector, "generator": generator})


def _part(place: Group, part: KindConfig) -> Any:
    try:
        return part.tiny()
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from None


def _stage(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    small = {"batch": min(stage.batch, 16), "micro_batch": None, "micro_tokens": None, "epochs": None, "steps": 40}
    warmup = stage.warmup if stage.warmup < 1 else 0.03
    tasks = _tasks(recipe, stage)
    stand_in = {"source": "tiny_world", "count": 2000, "tasks": tasks, "shows": _shows(recipe, tasks)}
    data, mixture = _data(stage, stand_in)
    return {
        **stage.model_dump(mode="json"),
        **small,
        # The zoo's LLM has read the tokens that a prompt may add.
        "train": {g: s for g, s in stage.model_dump(mode="json")["train"].items() if recipe.outputs or g != NEW_TOKENS},
        "init": None,
        "warmup": warmup,
        "max_tokens": min(stage.max_tokens, 512),
        "data": data,
        "mixture": mixture,
        "evaluate": _evaluation(stage, stand_in),
    }


def _data(stage: Stage, stand_in: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The sources in the tiny forms that they declare, the tiny world for those that declare none, and the mixture."""
    if any(source.loss_weight is not None for source in stage.data):
        each = [(_forms([source]) or [{**stand_in, "seed": number}])[0] for number, source in enumerate(stage.data)]
        weights = [{"weight": 1.0, "loss_weight": source.loss_weight} for source in stage.data]
        return [form | weight for form, weight in zip(each, weights, strict=True)], "ratio"
    own = _forms(stage.data)
    if len(own) == len(stage.data):
        return own, stage.mixture
    if not own:
        return [stand_in], "concatenate"
    # By weights, because a source that streams has no size.
    return [{**source, "weight": source.get("weight") or 1.0} for source in (*own, stand_in)], "ratio"


def _forms(sources: list[Any]) -> list[dict[str, Any]]:
    """The tiny forms of the sources that declare one."""
    found = []
    for source in sources:
        with suppress(RecipeError):
            found.append(SOURCES.dump(source.tiny()))
    return found


def _evaluation(stage: Stage, stand_in: dict[str, Any]) -> dict[str, Any] | None:
    """The validation loss, on scenes of another split where those stand in; benchmarks' data are not at hand."""
    if stage.evaluate is None or not stage.evaluate.data:
        return None
    best, own = stage.evaluate.keep_best, _forms(stage.evaluate.data)
    missing = [{**stand_in, "split": "validation"}] if len(own) < len(stage.evaluate.data) else []
    return {
        "every": min(stage.evaluate.every, 20),
        "data": own + missing,
        "samples": min(stage.evaluate.samples, 64),
        "keep_best": best.model_dump() if best is not None and best.metric.startswith("loss") else None,
    }


def _shows(recipe: Recipe, tasks: Collection[str]) -> dict[str, float]:
    """Of what modalities the tiny world shows things: those that are read and made, as far as it has them."""
    reads = set(tasks) != {"draw"}
    known = [modality for modality in ("image", "video", "audio", "points") if modality in recipe.inputs and reads]
    drawn = ["image"] if "image" in recipe.outputs or not known else []
    return dict.fromkeys([*drawn, *known], 1.0)


def _tasks(recipe: Recipe, stage: Stage) -> dict[str, float]:
    """What the tiny world must show for every trained group to learn."""
    sides = {Group(group).side for group in stage.train}
    draws = "outputs" in sides
    looks = bool(recipe.inputs) and (not draws or "inputs" in sides)
    talks = bool({LLM, LORA, PEFT, JOIN} & stage.train.keys())
    wanted = {"caption": looks, "vqa": looks and talks, "draw": draws or not looks}
    return {task: 1.0 for task, needed in wanted.items() if needed}
