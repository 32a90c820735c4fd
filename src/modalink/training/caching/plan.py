"""What of a recipe's stages can be known before they are trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from modalink.model.groups import group_of
from modalink.model.precision import resolve
from modalink.recipe import Recipe, Stage
from modalink.recipe.groups import Group
from modalink.runs.saved_weights import SavedWeights
from modalink.training.objectives import ItemObjectiveConfig


@dataclass(frozen=True)
class StagePlan:
    """What one stage asks of frozen parts.

    Args:
        name: What it is called: the stage's name, behind it `/evaluation` for the samples that it is measured by.
        stage: The stage.
        limit: Most samples; None: as many as its steps take.
        reads: The modalities whose encoder gives the same in every epoch.
        makes: The modalities whose generator is asked for more than media, and its abilities that are.
        notes: What cannot be known ahead, and why.
    """

    name: str
    stage: Stage
    limit: int | None
    reads: tuple[str, ...]
    makes: Mapping[str, tuple[type, ...]]
    notes: tuple[str, ...]


def plans(recipe: Recipe, lent: Mapping[str | None, SavedWeights], device: torch.device) -> list[StagePlan]:
    """The plan of each stage.

    Args:
        recipe: The recipe.
        lent: What other runs lend, see `find_lent`.
        device: Where the stages will be trained.
    """
    learned: dict[str, str] = {}
    found = []
    for stage in recipe.stages:
        if stage.name in lent:
            for group in lent[stage.name].init.groups or {*map(group_of, lent[stage.name].tensors())}:
                learned.pop(group, None)
        notes = []
        if stage.precision == "auto" and device.type == "cpu" and resolve("auto", device) is torch.bfloat16:
            notes.append(
                "precision: auto is settled when the stage is trained, by timing; computed here in bfloat16; a stage "
                "whose precision is given finds all of it"
            )
        found.append(_plan(recipe, stage, learned, notes))
        if stage.evaluate is not None and stage.evaluate.data:
            measured = stage.replace(data=stage.evaluate.data, mixture="concatenate", evaluate=None)
            found.append(_plan(recipe, measured, learned, notes, stage.evaluate.samples))
        learned |= {group: stage.name for group in stage.train}
    return found


def _plan(
    recipe: Recipe, stage: Stage, learned: Mapping[str, str], notes: Sequence[str], limit: int | None = None
) -> StagePlan:
    draws = limit is None
    reasons = {m: reason for m in recipe.inputs if (reason := _unknown(recipe, stage, m, learned, draws))}
    reads = tuple(m for m in recipe.inputs if m not in reasons)
    lines = [f"{modality}: {reason}" for modality, reason in reasons.items()]
    name = stage.name if draws else f"{stage.name}/evaluation"
    return StagePlan(name, stage, limit, reads, _makes(recipe, stage), (*lines, *notes))


def _unknown(recipe: Recipe, stage: Stage, modality: str, learned: Mapping[str, str], draws: bool) -> str:
    """Why the outputs of a modality's encoder cannot be known ahead; empty where they can."""
    groups = Group.of_encoder(recipe.encoder_owners[modality])
    if groups & stage.train.keys():
        return "its encoder learns in this stage"
    if before := [learned[group] for group in sorted(groups) if group in learned]:
        return f"its encoder learns in the stage {before[0]} before"
    reader = recipe.encoder(modality).preprocessor()
    if draws and reader.seeded(0) is not reader:
        return "what is read of each medium is drawn anew each time"
    return ""


def _makes(recipe: Recipe, stage: Stage) -> dict[str, tuple[type, ...]]:
    objectives: Sequence[object] = stage.objectives
    asking = [objective for objective in objectives if isinstance(objective, ItemObjectiveConfig)]
    wanted = {
        modality: tuple(
            ability
            for objective in asking
            if objective.modalities is None or modality in objective.modalities
            for ability in objective.abilities()
        )
        for modality in recipe.signalled
    }
    return {modality: abilities for modality, abilities in wanted.items() if abilities}
