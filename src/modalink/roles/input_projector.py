"""The role of an input projector: from an encoder to prompt tokens of the LLM."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from modalink.kinds import KindConfig
from modalink.ragged import Layout, Ragged
from modalink.roles.part import FromCheckpoint


class InputProjector(nn.Module, ABC):
    """Maps encoder tokens to prompt tokens of the LLM's width."""

    @abstractmethod
    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items.

        Args:
            features: Encoder tokens `[p, d_enc]` of each item.
            texts: Token ids of what is said beside each item, for a kind that `reads_text`.

        Returns:
            Prompt tokens `[n, d_llm]` of each item, as many as its layout says.
        """

    def unread_for(self, needs: Collection[str]) -> Collection[str]:
        """Names of its parameters that nothing reads, where a stage's objectives need this of a forward pass."""
        return getattr(self, "unread", ())


@dataclass(frozen=True)
class Compared:
    """Items and texts in the space in which they are compared.

    Args:
        items: Vectors of each item, of length 1.
        texts: The vector of each text, of length 1.
        temperature: By what their cosine is divided.
    """

    items: Float[Tensor, "i n d"]
    texts: Float[Tensor, "j d"]
    temperature: Float[Tensor, ""]

    @property
    def similarities(self) -> Float[Tensor, "i j"]:
        """How well each item goes with each text, float32: the best of its vectors counts."""
        found: Tensor = (self.items @ self.texts.T).amax(dim=1) / self.temperature
        return found.float()


@runtime_checkable
class LearnsCaptions(Protocol):
    """An input projector that can be taught by captions, without an LLM (BLIP-2's first stage).

    Features and words are those of the same items; words are token ids that begin with one which stands for the whole.
    """

    def compared(self, features: Ragged, words: Ragged) -> Compared:
        """Items and texts where they are compared, by a learned temperature; neither sees the other."""

    def matches(
        self, features: Ragged, words: Ragged, items: Int[Tensor, " k"], texts: Int[Tensor, " k"]
    ) -> Float[Tensor, "k 2"]:
        """Logits of whether an item and a text, which see each other, do not (0) or do (1) belong together.

        Args:
            features: Encoder tokens.
            words: Token ids.
            items: Which item stands in each pair.
            texts: Which text stands beside it.
        """

    def written(self, features: Ragged, words: Ragged) -> Float[Tensor, "m v"]:
        """Logits of each word but the first of each text, from the item and the words before."""


@runtime_checkable
class Embeds(Protocol):
    """An input projector that has a space in which items are told apart, without an LLM (P-Former)."""

    def embedded(self, features: Ragged) -> Float[Tensor, "i d"]:
        """A vector of length 1 for each item."""

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """By what the cosine of two of them is divided."""


class InputProjectorConfig(KindConfig):
    """Base of input projector settings."""

    room: ClassVar[str] = "modalink.projectors.inputs"
    reads_text: ClassVar[bool] = False
    """Whether the projector wants the words of the turn in which a medium stands (as InstructBLIP's does)."""

    learns_captions: ClassVar[bool] = False
    """Whether the projector is one that `LearnsCaptions`."""
    embeds: ClassVar[bool] = False
    """Whether the projector is one that `Embeds`."""

    @abstractmethod
    def layout(self, item: Layout) -> Layout:
        """The prompt tokens that come of an item whose encoder tokens lie so.

        Raises:
            PartError: The projector cannot read such an item.
        """

    @abstractmethod
    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> InputProjector:
        """A new projector between these widths, its weights drawn from torch's global random state.

        Args:
            dim_in: Width of encoder tokens.
            dim_out: Width of prompt tokens.
            example: How the encoder tokens of an ordinary item lie; others may lie otherwise.
        """

    def sections(self) -> tuple[str, ...]:
        """Names of modules and parameters inside the projector that a stage can train by themselves."""
        return ()

    def borrowed(self) -> Mapping[str, FromCheckpoint]:
        """Sections whose weights come from a checkpoint, each with settings that name it."""
        return {}

    def borrow(self, projector: InputProjector, sections: Collection[str]) -> None:
        """Put a checkpoint's weights into sections that are `borrowed`, in place.

        Args:
            projector: What `build` gave.
            sections: Which of them.

        Raises:
            PartError: The checkpoint is absent, damaged, or of another architecture.
        """

    def caption_ids(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """What a projector that learns captions reads of one: by default the LLM's own tokens of it."""
        return self.text_ids(text, tokenizer)

    def text_ids(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """What the projector reads of a turn's words: by default the LLM's own tokens of them."""
        ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
        return ids
