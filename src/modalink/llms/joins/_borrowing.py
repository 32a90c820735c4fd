"""What joins share that may come from a checkpoint."""

from typing import ClassVar

from modalink.hub.borrowing import Borrowing, Origin
from modalink.roles import JoinConfig

__all__ = ["BorrowingJoinConfig", "Origin"]


class BorrowingJoinConfig(Borrowing, JoinConfig):
    """Settings of a join that is drawn anew, or comes from a checkpoint."""

    what: ClassVar[str] = "join"
