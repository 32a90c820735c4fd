"""How the hidden states of a vision tower lie, found out by looking: tokens or maps, and what is beside the patches."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from modalink.encoders._places import in_order, influence, misplaced
from modalink.errors import PartError

_MOST_OTHERS = 128
"""Most tokens beside the patches: class tokens, registers, those of a detector."""


class UnreadableError(PartError):
    """A tower whose hidden states cannot be read for sure."""


@dataclass(frozen=True)
class Reading:
    """How a hidden state lies.

    Args:
        form: `tokens` [i p d], `channels first` maps [i d h w], `channels last` maps [i h w d], or `columns` [i d p].
        before: Tokens in front of the patches: class token, registers, distillation token.
        after: Tokens behind them.
        joined: Whether the tokens of all images come as one sequence.
    """

    form: Literal["tokens", "channels first", "channels last", "columns"] = "tokens"
    before: int = 0
    after: int = 0
    joined: bool = False

    def __str__(self) -> str:
        beside = [f"{n} {where}" for n, where in ((self.before, "in front"), (self.after, "behind")) if n]
        said = {"tokens": "tokens", "columns": "tokens in columns"}.get(self.form, f"map, {self.form}")
        return f"{said}{', all images in one row' if self.joined else ''}{', ' if beside else ''}{', '.join(beside)}"

    def sequence(self, state: Tensor, images: int) -> Tensor:
        """A state of some images as tokens `[i p d]`, those beside the patches among them."""
        if self.joined:
            state = state.reshape(images, -1, state.shape[-1])
        match self.form:
            case "channels first":
                return state.flatten(2).mT
            case "channels last":
                return state.flatten(1, 2)
            case "columns":
                return state.mT
        return state

    def patches(self, state: Tensor, images: int) -> Tensor:
        """The patches `[i p d]` of a state."""
        tokens = self.sequence(state, images)
        return tokens[:, self.before : tokens.shape[1] - self.after]

    def grid(self, state: Tensor, images: int) -> tuple[int, int]:
        """Rows and columns of the patches.

        Raises:
            PartError: They are not those of a square picture.
        """
        if self.form == "channels first":
            return (state.shape[-2], state.shape[-1])
        if self.form == "channels last":
            return (state.shape[1], state.shape[2])
        count = self.sequence(state, images).shape[1] - self.before - self.after
        rows = math.isqrt(max(0, count))
        if not rows or rows * rows != count:
            raise PartError(
                f"found {count} tokens of one image beside {self.before + self.after} others, needed a square"
            )
        return (rows, rows)


def find(state_of: Callable[[Tensor], Tensor], side: int, cells: int) -> Reading:
    """How the states of a tower lie.

    Args:
        state_of: Images `[i 3 side side]` to the tower's state.
        side: Side of the images in pixels.
        cells: Into how many rows and columns of cells an image is cut.

    Raises:
        UnreadableError: That cannot be told; the message says why.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, side, side, generator=generator)
    state = state_of(images)
    shape = tuple(state.shape)
    if not torch.equal(state.nan_to_num(), state_of(images).nan_to_num()):
        raise UnreadableError("it gives other numbers each time")
    joined = shape[0] != 2
    in_one_row = len(shape) in (2, 3) and shape[0] in (1, shape[-2]) and math.prod(shape[:-1]) % 2 == 0
    if 0 in shape or (joined and not in_one_row):
        raise UnreadableError(f"its hidden state of two images has the shape {shape}, which is none of two images")

    def each(images: Tensor) -> Tensor:
        state = state_of(images)
        return state.reshape(len(images), -1, state.shape[-1]) if joined else state

    image = torch.randn(3, side, side, generator=generator)
    seen = influence(each, image, (-2, -1), cells)
    if not 3 <= seen.ndim <= 4:
        raise UnreadableError(f"its hidden state of two images has the shape {shape}, needed tokens or a map")
    reasons = []
    for reading, tokens, grid in _candidates(seen, joined):
        before, patches, after = tokens.tensor_split((reading.before, tokens.shape[1] - reading.after), dim=1)
        reason = misplaced(patches, grid)
        if not reason and any(map(_is_second_grid, (before, after))):
            reason = "it holds two grids of tokens"
        if not reason:
            return reading
        reasons.append(reason)
    if seen.ndim == 3 and seen.shape[1] < 9:
        raise UnreadableError(f"its hidden state of the shape {shape} has too few tokens for a picture, needed 3 x 3")
    if len(set(reasons)) == 1:
        raise UnreadableError(f"{reasons[0]}; its hidden state has the shape {shape}")
    raise UnreadableError(f"no reading of its hidden state of the shape {shape} is a picture, row by row")


def _candidates(seen: Tensor, joined: bool) -> Iterator[tuple[Reading, Tensor, tuple[int, int]]]:
    """Readings, with how much each of their tokens moves with each cell, and the grid of their patches."""
    if seen.ndim == 4:
        _, a, b, c = seen.shape
        yield Reading("channels first"), seen.sum(1).flatten(1), (b, c)
        yield Reading("channels last"), seen.sum(3).flatten(1), (a, b)
        return
    for form, tokens in (("tokens", seen.sum(2)), ("columns", seen.sum(1))):
        count = tokens.shape[1]
        for rows in range(math.isqrt(count), 2, -1):
            others = count - rows * rows
            for before in range(others + 1) if others <= _MOST_OTHERS else ():
                yield Reading(form, before, others - before, joined), tokens, (rows, rows)  # type: ignore[arg-type]


def _is_second_grid(others: Tensor) -> bool:
    """Whether tokens beside the patches are patches, too, of another size."""
    rows = math.isqrt(others.shape[1])
    return rows >= 3 and rows * rows == others.shape[1] and in_order(others, (rows, rows))
