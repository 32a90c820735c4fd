"""The tiny form of a recipe: every part swapped for one of its kind at the size of the zoo, to train on a laptop.

What stays is the shape of the system: kinds of parts, signal tokens, stages, who trains in which, objectives.
"""

from typing import Any

from modalink.errors import RecipeError
from modalink.recipe.schema import Recipe
from modalink.recipe.stage import Stage

_ZOO = {"vision": "zoo:vision", "pretrained": "zoo:llm", "stable_diffusion": "zoo:diffusion"}
_LARGEST = {"width": 128, "feed_forward": 256, "heads": 4, "encoder_layers": 1, "decoder_layers": 2, "layers": 2}
_LORA_RANK = 8
_LLAMA_LINEARS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def tiny_form(recipe: Recipe) -> dict[str, Any]:
    """The data of a recipe's tiny form.

    Raises:
        RecipeError: A part is of a kind that has no tiny form in the zoo.
    """
    data = recipe.to_dict()
    for modality, chosen in data["inputs"].items():
        chosen["encoder"] = _part(chosen["encoder"], f"inputs.{modality}.encoder", layer=-1, image_size=None)
        chosen["projector"] = _small(chosen["projector"])
    for modality, made in data["outputs"].items():
        made["projector"] = _small(made["projector"])
        made["generator"] = _part(made["generator"], f"outputs.{modality}.generator")
        made["steps"] = min(made["steps"], 20)
    llm = _part(data["llm"], "llm")
    stages = [_stage(recipe, stage) for stage in recipe.stages]
    return {
        **data,
        "name": f"{recipe.name}-tiny",
        "llm": {**llm, "lora": _lora(llm["lora"])},
        "prompt": {"template": "chatml"},  # the only one that the zoo's LLM has read
        "init": None,  # of other shapes
        "stages": stages,
        "provenance": {},
    }


def _part(part: dict[str, Any], place: str, **changes: Any) -> dict[str, Any]:
    if part["kind"] not in _ZOO:
        kinds = ", ".join(_ZOO)
        raise RecipeError(f"{place}: the kind {part['kind']!r} has no tiny form; those that have are {kinds}")
    return {**part, "checkpoint": _ZOO[part["kind"]], "revision": None, "dtype": "auto", **changes}


def _small(projector: dict[str, Any]) -> dict[str, Any]:
    return {k: min(v, _LARGEST[k]) if k in _LARGEST and v is not None else v for k, v in projector.items()}


def _lora(lora: dict[str, Any] | None) -> dict[str, Any] | None:
    if lora is None:
        return None
    rank = min(lora["rank"], _LORA_RANK)
    targets = [t for t in lora["targets"] if t in _LLAMA_LINEARS] or ["q_proj", "v_proj"]
    return {**lora, "rank": rank, "alpha": lora["alpha"] * rank / lora["rank"], "targets": targets}


def _stage(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    small = {"batch": min(stage.batch, 16), "micro_batch": None, "epochs": None, "steps": 40}
    warmup = stage.warmup if stage.warmup < 1 else 0.03
    source = {"source": "tiny_world", "count": 2000, "tasks": _tasks(recipe, stage)}
    return {
        **stage.model_dump(mode="json"),
        **small,
        "init": None,
        "warmup": warmup,
        "max_tokens": min(stage.max_tokens, 512),
        "data": [source],
        "mixture": "concatenate",
        "evaluate": _evaluation(stage, source),
    }


def _evaluation(stage: Stage, source: dict[str, Any]) -> dict[str, Any] | None:
    """The validation loss, on scenes of another split; benchmarks and their data are not at hand."""
    if stage.evaluate is None or not stage.evaluate.data:
        return None
    best = stage.evaluate.keep_best
    return {
        "every": min(stage.evaluate.every, 20),
        "data": [{**source, "split": "validation"}],
        "samples": min(stage.evaluate.samples, 64),
        "keep_best": best.model_dump() if best is not None and best.metric.startswith("loss") else None,
    }


def _tasks(recipe: Recipe, stage: Stage) -> dict[str, float]:
    """What the tiny world must show for every trained group to learn."""
    draws = any(group.startswith("outputs.") for group in stage.train)
    looks = bool(recipe.inputs) and (not draws or any(group.startswith("inputs.") for group in stage.train))
    talks = bool({"llm", "llm.lora"} & stage.train.keys())
    wanted = {"caption": looks, "vqa": looks and talks, "draw": draws or not looks}
    return {task: 1.0 for task, needed in wanted.items() if needed}
