"""One sample made ready: its tokens, labels and items, on the CPU."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor

from modalink.model.items import Item
from modalink.model.sampled import Asked, Sampled
from modalink.model.sides import Judgement

IGNORED = -100
"""Label of a token that carries no loss, as in PyTorch and Hugging Face."""

Wanted = Callable[[Item, str, bool], bool]
"""Whether an item of a modality, which is a target or not, must be loaded."""


@dataclass(frozen=True)
class Prepared:
    """One sample as tokens and items, on the CPU.

    Args:
        id: Names the sample in ledgers and errors.
        input_ids: Token ids; each medium's placeholder stands once for each of its prompt tokens.
        labels: Token ids where loss is carried, `IGNORED` elsewhere: as long as `input_ids` for a decoder, the
            reply alone for an encoder-decoder.
        media: Items that encoders read, by modality, in the order of their placeholders.
        targets: Items that generators shall make, by modality, in the order of their signal tokens.
        places: Places in `input_ids` that stand for each of the `media`.
        signals: Places of each run of signal tokens in what the LLM says: in `input_ids`, or for an encoder-decoder
            in the decoder's input, where `labels` lie one place to the right.
        cut: How many text tokens were cut off to keep the maximum length.
        source: The number of its data set among those of its stage.
        judgement: What is known of its reply's worth.
        alternatives: Other replies to the same prompt, or what an objective compares it with; they stay beside it
            wherever it goes, and none has alternatives of its own.
        asked: What is asked, where replies are yet to be drawn (nothing is labelled then), or their media.
        sampled: What is known of a reply that the policy drew.
        neighbours: The vectors of what retrieval found for it, where output projectors read them.
    """

    id: str
    input_ids: list[int]
    labels: list[int]
    media: dict[str, list[Item]] = field(default_factory=dict)
    targets: dict[str, list[Item]] = field(default_factory=dict)
    places: dict[str, list[list[int]]] = field(default_factory=dict)
    signals: dict[str, list[list[int]]] = field(default_factory=dict)
    cut: int = 0
    source: int = 0
    judgement: Judgement = field(default_factory=Judgement)
    alternatives: tuple["Prepared", ...] = ()
    asked: Asked | None = None
    sampled: Sampled | None = None
    neighbours: Float[Tensor, "n d"] | None = None

    @property
    def sides(self) -> tuple["Prepared", ...]:
        """The sample and its alternatives: as many rows of a batch."""
        return (self, *self.alternatives)

    @property
    def size(self) -> int:
        """How many tokens the LLM reads of all its sides."""
        return sum(len(side.input_ids) for side in self.sides)

    def loaded(self, wanted: Wanted | None = None) -> "Prepared":
        """The same sample, the units of its items in memory: of all, or of those that are wanted.

        Args:
            wanted: Tells of an item, its modality, and whether it is a target.

        Raises:
            MediumError: A medium cannot be decoded.
        """

        def one(item: Item, modality: str, made: bool) -> Item:
            if made and item.shown is not None:  # a caption that is shown is there already
                item = replace(item, shown=one(item.shown, modality, made=False))
            return item.loaded() if wanted is None or wanted(item, modality, made) else item

        def load(items: dict[str, list[Item]], made: bool) -> dict[str, list[Item]]:
            return {modality: [one(item, modality, made) for item in own] for modality, own in items.items()}

        others = tuple(other.loaded(wanted) for other in self.alternatives)
        media, targets = load(self.media, made=False), load(self.targets, made=True)
        return replace(self, media=media, targets=targets, alternatives=others)
