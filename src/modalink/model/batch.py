"""The batch record: samples made ready for the model, packed into one stream or padded into rows."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modalink.devices import to_device
from modalink.llms import Segments
from modalink.model.arguments import pack, pack_texts
from modalink.model.items import Described, Item, ragged, texts
from modalink.model.places import Placement
from modalink.model.sides import SideTokens
from modalink.ragged import Ragged


@dataclass(frozen=True)
class Targets:
    """The media that one modality's generator shall make of a batch, in the order of the signal tokens."""

    items: list[Item]
    samples: list[int]
    """Which sample of the batch each item belongs to."""

    @property
    def learned(self) -> list[int]:
        """Indices of the items that are learned; one that is not stands here because its signal tokens do."""
        return [i for i, item in enumerate(self.items) if item.loss]

    @property
    def shown(self) -> dict[int, Item]:
        """The learned items as their modality's encoder reads them, by their index, where an objective asks for it."""
        items = {i: self.items[i].shown for i in self.learned}
        return {i: item for i, item in items.items() if item is not None}

    @property
    def media(self) -> Ragged:
        """The items' units, as the generator's preprocessor made them."""
        return ragged(self.items)

    @property
    def captions(self) -> list[str | None]:
        """Texts that describe the items."""
        return [item.caption for item in self.items]


@dataclass(frozen=True)
class Batch:
    """Samples for one forward pass.

    Args:
        input_ids: Packed: one row `[1, t]`. Padded: one row a sample, padded on the right.
        labels: Labels, `[r, t]`; for an encoder-decoder the replies `[r, u]`.
        position_ids: Place of each token in its own sample.
        attention_mask: Packed: the mask of `modalink.llms.Segments`. Padded: 1 for tokens.
        segments: Packed: where the samples begin and end. Padded: None.
        predicting: Where logits are needed. Packed: places in the stream, `[m]`. Padded: a mask `[r, u]`. A decoder
            predicts the next token, so it is one place to the left of the label; an encoder-decoder's label itself.
        wanted: The tokens that these logits predict.
        encoder_decoder: Whether labels belong to the decoder.
        items: What encoders read, by modality.
        features: Encoder outputs by modality; where present they stand in for the items.
        places: The places that stand for the items.
        signals: The places of runs of signal tokens, by modality.
        targets: What generators shall make, by modality.
        samples: The samples' names, in order; one with alternatives stands here as often as it has sides.
        owners: Which of these each of the items belongs to, by modality.
        ends: Place of the last token of each of these, counted through all rows: of what the LLM reads, of an
            encoder-decoder what it says.
        steps: Place of the last token of each step of the replies that are judged by steps, counted the same.
        sides: Whose labelled tokens these are: one entry for each of `samples`.
        source: The number of the data set of its samples, where data sets stand in batches of their own.
        neighbours: The vectors of what retrieval found for each of `samples`, where output projectors read them.
    """

    input_ids: Int[Tensor, "r t"]
    labels: Int[Tensor, "r u"]
    position_ids: Int[Tensor, "r t"]
    attention_mask: Tensor
    segments: Segments | None
    predicting: Int[Tensor, " m"] | Bool[Tensor, "r u"]
    wanted: Int[Tensor, " m"]
    encoder_decoder: bool
    items: dict[str, list[Item]]
    features: dict[str, Ragged]
    places: dict[str, Placement]
    signals: dict[str, Placement]
    targets: dict[str, Targets]
    samples: list[str]
    owners: dict[str, list[int]] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    sides: list[SideTokens] = field(default_factory=list)
    source: int = 0
    neighbours: Float[Tensor, "s n d"] | None = None

    @property
    def described(self) -> dict[str, Described]:
        """The items that have captions to be learned, by modality; on the host."""
        found = {m: Described.of(items, self.owners[m]) for m, items in self.items.items() if m in self.owners}
        return {modality: own for modality, own in found.items() if own.places}

    @property
    def media(self) -> dict[str, Ragged]:
        """The units of the items that were not encoded before, on the batch's device."""
        device = self.input_ids.device
        return {m: ragged(items).to(device) for m, items in self.items.items() if m not in self.features}

    @property
    def texts(self) -> dict[str, Ragged]:
        """Token ids of what is said beside the items, for input projectors that read them."""
        device = self.input_ids.device
        return {m: said.to(device) for m, items in self.items.items() if (said := texts(items)) is not None}

    @property
    def label_count(self) -> int:
        """How many tokens carry loss."""
        return len(self.wanted)

    def inputs(self, *, logits: bool = True, conditions: bool = True) -> dict[str, Any]:
        """Keyword arguments for the model's forward.

        Args:
            logits: Whether logits are needed; they are returned at labelled tokens only.
            conditions: Whether conditions are needed, where the batch has targets.
        """
        nowhere = self.predicting[:0] if self.segments else torch.zeros_like(self.predicting)
        arguments: dict[str, Any] = {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "logits_to_keep": self.predicting if logits else nowhere,
            "use_cache": False,
            "return_conditions": conditions and bool(self.targets),
        }
        if self.encoder_decoder:
            arguments["labels"] = self.labels
        else:
            arguments["position_ids"] = self.position_ids
        if self.features:
            arguments["features"] = self.features
        if self.neighbours is not None:
            found = self.neighbours
            arguments["neighbours"] = {modality: found[made.samples] for modality, made in self.targets.items()}
        said = self.texts
        return arguments | pack(self.media, said) | pack_texts(said) | {"places": self.places, "signals": self.signals}

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device; items stay on the host, because frozen parts take of them what they lack."""
        segments = self.segments and self.segments.to(device)
        return replace(
            self,
            input_ids=to_device(self.input_ids, device),
            labels=to_device(self.labels, device),
            position_ids=segments.positions if segments else to_device(self.position_ids, device),
            attention_mask=segments.mask() if segments else to_device(self.attention_mask, device),
            segments=segments,
            predicting=to_device(self.predicting, device),
            wanted=to_device(self.wanted, device),
            neighbours=None if self.neighbours is None else to_device(self.neighbours, device),
            features={m: found.to(device) for m, found in self.features.items()},
            places={m: found.to(device) for m, found in self.places.items()},
            signals={m: found.to(device) for m, found in self.signals.items()},
        )
