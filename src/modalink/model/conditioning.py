"""From the LLM's states to the conditions of a generator: its output projectors, and what makes a record of theirs."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.model.states import Asked
from modalink.recipe import OutputSpec
from modalink.recipe.groups import Group
from modalink.roles import (
    Conditions,
    ConditionShape,
    DrawsConditions,
    JointOutputProjector,
    OutputProjector,
)

Shapes = Mapping[str, ConditionShape]


def build_link(modality: str, made: OutputSpec, width: int, count: int, shapes: Shapes) -> nn.Module:
    """The new output projectors of a modality: one, several by name, or one that makes all conditions at once.

    Args:
        modality: The modality.
        made: Its settings.
        width: Of the LLM.
        count: How many states of an item are read.
        shapes: The conditions that its generator declares.

    Raises:
        PartError: There can be no such projector.
    """
    group, heads = Group.output_projector(modality), nn.ModuleDict()
    check_names(modality, made, shapes)
    sizes = {name: (tokens_of(modality, made, name, shapes), shape.width) for name, shape in shapes.items()}
    if made.projector is not None and len(shapes) > 1:
        joint = made.projector.build_joint(dim_in=width, tokens_in=count, shapes=sizes)
        if joint is not None:
            return joint
    for name, (tokens, wide) in sizes.items():
        config = made.link(name)
        try:
            heads[name] = config.build(dim_in=width, dim_out=wide, tokens_in=count, tokens_out=tokens)
        except PartError as error:
            raise PartError(f"{group if len(shapes) == 1 else f'{group}: {name}'}: {error}") from error
    return heads if len(shapes) > 1 else heads[next(iter(shapes))]


def check_names(modality: str, made: OutputSpec, shapes: Shapes) -> None:
    """Demand conditions that can be modules, and a projector for each where they are named.

    Raises:
        PartError: There are none, or others.
    """
    generator, free = Group.generator(modality), nn.ModuleDict()
    if not shapes:
        raise PartError(f"{generator}: found no conditions, needed at least one")
    for name, shape in shapes.items():
        if shape.vocabulary is not None:
            raise PartError(
                f"{generator}: reads {name} as {shape}, which no projector makes; leave out projector and "
                "signal_tokens, and it reads the words of the reply"
            )
        if not name.isidentifier() or hasattr(free, name):
            raise PartError(f"{generator}: found a condition {name!r}, needed a free name for a module")
    if made.projectors and made.projectors.keys() != shapes.keys():
        found, needed = ", ".join(made.projectors), ", ".join(shapes)
        raise PartError(f"outputs.{modality}.projectors: found {found}, needed one for each of: {needed}")


def tokens_of(modality: str, made: OutputSpec, name: str, shapes: Shapes) -> int:
    """How many tokens of a condition its projector makes, 1 of a pooled one.

    Raises:
        PartError: It should make fewer than the generator reads, which no mask leaves out, or more.
    """
    config, shape = made.link(name), shapes[name]
    whole = shape.tokens or 1
    others = made.projector is not None and any(other.masked for other in shapes.values())
    if config.tokens is None or (others and not shape.masked):
        return whole
    if not shape.masked or config.tokens > whole:
        mask = "that a mask shortens" if shape.masked else "without a mask"
        raise PartError(
            f"{Group.output_projector(modality)}: found tokens: {config.tokens} for the condition {name!r} of {whole} "
            f"tokens {mask}, needed {f'at most {whole}' if shape.masked else 'all of them: leave it out'}"
        )
    return config.tokens


def states_read(modality: str, made: OutputSpec, shapes: Shapes) -> int:
    """How many states of an item its projectors read: signal tokens, or states of the prompt."""
    if made.states.at != "prompt":
        return made.signal_tokens
    return made.states.count or max(tokens_of(modality, made, name, shapes) for name in shapes)


def conditions_of(
    link: nn.Module, asked: Asked, shapes: Shapes, rng: Sequence[torch.Generator] | None = None
) -> Conditions:
    """The conditions that a modality's projectors make.

    Args:
        link: What `build_link` built.
        asked: What they read of each item.
        shapes: The conditions that the generator declares.
        rng: For each item its own source of noise, for projectors that draw; the same noise each time if not given.
    """
    states = asked.states.to(next(link.parameters()).dtype)
    if isinstance(link, JointOutputProjector):
        made = link(states)
        return _record({name: (made[name], False) for name in shapes}, asked, shapes)
    parts = {}
    for name, projector in heads(link, shapes).items():
        if rng is not None and isinstance(projector, DrawsConditions):
            parts[name] = (projector.draw(states, rng), False)
        else:
            parts[name] = (projector(states), projector.by_token)
    return _record(parts, asked, shapes)


def heads(link: nn.Module, shapes: Shapes) -> dict[str, OutputProjector]:
    """The projectors of a modality by the condition that each makes; none where one makes all at once."""
    if isinstance(link, JointOutputProjector):
        return {}
    made = cast(Any, link)
    return {name: made[name] for name in shapes} if len(shapes) > 1 else dict.fromkeys(shapes, made)


def _record(parts: Mapping[str, tuple[Tensor, bool]], asked: Asked, shapes: Shapes) -> Conditions:
    tensors, masks = {}, {}
    for name, (tokens, by_token) in parts.items():
        mask = asked.mask if by_token and shapes[name].tokens is not None else None
        tensors[name], there = shapes[name].completed(tokens, mask)
        if there is not None:
            masks[name] = there
    return Conditions(tensors, masks)
