"""Where a frame stands among others, added to its tokens: tokens that are projected one by one know no order.

Sources: learned by order as Flamingo's time embeddings (arXiv 2204.14198, section 2.1) and Video-LLaMA's positions of
frames (arXiv 2306.02858, section 2.1.1); sinusoidal as in arXiv 1706.03762, section 3.5.
"""

from typing import Literal, Self

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from modalink.devices import to_device
from modalink.errors import PartError
from modalink.kinds import Count, Settings
from modalink.ragged import Layout, Ragged


class PositionsSpec(Settings):
    """One vector for each block of an item (frame, clip, window, tile), added to all of its tokens."""

    form: Literal["learned", "sinusoidal"] = "learned"
    """`learned`: a table with a row for each place; `sinusoidal`: sines and cosines, without parameters."""
    of: Literal["order", "time"] = "order"
    """`order`: blocks are counted from 0; `time`: they stand at their seconds (`sinusoidal` alone)."""
    most: Count = 64
    """Rows of the table: items of more blocks are refused, or stretch it."""
    stretch: bool = False
    """Whether an item of more blocks than the table has rows gets as many, interpolated between the first and the last,
    as Flamingo reads 30 frames after 8 in training (`learned` alone)."""

    @model_validator(mode="after")
    def _a_table_has_no_seconds(self) -> Self:
        if self.form == "learned" and self.of == "time":
            raise ValueError("learned positions are those of the order; set positions.form: sinusoidal for times")
        if self.form == "sinusoidal" and self.stretch:
            raise ValueError("sinusoidal positions have no last one; leave positions.stretch out")
        return self

    def check(self, item: Layout) -> None:
        """Refuse an item whose blocks have no such positions.

        Raises:
            PartError: It has more blocks than the table, or no times.
        """
        if self.form == "learned" and len(item.blocks) > self.most and not self.stretch:
            advice = "raise positions.most, or set positions.stretch"
            raise PartError(f"positions: found {len(item.blocks)} blocks, have {self.most}; {advice}")
        if self.of == "time" and item.times_s is None:
            raise PartError("positions: found an item without times; set positions.of: order")


class Positions(nn.Module):
    """The positions of blocks.

    Args:
        spec: Which.
        dim: Width of the tokens.
    """

    def __init__(self, spec: PositionsSpec, dim: int) -> None:
        super().__init__()
        self.spec, self.dim = spec, dim
        self.table = nn.Embedding(spec.most, dim) if spec.form == "learned" else None
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, features: Ragged) -> Ragged:
        """Features with the position of its block added to each token."""
        sizes = [tokens for item in features.layouts for tokens in item.blocks]
        each = self._vectors(features).to(features.values.dtype)
        lengths = to_device(torch.tensor(sizes), each.device)
        added = each.repeat_interleave(lengths, dim=0, output_size=sum(sizes))
        return features.with_values(features.values + added, features.layouts)

    def _vectors(self, features: Ragged) -> Float[Tensor, "blocks {self.dim}"]:
        device = features.values.device
        if self.table is not None:
            counts = [len(item.blocks) for item in features.layouts]
            if max(counts) > self.spec.most:
                return torch.cat([_rows(self.table.weight, count) for count in counts])
            found: Tensor = self.table(to_device(torch.cat([torch.arange(count) for count in counts]), device))
            return found
        by_time = self.spec.of == "time"
        places = [p for item in features.layouts for p in (item.times_s or () if by_time else range(len(item.blocks)))]
        return to_device(sinusoids(torch.tensor(places, dtype=torch.float32), self.dim), device)


def _rows(table: Float[Tensor, "most d"], count: int) -> Float[Tensor, "{count} d"]:
    """The first rows of a table; more than it has come of all of them."""
    if count <= len(table):
        return table[:count]
    return functional.interpolate(table.T[None], count, mode="linear", align_corners=True)[0].T


def sinusoids(places: Float[Tensor, " n"], dim: int) -> Float[Tensor, "n {dim}"]:
    """Sines, then cosines, of places at wavelengths from 2 pi to 10000 times that; 0 is `0 0 ... 1 1 ...`."""
    half = (dim + 1) // 2
    rates = torch.exp(-torch.log(torch.tensor(10_000.0)) * torch.arange(half) / half)
    angles = places[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim]
