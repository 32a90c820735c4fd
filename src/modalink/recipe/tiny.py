"""The tiny form of a recipe: every part in its own tiny form, and stages that are short, to train on a laptop.

What stays is the shape of the system: kinds of parts, signal tokens, stages, who trains in which, objectives.
"""

import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from modalink import modalities
from modalink.errors import RecipeError
from modalink.kinds import KindConfig
from modalink.recipe.evaluation import SOURCES
from modalink.recipe.groups import JOIN, LLM, LORA, NEW_TOKENS, PEFT, Group
from modalink.recipe.outputs import OutputSpec
from modalink.recipe.schema import Recipe
from modalink.recipe.stage import Stage
from modalink.recipe.system import InputSpec
from modalink.roles import EncoderConfig, GeneratorConfig

_log = logging.getLogger(__name__)
_PICTURES = "image"
"""The modality that the task `draw` of the tiny world asks for; `make` asks for the others."""
LINKS_LR, PARTS_LR = 3e-3, 1e-3
"""Learning rates from which tiny parts learn in some steps: of links, and of what comes trained. Published rates are
for parts a hundred times as wide."""


def tiny_form(recipe: Recipe) -> dict[str, Any]:
    """The data of a recipe's tiny form.

    Outputs whose generator has no tiny form are left out beside pictures, and a line of the log says so.

    Raises:
        RecipeError: A part is of a kind that has no tiny form.
    """
    recipe = _without_unmade(recipe)
    changes = {
        "inputs": {modality: _input(recipe, modality) for modality in recipe.inputs},
        "outputs": {modality: _output(recipe, modality) for modality in recipe.outputs},
        "llm": _part(LLM, recipe.llm),
    }
    return {
        **recipe.model_copy(update=changes).to_dict(),
        "name": f"{recipe.name}-tiny",
        # The only template that the zoo's LLM has read.
        "prompt": {"template": "chatml", "coordinates": recipe.prompt.coordinates},
        "init": None,  # of other shapes
        "published": None,
        "stages": [_stage(recipe, stage) for stage in recipe.stages],
        "provenance": {},
    }


def _without_unmade(recipe: Recipe) -> Recipe:
    """The recipe without what no tiny generator makes, where it makes pictures beside it."""
    beside = [m for m in recipe.signalled if m != _PICTURES and _PICTURES in recipe.signalled]
    unmade = [m for m in beside if not _is_made(recipe.outputs[m])]
    if not unmade:
        return recipe
    left_out = ", ".join(f"outputs.{modality}" for modality in unmade)
    _log.warning("%s: the tiny form leaves out %s, for which no tiny generator ships", recipe.name, left_out)
    groups = {Group.output_projector(modality) for modality in unmade}
    stages = [
        stage.model_copy(update={"train": {g: s for g, s in stage.train.items() if Group(g).whole not in groups}})
        for stage in recipe.stages
    ]
    outputs = {modality: made for modality, made in recipe.outputs.items() if modality not in unmade}
    return recipe.model_copy(update={"outputs": outputs, "stages": stages})


def _is_made(output: OutputSpec) -> bool:
    """Whether the generator has a tiny form, and one that the links of its output drive."""
    try:
        tiny: Any = output.generator.tiny()
    except RecipeError:
        return False
    return output.projectors is None or output.projectors.keys() >= tiny.condition_shapes().keys()


def _input(recipe: Recipe, modality: str) -> InputSpec:
    """An input with parts of its own where it shares some that read less at tiny size."""
    chosen, apart = recipe.inputs[modality], _is_apart(recipe, modality)
    encoder = recipe.encoder(modality) if apart else chosen.encoder
    projector = recipe.projector(modality) if apart else chosen.projector
    changes = {
        "encoder": None if encoder is None else _encoder(modality, encoder),
        "use": None if apart else chosen.use,
        "projector": None if projector is None else _part(Group.input_projector(modality), projector),
    }
    return chosen.model_copy(update=changes)


def _encoder(modality: str, encoder: EncoderConfig) -> EncoderConfig:
    """The tiny form of an encoder, with adapters if it has some."""
    tiny: EncoderConfig = _part(Group.encoder(modality), encoder)
    return tiny.model_copy(update={"lora": None if encoder.lora is None else encoder.lora.tiny()})


def _is_apart(recipe: Recipe, modality: str) -> bool:
    """Whether a modality shares an encoder whose tiny form does not read it."""
    owner = recipe.encoder_owners[modality]
    tiny = _part(Group.encoder(owner), recipe.encoders()[owner])
    return owner != modality and isinstance(tiny, EncoderConfig) and not modalities.get(modality).fits(tiny.reads())


def _output(recipe: Recipe, modality: str) -> OutputSpec:
    """An output with a projector of its own where it shares one whose tiny generator reads other conditions."""
    made, group = recipe.outputs[modality], Group.output_projector(modality)
    source = recipe.outputs[made.use] if made.use is not None and _is_alone(recipe, modality) else made
    kept = {name: link for name, link in source.links.items() if name not in _undriven(recipe, modality)}
    named = source.projectors and {name: _part(group.inside(name), link) for name, link in kept.items()}
    changes = {
        "signal_tokens": _signal_tokens(source, made.generator),
        # An LLM that is full of its own sentences does not come to tokens that begin as any other.
        "signal_start": "end",
        "states": source.states,
        "projector": source.projector and _part(group, source.projector),
        "projectors": named,
        "use": made.use if source is made else None,
        "generator": _generator(modality, made.generator),
    }
    return made.model_copy(update=changes)


def _generator(modality: str, generator: GeneratorConfig) -> GeneratorConfig:
    """The tiny form of a generator, in which as much can learn."""
    tiny: GeneratorConfig = _part(Group.generator(modality), generator)
    lora = None if generator.lora is None else generator.lora.tiny().model_dump()
    return tiny.replace(lora=lora, trainable=generator.trainable) if generator.learns else tiny


def _undriven(recipe: Recipe, modality: str) -> set[str]:
    """Links of an output to conditions that its tiny generator does not read."""
    made = recipe.outputs[modality]
    if not made.projectors:
        return set()
    generator: Any = _part(Group.generator(modality), made.generator)
    return made.projectors.keys() - generator.condition_shapes().keys()


def _signal_tokens(source: OutputSpec, generator: GeneratorConfig) -> int:
    """As many as the tiny generator's conditions have tokens, where a projector needs one for each."""
    if source.states.at == "prompt" or not any(link.one_for_each for link in source.links.values()):
        return source.signal_tokens
    tiny: Any = generator.tiny()
    tokens = [shape.tokens or 1 for shape in tiny.condition_shapes().values()]
    return sum(tokens) if source.projector is not None else max(tokens)


def _is_alone(recipe: Recipe, modality: str) -> bool:
    """Whether a modality uses the projector of one whose tiny generator reads other conditions."""
    owner = recipe.link_owners[modality]
    one, other = (_part(Group.generator(m), recipe.outputs[m].generator) for m in (modality, owner))
    different: bool = one.condition_shapes() != other.condition_shapes()
    return different


def _part(place: Group, part: KindConfig) -> Any:
    try:
        return part.tiny()
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from None


def _stage(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    small = {"batch": min(stage.batch, 16), "micro_batch": None, "micro_tokens": None, "epochs": None, "steps": 40}
    warmup = stage.warmup if stage.warmup < 1 else 0.03
    stand_ins = _stand_ins(recipe, stage)
    data, mixture = _data(stage, stand_ins)
    return {
        **stage.model_dump(mode="json"),
        **small,
        **stage.small(),
        "train": _train(recipe, stage),
        "objectives": _objectives(recipe, stage),
        "image_size": _sides(recipe, stage),
        "init": _init(stage),
        "warmup": warmup,
        "max_tokens": min(stage.max_tokens, 512),
        "data": data,
        "mixture": mixture,
        "evaluate": _evaluation(stage, stand_ins[0]),
    }


def _objectives(recipe: Recipe, stage: Stage) -> list[dict[str, Any]]:
    """The objectives, where a medium is learned by its codes if the tiny generator says codes and restores no noise."""
    coded = {m for m, made in recipe.outputs.items() if made.generator.denoiser and not _restores(made.generator)}
    found = []
    for own in stage.model_dump(mode="json")["objectives"]:
        meant = [m for m in recipe.outputs if own.get("modalities") is None or m in own["modalities"]]
        if own["kind"] != "diffusion" or not coded & {*meant}:
            found.append(own)
            continue
        if restored := [m for m in meant if m not in coded]:
            found.append(own | {"modalities": restored})
        shared = {"weight": own["weight"], "condition_dropout": own["condition_dropout"]}
        found.append({"kind": "codes", **shared, "modalities": [m for m in meant if m in coded]})
    return found


def _restores(generator: GeneratorConfig) -> bool:
    """Whether the tiny form of a generator restores media from noise."""
    tiny: Any = generator.tiny()
    return tiny.denoiser is not None


def _init(stage: Stage) -> dict[str, Any] | None:
    """What an earlier stage has left has the same shapes; what another run lends has others."""
    own = stage.init is not None and stage.init.source is None
    return stage.model_dump(mode="json")["init"] if own else None


def _stand_ins(recipe: Recipe, stage: Stage) -> list[dict[str, Any]]:
    """What the tiny world shows and asks in the place of a stage's data."""
    making, tasks = _making(recipe, stage), _tasks(recipe, stage)
    if not tasks:
        return making
    shown = {"source": "tiny_world", "count": 2000, "tasks": tasks, "shows": _shows(recipe, stage, tasks)}
    described = any(getattr(source, "captions", None) is not None for source in stage.data)
    return [shown | {"described": True} if described else shown, *making]


def _making(recipe: Recipe, stage: Stage) -> list[dict[str, Any]]:
    """What the tiny world must ask for beside pictures, of what the stage teaches to make."""
    made = [m for m in recipe.signalled if m != _PICTURES and _teaches(recipe, stage, m)]
    asked: dict[str, Any] = {"source": "tiny_world", "count": 2000, "tasks": {"make": 1.0}}
    return [asked | {"shows": dict.fromkeys(made, 1.0)}] if made else []


def _teaches(recipe: Recipe, stage: Stage, modality: str) -> bool:
    """Whether the stage trains the links of an output, its own or those that it uses."""
    links = {Group.output_projector(modality), Group.output_projector(recipe.link_owners[modality])}
    return bool(links & {Group(group).whole for group in stage.train})


def _data(stage: Stage, stand_ins: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """The sources in the tiny forms that they declare, the tiny world for those that declare none, and the mixture."""
    if any(source.loss_weight is not None for source in stage.data):
        first = stand_ins[0]
        each = [(_forms([source]) or [{**first, "seed": number}])[0] for number, source in enumerate(stage.data)]
        weights = [{"weight": 1.0, "loss_weight": source.loss_weight} for source in stage.data]
        return [form | weight for form, weight in zip(each, weights, strict=True)], "ratio"
    own = _forms(stage.data)
    if len(own) == len(stage.data):
        return own, stage.mixture
    if not own:
        return stand_ins, "concatenate"
    # By weights, because a source that streams has no size.
    return [{**source, "weight": source.get("weight") or 1.0} for source in (*own, *stand_ins)], "ratio"


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


def _train(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """The groups that learn, and those of inputs that share nothing at tiny size."""
    groups = stage.model_dump(mode="json")["train"]
    for modality, owner in recipe.projector_owners.items():
        if modality != owner and _is_apart(recipe, modality):
            shared = Group.input_projector(owner)
            own = {g: s for g, s in groups.items() if Group(g).whole == shared}
            groups |= {Group.input_projector(modality) + g.removeprefix(shared): s for g, s in own.items()}
    for modality, owner in recipe.link_owners.items():
        if modality != owner and _is_alone(recipe, modality):
            shared = Group.output_projector(owner)
            own = {g: s for g, s in groups.items() if Group(g).whole == shared}
            groups |= {Group.output_projector(modality) + g.removeprefix(shared): s for g, s in own.items()}
    gone = [Group.output_projector(m).inside(name) for m in recipe.outputs for name in _undriven(recipe, m)]
    # The zoo's LLM has read the tokens that a prompt may add.
    kept = {g: s for g, s in groups.items() if (recipe.signalled or g != NEW_TOKENS) and not Group(g).within(gone)}
    links = _links_lr(recipe)
    return {g: s | {"lr": max(s["lr"], links if Group(g).is_link else PARTS_LR)} for g, s in kept.items()}


def _links_lr(recipe: Recipe) -> float:
    """An encoder-decoder that is frozen loses its way where what it reads changes as fast as a decoder can follow."""
    tiny = _part(LLM, recipe.llm)
    return LINKS_LR / 3 if tiny.architecture().is_encoder_decoder else LINKS_LR


def _sides(recipe: Recipe, stage: Stage) -> dict[str, int]:
    """Of images that the stage shows smaller than the system will read them, half the tiny encoder's side."""
    tiny = {m: _part(Group.encoder(m), recipe.encoders()[m]) for m in stage.image_size}
    return {m: side // 2 for m, encoder in tiny.items() if (side := encoder.side_px())}


def _shows(recipe: Recipe, stage: Stage, tasks: Collection[str]) -> dict[str, float]:
    """Of what modalities the tiny world shows things: those that the stage teaches to read, and those that are made.

    A stage that teaches none to be read reads all; what the tiny world has not is left out.
    """
    reads = set(tasks) != {"draw"}
    known = [m for m in ("image", "video", "audio", "points") if m in recipe.inputs and reads]
    taught = {Group(group).whole for group in stage.train if Group(group).side == "inputs"}
    encoders, projectors = recipe.encoder_owners, recipe.projector_owners
    ways = {m: {*Group.of_encoder(encoders[m]), Group.input_projector(projectors[m])} for m in known}
    known = [m for m in known if ways[m] & taught] or known
    drawn = ["image"] if "draw" in tasks or not known else []
    return dict.fromkeys([*drawn, *known], 1.0)


def _tasks(recipe: Recipe, stage: Stage) -> dict[str, float]:
    """What the tiny world must show for every trained group to learn, beside what it asks to make; nothing, where that
    is all.
    """
    sides = {Group(group).side for group in stage.train}
    makes = "outputs" in sides
    looks = bool(recipe.inputs) and (not makes or "inputs" in sides)
    draws = makes and (_PICTURES in recipe.outputs or not _making(recipe, stage))
    talks = bool({LLM, LORA, PEFT, JOIN} & stage.train.keys())
    points = looks and talks and "image" in recipe.inputs and recipe.prompt.coordinates is not None
    # The zoo's LLM has never written numbers, and what is put into it does not teach it that in some steps.
    writes = points and LLM in stage.train
    draws = draws or not (looks or makes)
    wanted = {"caption": looks, "vqa": looks and talks, "draw": draws, "locate": writes, "region": points}
    return {task: 1.0 for task, needed in wanted.items() if needed}
