"""What every builder is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where a part is built and how long it trains."""

    out: Path
    """Folder of the finished parts."""
    work: Path
    """Folder of checkpoints and logs."""
    steps_scale: float = 1.0
    """Factor on the number of training steps; also bounds the data that is drawn ahead."""

    def count(self, full: int) -> int:
        """Number of pictures to draw ahead: all, or fewer for a shorter training, at least 16."""
        return full if self.steps_scale >= 1 else max(16, round(full * self.steps_scale))
