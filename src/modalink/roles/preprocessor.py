"""What turns a medium into the tensor that an encoder (or generator) reads."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Preprocessor(Protocol):
    """Turns one decoded medium into the tensor that an encoder (or generator) reads; picklable, no weights."""

    def __call__(self, medium: Any) -> Float[Tensor, "..."]:
        """The tensor of one item, without an item axis."""

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data: part of every feature-cache key."""
