"""Conditions: what a generator makes media from, as a record of named tensors, and how a generator declares them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional

from modalink.devices import to_device
from modalink.errors import PartError


@dataclass(frozen=True)
class ConditionShape:
    """One named tensor of the conditions that a generator reads.

    Args:
        width: Width of the vectors.
        tokens: How many an item has; None for a pooled vector, which is one by itself.
        masked: Whether some items have fewer tokens, which their mask tells.
        vocabulary: How many ids there are, where it is text: a sequence of ids, int64 `[i l 1]`, and not of vectors. No
            projector makes ids; the generator's own `encode_text` does.
        norm: What the generator demands of each vector: `l2`: its length is `scale`; `rms`: the root of its mean square
            is. CLAP's text vector in AudioLDM is `l2` of 1, CLIP's in Shap-E `l2` of the root of 768.
        scale: See `norm`.

    Raises:
        PartError: There can be no such tensor.
    """

    width: int
    tokens: int | None = None
    masked: bool = False
    vocabulary: int | None = None
    norm: str | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.norm not in (None, "l2", "rms"):
            raise PartError(f"found the norm {self.norm!r} of a condition, needed l2, rms or none")
        if not (math.isfinite(self.scale) and self.scale > 0) or (self.norm is None and self.scale != 1):
            raise PartError(f"found the scale {self.scale} and norm {self.norm}, needed a norm and a positive scale")
        if self.width < 1 or (self.tokens is not None and self.tokens < 1):
            raise PartError(f"found a condition of {self}, needed at least one number")
        if self.masked and self.tokens is None:
            raise PartError(f"found a mask for a pooled condition of {self}, needed tokens that it can leave out")
        if self.vocabulary is not None and (self.width != 1 or self.tokens is None or self.vocabulary < 1):
            raise PartError(f"found ids of a text {self}, needed a sequence of width 1, and one id at least")

    def __str__(self) -> str:
        if self.vocabulary is not None:
            return f"{self.tokens} ids of {self.vocabulary}"
        return f"{self.width}" if self.tokens is None else f"{self.tokens} x {self.width}"

    @property
    def item(self) -> tuple[int, ...]:
        """Shape of one item's tensor."""
        return (self.width,) if self.tokens is None else (self.tokens, self.width)

    def normalised(self, values: Float[Tensor, "... d_gen"]) -> Float[Tensor, "... d_gen"]:
        """The same vectors as the norm demands; a vector of zeros stays one. Without a norm the values themselves."""
        if self.norm is None:
            return values
        length = self.scale * (self.width**0.5 if self.norm == "rms" else 1)
        unit = functional.normalize(values.float(), dim=-1)
        return unit.mul(length).to(values.dtype)

    def completed(
        self, values: Float[Tensor, "i n d_gen"], mask: Bool[Tensor, "i n"] | None = None
    ) -> tuple[Float[Tensor, "i ..."], Bool[Tensor, "i l"] | None]:
        """What was made of items as this shape has it: normalised, and zeros where no token is.

        Args:
            values: As many tokens as the shape has, or fewer where it is masked; one for a pooled vector.
            mask: Which of them are there; all if not given.

        Returns:
            Values `[i, l, d_gen]`, or `[i, d_gen]` of a pooled vector, and which tokens are there; None where all are,
            and where the shape has no mask.
        """
        values = self.normalised(values)
        if self.tokens is None:
            return values[:, 0], None
        if mask is not None:
            values = values.where(mask[..., None], 0.0)
        missing = self.tokens - values.shape[1]
        if not self.masked or (mask is None and not missing):
            return values, None
        there = values.new_ones(values.shape[:-1], dtype=torch.bool) if mask is None else mask
        return functional.pad(values, (0, 0, 0, missing)), functional.pad(there, (0, missing))


@dataclass(frozen=True, eq=False)
class Conditions:
    """Conditions of items by name: sequences `[i l d_gen]` and pooled vectors `[i d_gen]`.

    The length and the iteration are over items, each one a record of its own; `conditions["pooled"]` is a tensor of
    all items.

    Args:
        tensors: Name -> values.
        masks: Name of a sequence -> which of its tokens are there, `[i l]`; a sequence without a mask is whole.

    Raises:
        PartError: The tensors do not hold as many items, or a mask does not fit its sequence.
    """

    tensors: Mapping[str, Shaped[Tensor, "i ..."]]
    masks: Mapping[str, Bool[Tensor, "i l"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len({len(values) for values in self.tensors.values()}) != 1:
            found = {name: len(values) for name, values in self.tensors.items()}
            raise PartError(f"found conditions of so many items: {found}, needed tensors of as many items each")
        for name, mask in self.masks.items():
            if name not in self.tensors or self.tensors[name].shape[:-1] != mask.shape:
                values = tuple(self.tensors[name].shape) if name in self.tensors else "no condition"
                raise PartError(
                    f"found a mask {tuple(mask.shape)} for {values} of the name {name!r}, needed its tokens"
                )

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise PartError(f"found no condition {name!r}; those that there are: {', '.join(self.tensors)}")
        return self.tensors[name]

    def __iter__(self) -> Iterator["Conditions"]:
        return (self._each(slice(i, i + 1)) for i in range(len(self)))

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(iter(self.tensors.values())).device

    def mask(self, name: str) -> Bool[Tensor, "i l"]:
        """Which tokens of a sequence are there."""
        values = self[name]
        return self.masks[name] if name in self.masks else values.new_ones(values.shape[:-1], dtype=torch.bool)

    def take(self, rows: Sequence[int]) -> "Conditions":
        """The items at some places, in their order; one may be named twice."""
        return self._each(list(rows))

    @classmethod
    def cat(cls, parts: Sequence["Conditions"]) -> Self:
        """Items joined, one record after the other.

        Raises:
            PartError: They have different names.
        """
        names = [*parts[0].tensors]
        if others := [sorted(part.tensors) for part in parts if part.tensors.keys() != {*names}]:
            raise PartError(f"found conditions {sorted(names)} and {others[0]}, needed the same names in all")
        masked = [name for name in names if any(name in part.masks for part in parts)]
        return cls(
            {name: torch.cat([part[name] for part in parts]) for name in names},
            {name: torch.cat([part.mask(name) for part in parts]) for name in masked},
        )

    def where(self, chosen: Bool[Tensor, " i"], other: "Conditions") -> "Conditions":
        """The same with the chosen items in the place of its own, on this record's device and in its types.

        Args:
            chosen: Which items are taken from the other.
            other: As many items, or one that stands for all.
        """
        chosen = to_device(chosen, self.device)

        def pick(own: Tensor, its: Tensor) -> Tensor:
            return torch.where(chosen.view(-1, *[1] * (own.ndim - 1)), its.to(own), own)

        masked = [name for name in self.tensors if name in self.masks or name in other.masks]
        return Conditions(
            {name: pick(values, other[name]) for name, values in self.tensors.items()},
            {name: pick(self.mask(name), other.mask(name)) for name in masked},
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Conditions":
        """The same conditions on a device, their real numbers in a type."""

        def move(values: Tensor) -> Tensor:
            moved = values if device is None else to_device(values, device)
            return moved.to(dtype=dtype) if moved.is_floating_point() else moved

        return Conditions(
            {name: move(values) for name, values in self.tensors.items()},
            {name: move(mask) for name, mask in self.masks.items()},
        )

    def check(self, shapes: Mapping[str, ConditionShape]) -> None:
        """Demand what a generator declares.

        Raises:
            PartError: A name is missing or unknown, a tensor has another shape, or a mask is none that is declared.
        """
        found = {name: tuple(values.shape[1:]) for name, values in self.tensors.items()}
        needed = {name: shape.item for name, shape in shapes.items()}
        if found != needed:
            raise PartError(f"found conditions {_listed(found)}; the generator declares {_listed(needed)}")
        if surplus := [name for name in self.masks if not shapes[name].masked]:
            raise PartError(f"found masks of {', '.join(surplus)}; the generator declares these conditions without")

    def _each(self, rows: slice | list[int]) -> "Conditions":
        return Conditions(
            {name: values[rows] for name, values in self.tensors.items()},
            {name: mask[rows] for name, mask in self.masks.items()},
        )


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items()) or "none"
