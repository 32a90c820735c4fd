"""The role of a join: how media meet the LLM."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from modalink.errors import PartError
from modalink.kinds import KindConfig
from modalink.ragged import Layout, Ragged
from modalink.roles.part import FromCheckpoint


@dataclass(frozen=True)
class Placed:
    """The items of one modality, and their places in what the LLM reads in one pass, its rows one after the other.

    Args:
        modality: Name of the modality.
        prompt: The items' prompt tokens.
        index: Places of all items, on the device.
        lengths: How many places each item has.
        starts: First place of each item, on the host.
    """

    modality: str
    prompt: Ragged
    index: Int[Tensor, " n"]
    lengths: tuple[int, ...]
    starts: tuple[int, ...]

    def repeated(self, times: int, width: int) -> "Placed":
        """The same where each row, of so many tokens, stands several times in a row, as beams do."""
        owners = [start // width for start in self.starts]
        order = [(row, copy, item) for item, row in enumerate(owners) for copy in range(times)]
        order.sort(key=lambda found: found[:2])  # items of one row stay in their order
        shifts = [(row * (times - 1) + copy) * width for row, copy, _ in order]
        items = [item for *_, item in order]
        places = self.index.split(list(self.lengths))
        return Placed(
            self.modality,
            self.prompt.take(items),
            torch.cat([places[item] + shift for item, shift in zip(items, shifts, strict=True)]),
            tuple(self.lengths[item] for item in items),
            tuple(self.starts[item] + shift for item, shift in zip(items, shifts, strict=True)),
        )


@dataclass(frozen=True)
class Rows:
    """What an LLM reads in one pass: rows of tokens, in which samples begin.

    Args:
        count: How many rows.
        width: Tokens of each row.
        samples: Tokens of each sample, in rows laid one after the other: of a packed stream its segments, else the
            rows themselves.
    """

    count: int
    width: int
    samples: tuple[int, ...]

    @classmethod
    def of(cls, states: Float[Tensor, "b t d"], segments: Sequence[int] | None = None) -> "Rows":
        """The rows of states; a packed stream has segments."""
        count, width = states.shape[:2]
        return cls(count, width, tuple(segments) if segments is not None else (width,) * count)

    @property
    def starts(self) -> tuple[int, ...]:
        """First place of each sample."""
        return tuple(accumulate(self.samples[:-1], initial=0))


class Meeting(ABC):
    """What the layers of a join are told of one pass, and what later passes behind its cache need of it."""

    def positions(self, position_ids: Int[Tensor, "b t"] | None) -> Int[Tensor, "b t"] | None:
        """The places at which the LLM reads the tokens, from those that count every token of a sample."""
        return position_ids

    def kept(self) -> "Meeting":
        """What passes behind this one need of it."""
        return self

    @abstractmethod
    def select(self, index: Sequence[int]) -> "Meeting":
        """What a pass behind some of the rows needs."""

    @abstractmethod
    def beside(self, others: Sequence["Meeting"]) -> "Meeting":
        """What a pass behind these rows and those of others needs."""


class Join(nn.Module, ABC):
    """How media meet an LLM: one object, put into the LLM and taken out of it again.

    Its parameters are its own. What it adds to the LLM are hooks, so that no weight and no name in it changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.meeting: Meeting | None = None
        self._put: list[Any] = []
        self._llm: tuple[PreTrainedModel, ...] = ()  # in a tuple, because a join does not own its LLM

    def put_into(self, llm: PreTrainedModel) -> None:
        """Let the LLM compute with this join from now on.

        Raises:
            PartError: It is in an LLM already.
        """
        if self._llm:
            raise PartError(f"the join {type(self).__name__} is in an LLM already; take it out first")
        self._llm, self._put = (llm,), list(self.hooks(llm))

    def take_out(self) -> None:
        """Leave the LLM as it was."""
        for handle in self._put:
            handle.remove()
        self._llm, self._put, self.meeting = (), [], None

    def hooks(self, llm: PreTrainedModel) -> Iterator[Any]:
        """Put in what the LLM's layers must do; each has `remove`."""
        yield from ()

    def lengths(self, prompt: Ragged) -> tuple[int, ...]:
        """How many places each item has in the text."""
        return prompt.lengths

    @abstractmethod
    def embed(self, embeds: Float[Tensor, "b t d_llm"], items: Sequence[Placed]) -> Float[Tensor, "b t d_llm"]:
        """What the LLM reads: embedded text, with what the join puts at the places of items."""

    def meet(self, rows: Rows, items: Sequence[Placed], before: Meeting | None) -> Meeting | None:
        """What the join's layers are told of a pass.

        Args:
            rows: What the LLM reads.
            items: The items in it.
            before: The meeting of the tokens before, behind whose cache these stand.
        """
        return None

    @contextmanager
    def told(self, meeting: Meeting | None) -> Iterator[None]:
        """Tell the join's layers of a pass, as long as it lasts."""
        self.meeting = meeting
        try:
            yield
        finally:
            # Layers that are computed anew in the backward pass must hear the same again.
            if not (torch.is_grad_enabled() and meeting is not None and any(map(_recomputes, self._llm))):
                self.meeting = None


def _recomputes(llm: PreTrainedModel) -> bool:
    """Whether an LLM's layers are computed anew in the backward pass; transformers renamed what tells it."""
    new = "is_activation_checkpointing"
    return bool(getattr(llm, new if hasattr(type(llm), new) else "is_gradient_checkpointing"))


class JoinConfig(KindConfig):
    """Base of the settings of joins."""

    room: ClassVar[str] = "modalink.llms.joins"
    in_layers: ClassVar[bool] = False
    """Whether it is put into the LLM's layers, which not every family's can carry."""

    def trial(self) -> "JoinConfig":
        """The same at a size for trying it in a tiny LLM of two layers or more, in all of which it is."""
        small = self.tiny()
        assert isinstance(small, JoinConfig)
        return small

    @property
    def learns(self) -> bool:
        """Whether it has parameters, which stages train as `llm.join`."""
        return False

    @property
    def vectors(self) -> tuple[int, int]:
        """How many places of the join's own an item has before its prompt tokens, and behind them."""
        return (0, 0)

    @property
    def media_first(self) -> bool:
        """Whether all media of a text stand before it, wherever they were said."""
        return False

    def prompt_width(self, width: int) -> int:
        """Width of the tokens that input projectors make for an LLM of a width."""
        return width

    def places(self, prompt: Layout) -> Layout:
        """How the places lie that stand in the text for an item whose prompt tokens lie so, without `vectors`."""
        return prompt

    def sections(self) -> tuple[str, ...]:
        """Names of modules inside the join of which some may come from a checkpoint."""
        return ()

    def borrowed(self) -> Mapping[str, FromCheckpoint]:
        """Sections whose weights come from a checkpoint, each with settings that name it."""
        return {}

    def borrow(self, join: Join, sections: Collection[str]) -> None:
        """Put a checkpoint's weights into sections that are `borrowed`, in place.

        Raises:
            PartError: The checkpoint is absent, damaged, or of another architecture.
        """

    @property
    def reference(self) -> FromCheckpoint | None:
        """The settings that name the checkpoint of which all its weights are; None where some are its own."""
        borrowed = self.borrowed()
        return next(iter(borrowed.values()), None) if {*borrowed} == {*self.sections()} else None

    @abstractmethod
    def build(self, llm: PreTrainedModel, modalities: Sequence[str]) -> Join:
        """A new join for an LLM, not yet in it; its weights are drawn from torch's global random state.

        Args:
            llm: The LLM, with its tokens.
            modalities: What comes in.

        Raises:
            PartError: The LLM cannot carry it.
        """
