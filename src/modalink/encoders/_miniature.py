"""The miniature of a vision tower: its own class at a size that runs in milliseconds, its weights drawn at random."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from modalink import hub
from modalink.encoders._drawing import draw, settle
from modalink.encoders._forms import forms
from modalink.encoders._reading import UnreadableError
from modalink.errors import PartError

_SOFT = 0.3
"""Strength of weights with which tokens learn less of each other, where those that were drawn blur all places."""
_MOST_VALUES = 100_000_000
_MOST_WORK = 12e9
_FINE_WORK = 0.1e9
"""Work on one image up to which it is cut into many cells."""


class Miniature(NamedTuple):
    """A tower at small size, its weights drawn."""

    tower: PreTrainedModel
    encode: Callable[[Tensor], Tensor]
    """What is asked of it: images to its hidden state."""
    side: int
    """Side of its images in pixels."""
    cells: int
    """Rows and columns of cells into which an image is cut to see where its tokens look."""


def miniature(
    kind: type[PreTrainedModel], config: PreTrainedConfig, side: int, run: Callable[[PreTrainedModel, Tensor], Tensor]
) -> Miniature | None:
    """The smallest form of a tower that runs; None if all that might run take more than a second.

    Args:
        kind: The tower's class.
        config: Its configuration.
        side: Side of the images that it reads, in pixels.
        run: What is asked of it: a tower and images to its hidden state.

    Raises:
        UnreadableError: None runs; the message has the smallest one's reason.
    """
    reason, too_large = "", False
    for smaller, pixels in forms(config, side):
        try:
            with torch.device("meta"), hub.building("it cannot be built"):
                skeleton = kind(smaller)
            parameters, buffers = (
                sum(tensor.numel() for tensor in tensors) for tensors in (skeleton.parameters(), skeleton.buffers())
            )
            # About the floating-point operations: most weights meet an image once every 16 x 16 pixels.
            work = 2 * parameters * (pixels / 16) ** 2
            if parameters + buffers > _MOST_VALUES or work > _MOST_WORK:
                too_large = True
                continue
            tower = kind(smaller).eval()
            encode = partial(run, tower)
            encode(torch.zeros(1, 3, pixels, pixels))
            draw(tower, encode, (3, pixels, pixels))
            return Miniature(tower, encode, pixels, 6 if work <= _FINE_WORK else 4)
        except PartError as error:
            reason = reason or str(error)
        except Exception as error:  # each class has its own words for sizes that do not go together
            reason = reason or f"it cannot read an image alone: {hub.first_line(error)}"
    # What timm's constructors say is only of sizes that not all of them know.
    if too_large and (not reason or config.model_type == "timm_wrapper"):
        return None
    raise UnreadableError(reason)


def redraws(small: Miniature) -> Iterator[None]:
    """A miniature with other weights in place: as they were drawn, weaker, and as its class begins."""
    tower, encode, side, _ = small
    yield
    draw(tower, encode, (3, side, side), _SOFT)
    yield
    tower.load_state_dict(type(tower)(tower.config).state_dict())
    settle(tower, encode, (3, side, side))
    yield
