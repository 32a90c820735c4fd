"""Settings that every part from a checkpoint has."""

from typing import Any, Protocol, Self, runtime_checkable

from modalink.kinds import KindConfig


@runtime_checkable
class FromCheckpoint(Protocol):
    """Settings of what holds pretrained weights."""

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """All checkpoints whose weights it holds, each with its revision."""


@runtime_checkable
class OfPieces(Protocol):
    """Settings of what takes some tensors of a checkpoint."""

    def pieces(self) -> tuple[str, ...]:
        """Patterns of the beginning of their names there."""


class PartConfig(KindConfig):
    """Settings of a part that comes from a checkpoint."""

    checkpoint: str
    """`zoo:NAME`, a local folder, or a Hugging Face hub id."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    dtype: str = "auto"
    """`auto` (as saved), `float32`, `bfloat16` or `float16`."""

    def from_zoo(self, name: str, **changes: Any) -> Self:
        """The same part, with a checkpoint of the zoo instead of its own."""
        return self.replace(checkpoint=f"zoo:{name}", revision=None, dtype="auto", **changes)

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """All checkpoints whose weights the part holds, each with its revision."""
        return ((self.checkpoint, self.revision),)
