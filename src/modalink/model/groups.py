"""Train groups: the parts of a composite, by the names that a stage's `train` and saved references use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from modalink.recipe import TrainGroup
from modalink.recipe.groups import JOIN, LLM, LORA, NEW_TOKENS, Group

Groups = Mapping[str, list[tuple[str, nn.Parameter]]]
"""Name of a group -> names and parameters in it."""

PREFIXES = {
    "model.encoders.": Group.encoder,
    "model.input_projectors.": Group.input_projector,
    "output_projectors.": Group.output_projector,
}


def group_of(name: str) -> Group:
    """The train group that a parameter belongs to, from its name in `ModalinkForConditionalGeneration`."""
    for prefix, group in PREFIXES.items():
        if name.startswith(prefix):
            return group(name.removeprefix(prefix).partition(".")[0])
    if name.startswith("model.join."):
        return JOIN
    if ".lora_" in name:
        return LORA
    return NEW_TOKENS if name.endswith("new_rows") else LLM


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
    """All parameters of a system by group; generators are always frozen."""
    counts = {name: _count(p for _, p in members) for name, members in groups.items()}
    counts |= {Group.generator(m): _count(generator.parameters()) for m, generator in generators.items()}
    total = max(1, sum(counts.values()))
    return [
        GroupRow(name, count, name in train, count / total, train[name].lr if name in train else None)
        for name, count in counts.items()
    ]


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
