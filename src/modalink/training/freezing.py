"""Who learns: the groups of parameters that a stage trains, all others frozen."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from torch import nn

from modalink.errors import UnknownNameError
from modalink.model.groups import Groups, divided
from modalink.model.items import Shown
from modalink.recipe import Stage, TrainGroup
from modalink.training.layer_decay import by_depth
from modalink.training.objectives import ItemObjectiveConfig


def freeze(
    model: nn.Module,
    groups: Groups,
    train: Mapping[str, TrainGroup],
    needs: Collection[str] = frozenset(),
    *,
    dropout: bool = True,
) -> Groups:
    """Let exactly the named groups learn, and keep their weights in float32.

    An update of size `lr` is lost in bfloat16's 8 bits, so trained weights are kept in full whatever the part's type.

    Args:
        model: The model that holds the groups.
        groups: All parameters by group.
        train: The groups that learn, and sections of them; a group learns without those that are named beside it.
        needs: What the stage's objectives need of a forward pass.
        dropout: Whether what learns drops some of its values, and takes statistics of batches, as its parts say.

    Returns:
        The trained groups, in the order of `train`, without the parameters that their part declares `unread`.

    Raises:
        UnknownNameError: The model has no group of a name.
    """
    groups = divided(groups, train)
    for name in train:
        if name not in groups:
            raise UnknownNameError("train group", name, groups)
    model.requires_grad_(False)
    model.zero_grad()
    never = unread(model, needs)
    trained = {group: [member for member in groups[group] if member[0] not in never] for group in train}
    for group in train:
        for _, parameter in groups[group]:  # what nothing reads may still be run, beside what learns
            parameter.data = parameter.data.float()
        for _, parameter in trained[group]:
            parameter.requires_grad_(True)
    set_modes(model) if dropout else model.eval()
    return trained


def needs_of(stage: Stage) -> frozenset[Any]:
    """What a stage's objectives need of a forward pass."""
    return frozenset(need for objective in stage.objectives for need in objective.needs)


def show_of(stage: Stage) -> Shown:
    """What a stage's objectives want to be shown of media beside its samples."""
    captions = {objective.to for objective in stage.objectives if "reference_prompts" in objective.needs}
    return Shown("target_features" in needs_of(stage), next(iter(captions), None))


def read_targets_of(stage: Stage, modalities: Iterable[str]) -> set[str]:
    """Of some modalities those whose media an objective of a stage reads where they shall be made.

    Args:
        stage: The stage.
        modalities: What the system makes.
    """
    reading = [one.modalities for one in stage.objectives if isinstance(one, ItemObjectiveConfig) and one.reads_media]
    return {modality for modality in modalities if any(own is None or modality in own for own in reading)}


def unread(model: nn.Module, needs: Collection[str] = frozenset()) -> set[str]:
    """Names of the parameters that, by what their part declares, nothing reads, or nothing of these needs."""

    def declared(module: nn.Module) -> Collection[str]:
        if (unread_for := getattr(module, "unread_for", None)) is not None:
            return cast(Collection[str], unread_for(needs))
        return cast(Collection[str], getattr(module, "unread", ()))

    return {f"{part}.{name}" for part, module in model.named_modules() for name in declared(module)}


def set_modes(model: nn.Module) -> None:
    """Training mode (dropout, batch statistics) where something learns, evaluation mode where all is frozen."""
    model.eval()
    for module in model.modules():
        if any(p.requires_grad for p in module.parameters()):
            module.training = True
            for child in module.children():
                if next(child.parameters(), None) is None:
                    child.train()


def optimizer_groups(trained: Groups, train: Mapping[str, TrainGroup]) -> list[dict[str, Any]]:
    """Groups for the optimizer: each with its own rate, and its vectors (biases, norms, gates) without weight decay.

    A group whose rate falls with depth becomes one for each block.
    """
    made: list[dict[str, Any]] = []
    for name, members in trained.items():
        settings = train[name]
        layered = settings.layer_decay < 1
        for share, at_depth in by_depth(name, members, settings.layer_decay) if layered else [(1.0, members)]:
            for decays in (True, False):
                if chosen := [(n, p) for n, p in at_depth if (p.ndim > 1) == decays]:
                    lr, decay = settings.lr * share, settings.weight_decay if decays else 0.0
                    rates = {"lr": lr, "base_lr": lr, "weight_decay": decay}
                    made.append({"params": chosen, "group": name, **rates})
    return made
