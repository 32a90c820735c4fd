"""Train groups: the parts of a composite, by the names that a stage's `train` and saved references use."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from modalink.adapters import ADAPTER
from modalink.llms import weights_in
from modalink.recipe import TrainGroup
from modalink.recipe.groups import JOIN, LLM, LORA, NEW_TOKENS, PEFT, REWARD_HEAD, VALUE_HEAD, Group

Groups = Mapping[str, list[tuple[str, nn.Parameter]]]
"""Name of a group -> names and parameters in it."""

PREFIXES = {
    "model.encoders.": Group.encoder,
    "model.input_projectors.": Group.input_projector,
    "output_projectors.": Group.output_projector,
    "state_readers.": Group.output_projector,
    "denoisers.": Group.denoiser,
}
_WITH_LORA = {Group.encoder: Group.encoder_lora, Group.denoiser: Group.denoiser_lora}
"""Groups in whose parts adapters may stand, which are groups of their own."""
WHOLE = {"model.join.": JOIN, "reward_head.": REWARD_HEAD, "value_head.": VALUE_HEAD}
"""Beginnings of the names of groups of which a system has one."""


def group_of(name: str) -> Group:
    """The train group that a parameter belongs to, from its name in `ModalinkForConditionalGeneration`."""
    for prefix, group in PREFIXES.items():
        if name.startswith(prefix):
            modality = name.removeprefix(prefix).partition(".")[0]
            return _WITH_LORA.get(group, group)(modality) if ".lora_" in name else group(modality)
    if (whole := next((group for prefix, group in WHOLE.items() if name.startswith(prefix)), None)) is not None:
        return whole
    if ".lora_" in name:
        return LORA
    if ADAPTER in name.split("."):
        return PEFT
    return NEW_TOKENS if name.endswith("new_rows") else LLM


def beginning(group: Group) -> str | None:
    """How the names of a group's parameters begin; None where that does not tell them from others."""
    whole = {named: prefix for prefix, named in WHOLE.items()}
    modality = group.modality
    parts = {} if modality is None else {make(modality): f"{prefix}{modality}." for prefix, make in PREFIXES.items()}
    return whole.get(group, parts.get(group))


def inner_name(name: str) -> Group:
    """A parameter as the narrowest section of its group: `inputs.image.projector.exit.weight`."""
    group = group_of(name)
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
    return group if prefix is None else group.inside(name.removeprefix(prefix).partition(".")[2])


def divided(groups: Groups, names: Collection[str]) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """The groups, and beside them, taken out of them, the sections that are among these names.

    Args:
        groups: Parameters by whole parts.
        names: Parts and sections.
    """
    sections = [name for name in map(Group, names) if name.section is not None]
    found: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for group, members in groups.items():
        own = [section for section in sections if section.whole == group]
        if not own:
            found[group] = list(members)
        for name, parameter in members if own else ():
            found.setdefault(inner_name(name).within(own) or group, []).append((name, parameter))
    return found


@dataclass(frozen=True)
class GroupRow:
    """One row of the table of trained and frozen parameters.

    Args:
        group: Name of the group.
        parameters: How many numbers it holds.
        trained: Whether the stage trains it.
        share: Its part of all parameters, 0 to 1.
        lr: Its learning rate, None when frozen.
    """

    group: str
    parameters: int
    trained: bool
    share: float
    lr: float | None


def table(groups: Groups, train: Mapping[str, TrainGroup], generators: Mapping[str, nn.Module]) -> list[GroupRow]:
    """All parameters of a system by group; of a generator those that are in no group are always frozen."""
    counts = {name: _count(p for _, p in members) for name, members in divided(groups, train).items()}
    grouped = {id(p) for members in groups.values() for _, p in members}
    for modality, generator in generators.items():
        counts[Group.generator(modality)] = _count(p for p in generator.parameters() if id(p) not in grouped)
    total = max(1, sum(counts.values()))
    rows = []
    for name, count in counts.items():
        under = Group(name).within(train)
        lr = None if under is None else train[under].lr
        rows.append(GroupRow(name, count, under is not None, count / total, lr))
    return rows


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(map(weights_in, parameters))
