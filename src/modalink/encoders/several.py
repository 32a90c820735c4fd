"""Several encoders side by side, which look at one medium each in its own way (Cambrian-1, arXiv 2406.16860).

Their tokens are joined along the width, token by token, or one encoder's after the other's.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from modalink.encoders._probing import verify
from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.recipe.kind_field import Kinds
from modalink.roles import Encoder, EncoderConfig, MediumHandle, Preprocessor, Window


class SeveralConfig(EncoderConfig):
    """Settings of encoders side by side."""

    kind: Literal["several"] = "several"
    checkpoint: Literal["none"] = "none"
    """None of its own: its encoders have theirs."""
    encoders: tuple[Annotated[EncoderConfig, Kinds("modalink.encoders", inside="several")], ...] = Field(min_length=2)
    """The encoders, in the order in which their tokens are joined."""
    join: Literal["channels", "tokens"] = "channels"
    """`channels`: each token is as wide as all encoders together, which make as many tokens each; `tokens`: one
    encoder's tokens stand behind the other's, all of one width, tile by tile and frame by frame where they make as many
    blocks."""

    def reads(self) -> frozenset[str]:
        """What all of the encoders read."""
        return frozenset.intersection(*(encoder.reads() for encoder in self.encoders))

    def for_modality(self, modality: str) -> "SeveralConfig":
        """The same encoders, each as it reads this modality."""
        return self.model_copy(update={"encoders": tuple(encoder.for_modality(modality) for encoder in self.encoders)})

    def tiny(self) -> "SeveralConfig":
        """The tiny forms of the encoders side by side."""
        return self.model_copy(update={"encoders": tuple(encoder.tiny() for encoder in self.encoders)})

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """The encoders' checkpoints."""
        return tuple(source for encoder in self.encoders for source in encoder.checkpoints())

    def build(self, *, weights: bool = True) -> "SeveralEncoders":
        """The encoders, with their checkpoints' weights or only their architectures.

        Raises:
            PartError: One cannot be built, or their tokens cannot be joined so.
        """
        return SeveralEncoders([config.build(weights=weights) for config in self._each()], self.join, self.typical())

    def describe(self) -> dict[str, Any]:
        """What decides how each encoder's outputs lie, and how they are joined."""
        return {"join": self.join, "encoders": [encoder.describe() for encoder in self._each()]}

    def miniature(self) -> "SeveralEncoders | None":
        """The first encoder's miniature beside itself, since those of others may have other grids; each is tried alone.

        Raises:
            PartError: One of the encoders is refused.
        """
        for config in self._each():
            verify(config)
        small = self._each()[0].miniature()
        return None if small is None else SeveralEncoders([small, small], self.join, self.typical())

    def preprocessor(self) -> "SeveralPreprocessors":
        """What every encoder reads of a medium, side by side."""
        return SeveralPreprocessors([config.preprocessor() for config in self._each()])

    def typical(self) -> Layout:
        """How the units of an ordinary medium lie."""
        return self._each()[0].typical()

    def _each(self) -> tuple[EncoderConfig, ...]:
        """The encoders; as they read the one modality that all of them read, where they share no other."""
        shared = self.reads()
        return self.encoders if len(shared) != 1 else self.for_modality(*shared).encoders


class SeveralPreprocessors(Preprocessor):
    """One unit holds what each encoder reads of it, flat, one after the other."""

    def __init__(self, each: Sequence[Preprocessor]) -> None:
        self.each = list(each)

    def layout(self, medium: Any) -> Layout:
        """The layout on which all encoders agree.

        Raises:
            PartError: They cut the medium into different units.
        """
        layouts = [preprocess.layout(medium) for preprocess in self.each]
        if len({layout.units for layout in layouts}) > 1:
            units = ", ".join(str(layout.units) for layout in layouts)
            raise PartError(f"several encoders: they cut one medium into {units} units, needed as many each")
        return layouts[0]

    def window_of(self, size: tuple[int, int]) -> Window:
        """What the first encoder sees, on whose grid the tokens of the others lie."""
        return self.each[0].window_of(size)

    def __call__(self, medium: Any) -> Float[Tensor, "u n"]:
        """The units of one medium."""
        return torch.cat([preprocess(medium).flatten(1) for preprocess in self.each], dim=1)

    def units(self, handle: MediumHandle) -> Float[Tensor, "u n"]:
        """The units of an opened medium."""
        return torch.cat([preprocess.units(handle).flatten(1) for preprocess in self.each], dim=1)

    def seeded(self, seed: int) -> Preprocessor:
        """The same, each drawing from the seed; itself, if none draws anything."""
        each = [preprocess.seeded(seed) for preprocess in self.each]
        same = all(new is old for new, old in zip(each, self.each, strict=True))
        return self if same else SeveralPreprocessors(each)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result."""
        return {"each": [preprocess.to_dict() for preprocess in self.each]}


class SeveralEncoders(Encoder):
    """The joined tokens of several encoders.

    Args:
        encoders: The encoders.
        join: How their tokens are joined.
        example: How the units of an ordinary medium lie; their tokens must be such that they can be joined.
    """

    def __init__(
        self, encoders: Sequence[Encoder], join: Literal["channels", "tokens"], example: Layout | None = None
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.join = join
        widths = [encoder.dim for encoder in encoders]
        if join == "tokens" and len({*widths}) > 1:
            raise PartError(f"several encoders: found tokens of the widths {widths}, needed one width to join tokens")
        self.dim = sum(widths) if join == "channels" else widths[0]
        self.sizes = [prod(encoder.unit_shape) for encoder in encoders]
        self.unit_shape = (sum(self.sizes),)
        self.unread = frozenset(f"encoders.{i}.{name}" for i, one in enumerate(encoders) for name in one.unread)
        if example is not None:
            self.layout(example)

    def layout(self, item: Layout) -> Layout:
        """The joined tokens of an item.

        Raises:
            PartError: The encoders do not make as many tokens each.
        """
        each = [one.layout(item) for one in self._each()]
        if self.join == "tokens":
            if not _block_by_block(each):
                return Layout(item.units, tuple(tokens for layout in each for tokens in layout.blocks))
            blocks = tuple(map(sum, zip(*(layout.blocks for layout in each), strict=True)))
            return replace(each[0], blocks=blocks, grid=None, grids=None)
        if len({layout.blocks for layout in each}) > 1:
            found = ", ".join(str(layout.tokens) for layout in each)
            raise PartError(f"several encoders: they make {found} tokens of one medium, needed as many each to join "
                            "them along the width; choose other image sizes, or join: tokens")  # fmt: skip
        same_grids = len({layout.block_grids for layout in each}) == 1
        return each[0] if same_grids else replace(each[0], grid=None, grids=None)

    def for_modality(self, modality: str) -> Encoder:
        """The encoders, each as it reads this modality; itself where all read it as ever."""
        each = [one.for_modality(modality) for one in self._each()]
        same = all(new is old for new, old in zip(each, self._each(), strict=True))
        return self if same else SeveralEncoders(each, self.join)

    def forward(self, items: Ragged) -> Ragged:
        """Encode preprocessed items."""
        found = []
        for encoder, units in zip(self._each(), items.values.split(self.sizes, dim=1), strict=True):
            found.append(encoder(replace(items, values=units.unflatten(1, encoder.unit_shape))))
        layouts = [self.layout(layout) for layout in items.layouts]
        if self.join == "channels":
            return items.with_values(torch.cat([features.values for features in found], dim=1), layouts)
        rows = [rows for number in range(len(items)) for rows in _in_order([one.take([number]) for one in found])]
        return items.with_values(torch.cat(rows), layouts)

    def _each(self) -> list[Encoder]:
        return [encoder for encoder in self.encoders if isinstance(encoder, Encoder)]


def _block_by_block(each: Sequence[Layout]) -> bool:
    """Whether the blocks of all encoders are of the same tiles, frames or windows."""
    return len({(len(layout.blocks), layout.tiles) for layout in each}) == 1


def _in_order(item: Sequence[Ragged]) -> list[Tensor]:
    """The tokens of one item from each encoder, as they stand behind each other."""
    layouts = [tokens.layouts[0] for tokens in item]
    if not _block_by_block(layouts):
        return [tokens.values for tokens in item]
    each = [tokens.values.split(list(layout.blocks)) for tokens, layout in zip(item, layouts, strict=True)]
    return [block for blocks in zip(*each, strict=True) for block in blocks]
