"""Who learns: the groups of parameters that a stage trains, all others frozen, and the table that shows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.table import Table
from torch import nn

from modalink.errors import UnknownNameError
from modalink.recipe import TrainGroup

Groups = Mapping[str, list[tuple[str, nn.Parameter]]]
"""Group name -> its parameters with their names, for example `{"llm.lora": [("model.layers.0...", ...), ...]}`."""


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


def freeze(model: nn.Module, groups: Groups, train: Mapping[str, TrainGroup]) -> Groups:
    """Let exactly the named groups learn, and keep their weights in float32.

    An update of size `lr` is lost in bfloat16's 8 bits, so trained weights are kept in full whatever the part's type.

    Args:
        model: The model that holds the groups.
        groups: All parameters by group.
        train: The groups that learn.

    Returns:
        The trained groups, in the order of `train`, without the parameters that their part declares `unread`.

    Raises:
        UnknownNameError: The model has no group of a name.
    """
    for name in train:
        if name not in groups:
            raise UnknownNameError("train group", name, groups)
    model.requires_grad_(False)
    model.zero_grad()
    unread = {f"{part}.{name}" for part, module in model.named_modules() for name in getattr(module, "unread", ())}
    trained = {group: [member for member in groups[group] if member[0] not in unread] for group in train}
    for members in trained.values():
        for _, parameter in members:
            parameter.requires_grad_(True)
            parameter.data = parameter.data.float()
    set_modes(model)
    return trained


def set_modes(model: nn.Module) -> None:
    """Training mode (dropout, batch statistics) where something learns, evaluation mode where all is frozen."""
    model.eval()
    for module in model.modules():
        if any(p.requires_grad for p in module.parameters()):
            module.training = True
            for child in module.children():
                if next(child.parameters(), None) is None:
                    child.train()


def optimizer_groups(trained: Groups, train: Mapping[str, TrainGroup]) -> list[dict[str, object]]:
    """Groups for AdamW: each with its own rate, and its vectors (biases, norms, gates) without weight decay."""
    made: list[dict[str, object]] = []
    for name, members in trained.items():
        settings = train[name]
        for decays in (True, False):
            if chosen := [(n, p) for n, p in members if (p.ndim > 1) == decays]:
                decay = settings.weight_decay if decays else 0.0
                rates = {"lr": settings.lr, "base_lr": settings.lr, "weight_decay": decay}
                made.append({"params": chosen, "group": name, **rates})
    return made


def table(groups: Groups, train: Mapping[str, TrainGroup], generators: Mapping[str, nn.Module]) -> list[GroupRow]:
    """All parameters of a system by group; generators are always frozen."""
    counts = {name: _count(p for _, p in members) for name, members in groups.items()}
    counts |= {f"outputs.{m}.generator": _count(generator.parameters()) for m, generator in generators.items()}
    total = max(1, sum(counts.values()))
    return [
        GroupRow(name, count, name in train, count / total, train[name].lr if name in train else None)
        for name, count in counts.items()
    ]


def render(rows: Iterable[GroupRow], title: str) -> Table:
    """The table for a terminal."""
    rows = list(rows)
    drawn = Table(title=title)
    drawn.add_column("part")
    for heading in ("parameters", "share", "learning rate"):
        drawn.add_column(heading, justify="right")
    for row in rows:
        rate = "frozen" if row.lr is None else f"{row.lr:g}"
        style = "bold" if row.trained else "dim"
        drawn.add_row(row.group, f"{row.parameters:,}", f"{row.share:.2%}", rate, style=style)
    trained = [row for row in rows if row.trained]
    count, share = sum(row.parameters for row in trained), sum(row.share for row in trained)
    drawn.add_section()
    drawn.add_row("trained", f"{count:,}", f"{share:.2%}", "")
    return drawn


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
