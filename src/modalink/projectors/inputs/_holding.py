"""What projectors share that hold others: words, sections and checkpoints go to those that want them."""

from abc import abstractmethod
from collections.abc import Collection
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from modalink.projectors.inputs._borrowing import BorrowingConfig
from modalink.roles import FromCheckpoint, InputProjectorConfig


class HoldingConfig(BorrowingConfig):
    """Settings of a projector that holds others; `checkpoint` is that of what it has itself."""

    @abstractmethod
    def inner(self) -> dict[str, InputProjectorConfig]:
        """Those that it holds, by the name under which they stand in it."""

    @abstractmethod
    def own_sections(self) -> tuple[str, ...]:
        """Its modules and parameters, each that it holds among them as a whole."""

    @abstractmethod
    def borrows(self) -> tuple[str, ...]:
        """Which of these a checkpoint of its own holds."""

    @property
    def reads_text(self) -> bool:  # type: ignore[override]  # a constant of other kinds
        """Whether one of those that it holds does."""
        return any(config.reads_text for config in self.inner().values())

    def text_ids(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """What the first of them that reads words reads of these."""
        reader = next(config for config in self.inner().values() if config.reads_text)
        return reader.text_ids(text, tokenizer)

    def sections(self) -> tuple[str, ...]:
        """Its own, and those of each that it holds."""
        inner = [f"{name}.{section}" for name, config in self.inner().items() for section in config.sections()]
        return (*self.own_sections(), *inner)

    def borrowed(self) -> dict[str, FromCheckpoint]:
        """What each of them borrows, and what it borrows itself."""
        own = () if self.checkpoint is None else [name for name in self.borrows() if name not in self.without]
        inner = {
            f"{name}.{section}": source
            for name, config in self.inner().items()
            for section, source in config.borrowed().items()
        }
        return dict.fromkeys(own, self) | inner

    def borrow(self, part: nn.Module, sections: Collection[str]) -> None:
        """Borrow its own, and let each that it holds borrow what is its."""
        if own := [section for section in sections if section in self.borrows()]:
            super().borrow(part, own)
        for name, config in self.inner().items():
            if theirs := [section.removeprefix(f"{name}.") for section in sections if section.startswith(f"{name}.")]:
                config.borrow(getattr(part, name), theirs)

    def tiny_inner(self) -> dict[str, Any]:
        """The settings of a tiny form: the tiny forms of all that it holds, and no checkpoint."""
        drawn: dict[str, Any] = {"checkpoint": None, "revision": None, "prefix": None, "without": ()}
        return drawn | {name: config.tiny() for name, config in self.inner().items()}
