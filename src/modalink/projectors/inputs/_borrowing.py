"""What projectors share that may come from a checkpoint."""

from typing import ClassVar

from modalink.hub.borrowing import Borrowing, Origin
from modalink.roles import InputProjectorConfig

__all__ = ["BorrowingConfig", "Origin"]


class BorrowingConfig(Borrowing, InputProjectorConfig):
    """Settings of a projector that is drawn anew, or comes from a checkpoint."""

    what: ClassVar[str] = "projector"
