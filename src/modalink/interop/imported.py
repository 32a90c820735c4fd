"""A checkpoint that is imported: where it is, and how a part's settings say so."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Imported:
    """Where a checkpoint is that is imported.

    Args:
        reference: Its folder, or hub id.
        revision: The commit of a hub id.
    """

    reference: str
    revision: str | None

    @property
    def checkpoint(self) -> dict[str, Any]:
        """What a part's settings say of where its weights are."""
        return {"checkpoint": self.reference} | ({} if self.revision is None else {"revision": self.revision})
