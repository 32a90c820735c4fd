"""Saved weights in a model's parameters."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from modalink import tensor_files
from modalink.errors import CheckpointError, UnknownNameError
from modalink.model import ModalinkForConditionalGeneration
from modalink.model.configuration import spec_of
from modalink.model.groups import Groups, beginning, group_of, inner_name
from modalink.model.references import references
from modalink.recipe import Init, Recipe
from modalink.recipe.groups import NEW_TOKENS, Group
from modalink.runs.checkpoints import WEIGHTS, Checkpoint
from modalink.runs.folder import RECIPE, read_recipe
from modalink.runs.saved_weights import SavedWeights, find
from modalink.training.freezing import unread
from modalink.training.objectives import Need


def load_checkpoint(trained: Groups, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into the trained parameters; of a stage that is done, what it has made.

    Raises:
        CheckpointError: Its parameters are not the stage's.
    """
    path = checkpoint.result if checkpoint.progress.done else checkpoint.path / WEIGHTS
    weights = tensor_files.read(path, CheckpointError)
    parameters = {name: parameter for members in trained.values() for name, parameter in members}
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        raise CheckpointError(
            f"{checkpoint.path}: found {len(weights)} parameters, which are not the {len(shapes)} that the stage "
            "trains; a part has changed since the run began: restore it, or choose another run folder"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


@runtime_checkable
class Lender(Protocol):
    """Weights to start from."""

    @property
    def init(self) -> Init:
        """What the recipe asks for."""

    @property
    def changed_alone(self) -> bool:
        """Whether it has only what has changed of a group since, so that what it lacks is as it should be."""

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""


def of_critic(stage: str) -> str:
    """The name under which stands what a stage's critic is lent; no stage has such a name."""
    return f"{stage}/critic"


def find_lent(recipe: Recipe, warn: Callable[[str], None]) -> dict[str | None, SavedWeights]:
    """What other runs lend to a recipe: to stages by name, to their critics (`of_critic`), to the whole system under
    None.

    Raises:
        CheckpointError: A run that is asked for is not there, or holds no weights.
        UnknownNameError: It has no stage of a name.
    """
    wanted: dict[str | None, Init | None] = {None: recipe.init, **{stage.name: stage.init for stage in recipe.stages}}
    critics = [(of_critic(stage.name), stage.of_critic()) for stage in recipe.stages]
    wanted |= {name: critic.init for name, critic in critics if critic is not None}
    found = {to: find(init, warn) for to, init in wanted.items() if init is not None and init.source is not None}
    for lent in found.values():
        _check_tokens(recipe, lent)
    return found


def _check_tokens(recipe: Recipe, lent: SavedWeights) -> None:
    """Demand that rows of signal tokens are lent to the same tokens: what they are of is told by their order alone."""
    if NEW_TOKENS not in (lent.init.groups or (NEW_TOKENS,)) or not (lent.folder / RECIPE).is_file():
        return
    signalled = read_recipe(lent.folder).signalled
    there, here = ([f"{m} {made.signal_tokens}" for m, made in own.items()] for own in (signalled, recipe.signalled))
    if there != here and sorted(there) == sorted(here):
        raise CheckpointError(
            f"{lent.init.origin}: found signal tokens in the order {', '.join(there)} there and {', '.join(here)} "
            f"here; needed the same order of the outputs, or init.groups without {NEW_TOKENS}"
        )


def initialise(model: ModalinkForConditionalGeneration, saved: Lender) -> None:
    """Put the weights that a run lends into the groups of the same names, bit by bit.

    Raises:
        CheckpointError: A group is not among them, or is of another form.
        UnknownNameError: They hold a group that the model has not.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in beginnings(model, saved).items():
            # In the type it was saved in: trained weights are kept in full, whatever the part's type.
            parameters[name].data = parameters[name].data.to(tensor.dtype)
            parameters[name].copy_(tensor)


def beginnings(model: ModalinkForConditionalGeneration, saved: Lender) -> dict[str, Tensor]:
    """What a run lends to which parameter, the groups chosen and renamed as was asked.

    Raises:
        CheckpointError: A group is not among them, or is of another form.
        UnknownNameError: They hold a group that the model has not.
    """
    origin, groups = saved.init.origin, model.trainable_groups()
    by_group: dict[str, dict[str, Tensor]] = {}
    buffers = dict(model.named_buffers())
    for name, tensor in saved.tensors().items():
        if name in buffers:
            continue
        by_group.setdefault(group_of(name), {})[name] = tensor
    for here, there in saved.init.renamed.items():
        by_group[here] = _renamed(by_group.get(there, {}), Group(there), Group(here), origin)
    optional = _borrowed(model).union(*(unread(model, {need}) for need in get_args(Need)))
    found: dict[str, Tensor] = {}
    for group in saved.init.groups or by_group:
        if group not in by_group and saved.changed_alone and group in groups:
            continue
        if group not in by_group:
            raise CheckpointError(f"{origin}: found no weights of {group} there; it holds {', '.join(by_group)}")
        if group not in groups:
            raise UnknownNameError("parameter group of this system", group, groups, origin)
        lacks = dict(groups[group]).keys() if saved.changed_alone else optional
        _check(dict(groups[group]), by_group[group], lacks, f"{origin}, {group}")
        found |= by_group[group]
    return found


def _renamed(tensors: Mapping[str, Tensor], there: Group, here: Group, origin: str) -> dict[str, Tensor]:
    """The weights of a group under the names that another has."""
    before, after = beginning(there), beginning(here)
    if before is None or after is None or not tensors:
        lacks = "no weights of it" if before and after else "a group that cannot be renamed"
        raise CheckpointError(f"{origin}: renamed {here}: {there}: found {lacks}; name groups that both systems have")
    return {after + name.removeprefix(before): tensor for name, tensor in tensors.items()}


def _borrowed(model: ModalinkForConditionalGeneration) -> set[str]:
    """What another run may not have saved of a part that it trained: sections that come from a checkpoint there."""
    sections = [group for group in references(spec_of(model.config.spec)) if group.section is not None]
    return {name for name, _ in model.named_parameters() if inner_name(name).within(sections)}


def _check(
    parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], optional: Collection[str], where: str
) -> None:
    missing = sorted(parameters.keys() - tensors.keys() - {*optional})
    unexpected = sorted(tensors.keys() - parameters.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{where}: found {len(unexpected)} tensors that are no parameters of it {unexpected[:3]}, and "
            f"{len(missing)} of its parameters missing {missing[:3]}; needed the same part in both systems"
        )
    for name, tensor in tensors.items():
        if tensor.shape != parameters[name].shape:
            raise CheckpointError(
                f"{where}: {name} has the shape {tuple(tensor.shape)} there and {tuple(parameters[name].shape)} here; "
                "needed the same part in both systems, or init.groups without this one"
            )
