"""Designs made comparable: what is not compared becomes the same in all of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modalink.comparison.design import Comparison, Design, Rates
from modalink.conversation import Medium
from modalink.data.source import Rereads, SourceConfig
from modalink.errors import DataError, RecipeError
from modalink.planning.sample import head
from modalink.recipe import Recipe, Stage, changed, load
from modalink.recipe.evaluation import SOURCES
from modalink.recipe.groups import NEW_TOKENS, Group
from modalink.training.objectives import ItemObjectiveConfig, ObjectiveConfig
from modalink.training.stages.supervised import SupervisedConfig

_CHECKPOINT_EVERY = 50
_SHARED_OF_LLM = ("kind", "checkpoint", "revision", "dtype")
_OWN_OF_PROMPT = ("coordinates", "add_tokens")


@dataclass(frozen=True)
class Comparable:
    """A design as a recipe of which only what is compared is its own."""

    design: Design
    recipe: Recipe
    notes: tuple[str, ...]
    """What was changed, in words."""

    def with_steps(self, steps: Sequence[int], seed: int) -> Recipe:
        """The recipe of one run: so many steps in each stage."""
        stages = [stage.replace(steps=n) for stage, n in zip(self.recipe.stages, steps, strict=True)]
        return self.recipe.replace(stages=stages, seed=seed)


def comparables(comparison: Comparison, reads: Collection[str]) -> list[Comparable]:
    """The designs of a comparison, each as the recipe that is trained.

    Of each stay the inputs that data and questions need, and those that read captions for them (a P-Former), what its
    stages train and minimise there, and their order; what learns from judgements is left out.
    Data, batch, arithmetic and learning rates become the comparison's, the LLM and its prompt template those of the
    first design.

    Args:
        comparison: What is compared.
        reads: Modalities that the data and the questions show.

    Raises:
        RecipeError: A design does not read them, trains nothing for them, or its overrides mean nothing.
    """
    loaded = [load(design.recipe, tiny=comparison.tiny) for design in comparison.designs]
    first = loaded[0].to_dict()
    return [
        _comparable(design, recipe, comparison, first, sorted(reads))
        for design, recipe in zip(comparison.designs, loaded, strict=True)
    ]


def shown(sources: Iterable[Any]) -> set[str]:
    """The modalities of media in the first conversations of some sources.

    Raises:
        DataError: A source cannot be read.
    """
    found: set[str] = set()
    for source in sources:
        if not isinstance(source, SourceConfig):
            raise DataError(f"found {type(source).__name__}, needed the settings of a data source")
        talks = head(source).good
        found |= {p.modality for talk in talks for turn in talk.turns for p in turn.content if isinstance(p, Medium)}
    return found


def split(total: int, parts: int) -> list[int]:
    """A number in even parts, the first of them larger by one where they cannot be even."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def _comparable(
    design: Design, recipe: Recipe, comparison: Comparison, first: Mapping[str, Any], reads: list[str]
) -> Comparable:
    if missing := [modality for modality in reads if modality not in recipe.inputs]:
        raise RecipeError(
            f"design {design.name}: it reads {', '.join(recipe.inputs) or 'text alone'}, and the data or questions "
            f"show {', '.join(missing)}; leave it out, or compare on other data"
        )
    data = recipe.to_dict()
    kept = sorted({*reads, *_teachers(recipe)})
    notes = [*_share_llm(data, first), *_left_out(recipe, kept)]
    data["inputs"] = {modality: _input(recipe, data, modality, kept) for modality in kept}
    stages = [(stage, own) for stage in recipe.stages if (own := _stage(recipe, stage, kept)) is not None]
    if not stages:
        raise RecipeError(f"design {design.name}: no stage of it trains anything that reads {', '.join(reads)}")
    sources = [SOURCES.dump(source) for source in design.data or comparison.data]
    data["stages"] = [
        {
            **own,
            **_shared(comparison, _reread(stage, sources)),
            "name": f"stage-{i}",
            "train": _rates(own["train"], comparison.rates),
        }
        for i, (stage, own) in enumerate(stages, start=1)
    ]
    data |= {"name": design.name, "outputs": {}, "init": None, "provenance": {}}
    found = changed(data, design.overrides, f"design {design.name}")
    return Comparable(design, found, (*notes, *(_untrained(found) if comparison.tiny else ())))


def _teachers(recipe: Recipe) -> set[str]:
    """Inputs that read the captions of what is shown, and learned that from captions alone (a P-Former)."""
    wanted = {getattr(one, "to", None) for stage in recipe.stages for one in stage.objectives if _follows(one)}
    read = {source.modality for stage in recipe.stages for source in stage.data if isinstance(source, Rereads)}
    return {modality for modality in recipe.inputs if modality in wanted & read}


def _reread(stage: Stage, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparison's sources, as a stage reads them that reads samples of others in its own way."""
    found = [source for source in stage.data if isinstance(source, Rereads)]
    if len(found) < len(stage.data):
        return sources
    return [SOURCES.dump(found[0].rereading(source).replace(weight=source.get("weight"))) for source in sources]


def _follows(objective: ObjectiveConfig) -> bool:
    """Whether an objective takes what another input makes of captions for what is right."""
    return "reference_prompts" in objective.needs


def _share_llm(data: dict[str, Any], first: Mapping[str, Any]) -> Iterator[str]:
    """Give a recipe the LLM and the template of the first; its join, adapters and coordinates stay its own."""
    own, shared = data["llm"], first["llm"]
    if any(own.get(key) != shared.get(key) for key in _SHARED_OF_LLM):
        yield f"the LLM is {shared.get('checkpoint')}, in the recipe {own.get('checkpoint')}"
        data["llm"] = {**own, **{key: shared[key] for key in _SHARED_OF_LLM if key in shared}}
    data["prompt"] = {**first["prompt"], **{key: data["prompt"][key] for key in _OWN_OF_PROMPT}}


def _untrained(recipe: Recipe) -> Iterator[str]:
    """What of the projectors no stage trains: in a tiny form it does not come from a checkpoint either."""
    trained = {Group(name) for stage in recipe.stages for name in stage.train}
    for projector in map(Group.input_projector, dict.fromkeys(recipe.projector_owners.values())):
        if projector not in trained:
            sections = ", ".join(sorted(group.section or "" for group in trained if group.whole == projector))
            what = f"only {sections} is trained" if sections else "nothing is trained"
            yield f"of {projector} {what}; at tiny size the rest is drawn anew, where a recipe takes a checkpoint's"


def _input(recipe: Recipe, data: Mapping[str, Any], modality: str, reads: Collection[str]) -> dict[str, Any]:
    """An input, with an encoder and a projector of its own where those of an input are used which is left out."""
    block: dict[str, Any] = data["inputs"][modality]
    owner = recipe.encoder_owners[modality]
    if owner in reads:
        return block
    projector = data["inputs"][recipe.projector_owners[modality]]["projector"]
    return {**block, "use": None, "encoder": data["inputs"][owner]["encoder"], "projector": projector}


def _stage(recipe: Recipe, stage: Stage, reads: Collection[str]) -> dict[str, Any] | None:
    """What of a stage is about reading these modalities; None where nothing is, or it learns from judgements."""
    if not isinstance(stage, SupervisedConfig):
        return None
    objectives = [one for one in stage.objectives if not _asks_for_more(one, reads)]
    groups = {_renamed(Group(name), recipe, reads): settings for name, settings in stage.train.items()}
    train = {
        group: settings.model_dump(mode="json")
        for group, settings in groups.items()
        if _stays(group, recipe, reads) and any(one.teaches(group) for one in objectives)
    }
    useful = [one for one in objectives if any(one.teaches(group) for group in train)]
    if not train:
        return None
    plain = stage.model_dump(mode="json")
    kinds = [plain["objectives"][stage.objectives.index(one)] for one in useful]
    return plain | {"train": train, "objectives": kinds}


def _asks_for_more(objective: ObjectiveConfig, reads: Collection[str]) -> bool:
    """Whether an objective is about media that are made, or about an input that is left out."""
    if isinstance(objective, ItemObjectiveConfig):
        return True
    return _follows(objective) and getattr(objective, "to", None) not in reads


def _left_out(recipe: Recipe, reads: Collection[str]) -> Iterator[str]:
    """Objectives about reading and stages that are left out, in words."""
    every = (one for stage in recipe.stages for one in stage.objectives)
    found = (one.kind for one in every if not isinstance(one, ItemObjectiveConfig) and _asks_for_more(one, reads))
    yield from (f"without the objective {kind}, which asks for another input" for kind in dict.fromkeys(found))
    judged = (stage.name for stage in recipe.stages if not isinstance(stage, SupervisedConfig))
    yield from (f"without the stage {name}, which learns from judgements" for name in judged)


def _renamed(group: Group, recipe: Recipe, reads: Collection[str]) -> Group:
    """A group by the modality whose part it is when the one that lent it is left out."""
    for modality in reads:
        if recipe.encoder_owners[modality] not in reads:
            lent = {Group.encoder(recipe.encoder_owners[modality]): Group.encoder(modality)}
            lent[Group.encoder_lora(recipe.encoder_owners[modality])] = Group.encoder_lora(modality)
            lent[Group.input_projector(recipe.projector_owners[modality])] = Group.input_projector(modality)
            if (own := lent.get(group.whole)) is not None:
                return own if group.section is None else own.inside(group.section)
    return group


def _stays(group: Group, recipe: Recipe, reads: Collection[str]) -> bool:
    if group == NEW_TOKENS:
        return recipe.prompt.add_tokens
    return group.side == "llm" or (group.side == "inputs" and group.modality in reads)


def _shared(comparison: Comparison, sources: list[dict[str, Any]]) -> dict[str, Any]:
    """What all stages of all designs have in common; their lengths come with the budget."""
    weighted = any(source.get("weight") is not None for source in sources)
    return {
        "data": sources,
        "mixture": "ratio" if weighted else "concatenate",
        "batch": comparison.batch,
        "micro_batch": None,
        "micro_tokens": None,
        "epochs": None,
        "steps": 1,
        "warmup": 0.1,
        "precision": comparison.precision,
        "checkpoint_every": _CHECKPOINT_EVERY,
        "evaluate": None,
        "init": None,
        "image_size": {},
        "ema": None,
    }


def _rates(train: Mapping[str, dict[str, Any]], rates: Rates | None) -> dict[str, Any]:
    if rates is None:
        return dict(train)
    return {g: {**own, "lr": rates.links if Group(g).is_link else rates.parts} for g, own in train.items()}
