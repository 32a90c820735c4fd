"""What a recipe's parts must agree on with its stages; a field's own limits stand with the field."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from modalink import modalities
from modalink.errors import PartError, RecipeError, UnknownNameError
from modalink.kinds import config_class, kinds
from modalink.recipe.errors import Problem
from modalink.recipe.evaluation import Evaluation
from modalink.recipe.groups import JOIN, LLM, LORA, NEW_TOKENS, PEFT, REWARD_HEAD, VALUE_HEAD, Group
from modalink.recipe.paths import look_up
from modalink.recipe.stage import Stage
from modalink.recipe.system import SystemSpec
from modalink.yaml_files import Loc

_OBJECTIVES = "modalink.training.objectives"
_OF_CAPTIONS = {"contrast", "matching", "writing"}
_OF_SENTENCES = "inputs: {sentence: {encoder: {kind: text, ...}, projector: {kind: p_former}}}"
_OF_THE_RUN = re.compile(r"model|evaluation|examples|.*\.(yaml|json|html)", re.IGNORECASE)
"""What stands beside the folders of the stages."""


def train_groups(spec: SystemSpec) -> list[Group]:
    """The names that a stage's `train` may use."""
    groups = [LLM]
    for modality, chosen in spec.inputs.items():
        projector = Group.input_projector(modality)
        if chosen.encoder is not None:
            groups += [Group.encoder(modality)]
            groups += [Group.encoder_lora(modality)] * (chosen.encoder.lora is not None)
        if chosen.projector is not None:
            groups += [projector, *map(projector.inside, chosen.projector.sections())]
    if spec.llm.adapters is not None:
        groups.append(Group(spec.llm.adapters.group))
    if spec.join.learns:
        groups.append(JOIN)
    if spec.llm.has_reward_head:
        groups.append(REWARD_HEAD)
    if spec.llm.has_value_head:
        groups.append(VALUE_HEAD)
    if spec.signalled or spec.prompt.add_tokens:
        groups.append(NEW_TOKENS)
    for modality, made in spec.linked.items():
        projector = Group.output_projector(modality)
        groups += [projector, *map(projector.inside, made.sections())]
    for modality, made in spec.learning_generators.items():
        groups += [Group.denoiser_lora(modality)] * (made.generator.lora is not None)
        groups += [Group.denoiser(modality)] * made.generator.trainable
    return groups


def part_and_stage_problems(spec: SystemSpec, stages: Iterable[Stage]) -> list[Problem]:
    """What the stages ask of parts that are not there."""
    if not spec.inputs and not spec.outputs:
        return [Problem((), "found neither inputs nor outputs, needed at least one: without them this is a plain LLM")]
    found, stages = [*_modality_problems(spec)], list(stages)
    found += _retrieval_problems(spec, stages)
    if spec.prompt.add_tokens and stages and not any(NEW_TOKENS in stage.train for stage in stages):
        text = f"adds tokens that no stage trains; add {NEW_TOKENS} to the train of a stage"
        found.append(Problem(("prompt", "add_tokens"), text))
    names: dict[str, Stage] = {}
    for i, stage in enumerate(stages):
        if stage.name in names:
            found.append(Problem(("stages", i, "name"), f"the name {stage.name!r} is taken by an earlier stage"))
        if _OF_THE_RUN.fullmatch(stage.name):
            text = f"found {stage.name!r}, a name that the run folder has for a file of its own; choose another"
            found.append(Problem(("stages", i, "name"), text))
        found += [Problem(("stages", i, *loc), text) for loc, text in _earlier_problems(stage, names)]
        names[stage.name] = stage
        last = i == len(stages) - 1
        found += [Problem(("stages", i, "image_size", m), text) for m, text in _size_problems(spec, stage, last)]
        found += [Problem(("stages", i, *loc), text) for loc, text in _stage_problems(spec, stage)]
    return found


def _earlier_problems(stage: Stage, before: Mapping[str, Stage]) -> Iterator[tuple[Loc, str]]:
    """Stages that it names and that are not before it, or cannot judge where they must."""
    for loc, name in stage.names_stages():
        if name not in before:
            yield loc, str(UnknownNameError("earlier stage", name, before))
        elif loc[0] == "rewards" and REWARD_HEAD not in before[name].train:
            yield loc, f"found the stage {name}, which teaches no scores; needed one that trains {REWARD_HEAD}"


def _modality_problems(spec: SystemSpec) -> Iterator[Problem]:
    """Encoders and generators beside a modality that is not theirs; a modality that is not known is found later."""
    known = [modality for modality in (*spec.inputs, *spec.outputs) if modality in modalities.names()]
    for modality in known:
        record = modalities.get(modality)
        encoder = spec.encoders()[spec.encoder_owners[modality]] if modality in spec.inputs else None
        if encoder is not None and not record.fits(reads := encoder.reads()):
            key = "encoder" if spec.inputs[modality].use is None else "use"
            found = f"the encoder {encoder.kind!r} reads {_listed(reads)}, needed one that reads {modality}"
            yield Problem(("inputs", modality, key), found)
        if modality in spec.outputs and not record.fits(makes := spec.outputs[modality].generator.makes()):
            kind = spec.outputs[modality].generator.kind
            found = f"the generator {kind!r} makes {_listed(makes)}, needed one that makes {modality}"
            yield Problem(("outputs", modality, "generator"), found)


def _retrieval_problems(spec: SystemSpec, stages: Iterable[Stage]) -> Iterator[Problem]:
    """An encoder that finds must be there, and stay as it was when the index was made."""
    if spec.retrieval is None or (modality := spec.retrieval.retriever.embeds()) is None:
        return
    if modality not in spec.inputs:
        text = f"it finds by the encoder of {modality!r}, and the recipe reads {_listed(spec.inputs)}"
        yield Problem(("retrieval", "retriever"), text)
        return
    encoder = Group.encoder(spec.encoder_owners[modality])
    for i, stage in enumerate(stages):
        for group in map(Group, stage.train):
            if group == encoder or group.startswith(f"{encoder}."):
                text = "this encoder finds the entries of the retriever's index, and must stay frozen"
                yield Problem(("stages", i, "train", group), text)


def _stage_problems(spec: SystemSpec, stage: Stage) -> Iterator[Problem]:
    known = train_groups(spec)
    for group in map(Group, stage.train):
        if group == LLM and spec.llm.quantised is not None:
            text = f"the LLM is rounded to {spec.llm.quantised}, and only what stands beside it learns: "
            yield Problem(("train", group), f"{text}train llm.lora, or leave out llm.quantize")
        if group not in known:
            yield Problem(("train", group), _unknown_group(spec, group, known))
        elif not any(objective.teaches(group) for objective in stage.objectives):
            able = [kind for kind in sorted(kinds(_OBJECTIVES)) if _teaches(kind, group)]
            yield Problem(("train", group), f"nothing here teaches it: add the objective {' or '.join(able)}")
    for i, objective in enumerate(stage.objectives):
        if "links" in objective.needs and not any(
            link.draws for made in spec.outputs.values() for link in made.links.values()
        ):
            needed = "needs an output projector that draws conditions, and there is none: projector: {kind: flow}"
            yield Problem(("objectives", i), f"the objective {objective.kind!r} {needed}")
        elif "conditions" in objective.needs and "logits" not in objective.needs and not spec.signalled:
            lacking = "outputs, and the recipe has none"
            if spec.outputs:
                lacking = "outputs with a projector, and those of the recipe read the words of the reply"
            yield Problem(("objectives", i), f"the objective {objective.kind!r} needs {lacking}")
        elif "target_features" in objective.needs:
            yield from _target_problems(spec, stage, i)
        if objective.needs & _OF_CAPTIONS and not any(p.learns_captions for p in spec.projectors().values()):
            text = (
                f"the objective {objective.kind!r} needs an input projector that learns captions, and there is none: "
            )
            yield Problem(("objectives", i), f"{text}projector: {{kind: q_former, captions: true}}")
        if "embeddings" in objective.needs and not any(p.embeds for p in spec.projectors().values()):
            needed = f"needs an input projector that tells sentences apart: {_OF_SENTENCES}"
            yield Problem(("objectives", i), f"the objective {objective.kind!r} {needed}")
        if "reference_prompts" in objective.needs:
            yield from _reference_problems(spec, stage, i)
        if objective.needs & {"rewards", "step_rewards"} and not spec.llm.has_reward_head:
            text = f"the objective {objective.kind!r} needs a head that scores replies: llm.reward_head: true"
            yield Problem(("objectives", i), text)
        if "values" in objective.needs and not spec.llm.has_value_head:
            text = f"the objective {objective.kind!r} needs a head that expects rewards: llm.value_head: true"
            yield Problem(("objectives", i), text)
        if "sampled_media" in objective.needs and not stage.samples_media:
            text = f"the objective {objective.kind!r} learns from media that a stage makes and has judged, which one of"
            yield Problem(("objectives", i), f"{text} kind {stage.kind!r} does not: kind: online_media")
        elif objective.needs & {"reference_logprobs", "reference_conditions"} and not stage.keeps_start:
            text = f"the objective {objective.kind!r} measures by the state in which its stage began, which a stage of"
            yield Problem(("objectives", i), f"{text} kind {stage.kind!r} does not keep: kind: preference")
    yield from _mixture_problems(stage)
    if stage.evaluate is not None:
        yield from _evaluation_problems(stage.evaluate, {objective.kind for objective in stage.objectives})


def _size_problems(spec: SystemSpec, stage: Stage, last: bool) -> Iterator[tuple[str, str]]:
    """Modalities that a stage shows at another size and cannot, and why."""
    for modality, side in stage.image_size.items():
        encoder = spec.encoders().get(modality)
        if encoder is None:
            yield modality, f"has no encoder of its own; those that have: {_listed(spec.encoders())}"
            continue
        if last:
            yield modality, f"the last stage has the system's own size: set that of inputs.{modality}.encoder instead"
        try:
            encoder.sized(side)
        except PartError as error:
            yield modality, str(error)


def _target_problems(spec: SystemSpec, stage: Stage, number: int) -> Iterator[Problem]:
    """What an objective about the encoder's features of media that shall be made asks for."""
    objective = stage.objectives[number]
    named = getattr(objective, "modalities", None)
    wanted = [m for m in named or spec.signalled if named or m in spec.inputs]
    begins = f"the objective {objective.kind!r} compares with the frozen encoder of what is made"
    if not wanted:
        made, read = ", ".join(spec.outputs), ", ".join(spec.inputs) or "nothing"
        yield Problem(("objectives", number), f"{begins}; the recipe makes {made} and reads {read}: give it an input")
    for modality in wanted:
        if modality not in spec.inputs or modality not in spec.signalled:
            text = f"{begins}; the recipe does not both read and make {modality}"
            yield Problem(("objectives", number, "modalities"), text)
            continue
        for group in sorted(Group.of_encoder(spec.encoder_owners[modality]) & stage.train.keys()):
            yield Problem(("train", group), f"{begins}, and this stage trains it")


def _reference_problems(spec: SystemSpec, stage: Stage, number: int) -> Iterator[Problem]:
    """What an objective about prompts of captions asks for."""
    objective = stage.objectives[number]
    reader = objective.to
    if reader not in spec.inputs or reader not in modalities.names() or modalities.get(reader).from_text is None:
        text = f"found {reader!r}, needed an input that reads captions: {_OF_SENTENCES}"
        yield Problem(("objectives", number, "to"), text)
        return
    for group in (*sorted(Group.of_encoder(spec.encoder_owners[reader])), Group.input_projector(reader)):
        if any(Group(name).whole == group for name in stage.train):
            text = f"the objective {objective.kind!r} aligns with it, and this stage trains it; train it in one before"
            yield Problem(("train", group), text)
    if len({o.to for o in stage.objectives if "reference_prompts" in o.needs}) > 1:
        text = "found two inputs that captions are read by, needed one for all objectives of a stage"
        yield Problem(("objectives", number, "to"), text)


def _teaches(kind: str, group: Group) -> bool:
    objective: Any = config_class(_OBJECTIVES, kind)
    return bool(objective.teaches(group))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _unknown_group(spec: SystemSpec, group: Group, known: list[Group]) -> str:
    hint = {
        LORA: "; give the LLM adapters: llm.lora: {rank: 8, alpha: 16}",
        PEFT: "; give the LLM parameters of another kind than LoRA: llm.peft: ia3",
        REWARD_HEAD: "; give the LLM one: llm.reward_head: true",
        VALUE_HEAD: "; give the LLM one: llm.value_head: true",
        JOIN: f"; the join {spec.join.kind!r} has nothing to learn as it is set",
        NEW_TOKENS: "; new tokens come with the signal tokens of outputs, and the recipe has none",
    }.get(group, "")
    if group in (LORA, PEFT) and spec.llm.adapters is not None:
        hint = f"; what learns in this LLM is trained as {spec.llm.adapters.group}"
    if group.side == "inputs" and group.part == "lora" and group.modality in spec.encoders():
        hint = "; give the encoder adapters: lora: {rank: 8, alpha: 16}"
    if group.is_of_denoiser and group.modality in spec.signalled:
        setting = "trainable: true" if group.part == "denoiser" else "lora: {rank: 8, alpha: 16}"
        hint = f"; let its generator learn: generator: {{{setting}}}"
    return f"{UnknownNameError('parameter group', group, known)}{hint}"


def _mixture_problems(stage: Stage) -> Iterator[Problem]:
    for i, source in enumerate(stage.data):
        weight = getattr(source, "weight", None)
        if stage.mixture == "ratio" and weight is None:
            yield Problem(("data", i), "the mixture `ratio` needs a weight for each source")
        if stage.mixture != "ratio" and weight is not None:
            yield Problem(("data", i, "weight"), f"the mixture {stage.mixture!r} reads no weight; use `ratio`")
    yield from _share_problems(stage)


def _share_problems(stage: Stage) -> Iterator[Problem]:
    """Sources whose loss is weighed and of which a batch may hold nothing."""
    given = [getattr(source, "weight", None) for source in stage.data]
    weights = [float(weight) for weight in given if weight is not None]
    weighed = any(getattr(source, "loss_weight", None) is not None for source in stage.data)
    for i, weight in enumerate(weights if weighed and len(weights) == len(given) else ()):
        if (share := stage.batch * weight / sum(weights)) < 1:
            text = f"a batch of {stage.batch} holds {share:.2g} of its samples, needed one at least to weigh their loss"
            yield Problem(("data", i, "weight"), f"{text}; raise the weight or the batch")


def _evaluation_problems(evaluation: Evaluation, objectives: Collection[str]) -> Iterator[Problem]:
    for i, source in enumerate(evaluation.data):
        if getattr(source, "weight", None) is not None:
            yield Problem(
                ("evaluate", "data", i, "weight"), "an evaluation mixes its data by their sizes; leave it out"
            )
    if evaluation.keep_best is None:
        return
    metric = evaluation.keep_best.metric
    first, _, rest = metric.partition(".")
    known = ["loss", *(f"losses.{kind}" for kind in sorted(objectives))] if evaluation.data else []
    if metric.startswith("accuracy.") and evaluation.data:  # of objectives about pairs
        known += [f"accuracy.{kind}" for kind in sorted(objectives)]
    by_benchmark = any(first == benchmark.name for benchmark in evaluation.benchmarks) and bool(rest)
    if re.sub(r"-\d+$", "", metric) not in known and not by_benchmark:
        known += [f"a number of {b.name} such as {b.name}.score" for b in evaluation.benchmarks]
        text = f"nothing here gives {metric!r}; this evaluation gives {', '.join(known)}"
        yield Problem(("evaluate", "keep_best", "metric"), text)


def provenance_problems(provenance: Mapping[str, str], data: dict[str, Any]) -> list[Problem]:
    """Paths in `provenance` that are no paths of the recipe."""
    found: list[Problem] = []
    for path in provenance:
        loc: Loc = ("provenance", path)
        try:
            look_up(data, path)
        except RecipeError as error:
            found.append(Problem(loc, f"leads nowhere: {error}"))
    return found
