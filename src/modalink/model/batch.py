"""The batch record: samples made ready for the model, packed into one stream or padded into rows."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional

from modalink import modalities
from modalink.devices import to_device
from modalink.errors import DataError
from modalink.llms import Segments
from modalink.model.places import Places

IGNORED = -100
"""Label of a token that carries no loss, as in PyTorch and Hugging Face."""


@dataclass(frozen=True)
class Item:
    """One preprocessed medium.

    Args:
        values: What its encoder (or generator) reads, without an item axis.
        digest: SHA-256 of the values: names the item in feature caches.
        caption: Text that describes it, if known.
        loss: Whether training learns to make it, where it is a target.
    """

    values: Tensor
    digest: str
    caption: str | None = None
    loss: bool = True

    @classmethod
    def of(cls, values: Tensor, caption: str | None = None, *, loss: bool = True) -> "Item":
        """An item with its digest."""
        content = repr((values.dtype, tuple(values.shape))).encode()
        content += values.contiguous().view(torch.uint8).numpy().tobytes()
        return cls(values, hashlib.sha256(content).hexdigest(), caption, loss)


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
        cut: How many text tokens were cut off to keep the maximum length.
    """

    id: str
    input_ids: list[int]
    labels: list[int]
    media: dict[str, list[Item]] = field(default_factory=dict)
    targets: dict[str, list[Item]] = field(default_factory=dict)
    cut: int = 0


@dataclass(frozen=True)
class Targets:
    """The media that one modality's generator shall make of a batch, in the order of the signal tokens."""

    values: Tensor
    captions: list[str | None]
    digests: list[str]
    samples: list[int]
    """Which sample of the batch each item belongs to."""
    loss: list[bool]
    """Whether each item is learned; one that is not stands here because its signal tokens do."""

    @property
    def learned(self) -> list[int]:
        """Indices of the items that are learned."""
        return [i for i, loss in enumerate(self.loss) if loss]


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
        media: Encoder inputs by modality, items stacked.
        digests: The items' digests by modality.
        features: Encoder outputs by modality; where present they stand in for `media`.
        targets: What generators shall make, by modality.
        samples: The samples' names, in order.
        places: Where media stand in `input_ids`; without it the model looks for them, and a GPU's host waits.
    """

    input_ids: Int[Tensor, "r t"]
    labels: Int[Tensor, "r u"]
    position_ids: Int[Tensor, "r t"]
    attention_mask: Tensor
    segments: Segments | None
    predicting: Int[Tensor, " m"] | Bool[Tensor, "r u"]
    wanted: Int[Tensor, " m"]
    encoder_decoder: bool
    media: dict[str, Tensor]
    digests: dict[str, list[str]]
    features: dict[str, Tensor]
    targets: dict[str, Targets]
    samples: list[str]
    places: Places | None = None

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
        if self.places:
            arguments["places"] = self.places
        if self.features:
            arguments["features"] = self.features
        raw = {modalities.get(m).argument: values for m, values in self.media.items() if m not in self.features}
        return arguments | raw

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device; targets stay on the host, because generators take of them what they lack."""
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
            places=self.places and self.places.to(device),
            media={m: to_device(values, device) for m, values in self.media.items()},
            features={m: to_device(values, device) for m, values in self.features.items()},
        )


def collate(prepared: Sequence[Prepared], *, packed: bool, pad_id: int, encoder_decoder: bool = False) -> Batch:
    """Join samples into a batch.

    Args:
        packed: One stream with segments, for an LLM whose `packs` is true; else rows padded on the right.
        pad_id: Token that fills padded rows.
        encoder_decoder: Whether the labels are the decoder's.

    Raises:
        DataError: There is no sample, or items of one modality differ in shape.
    """
    if not prepared:
        raise DataError("found no samples to join into a batch, needed at least one")
    labels = [list(sample.labels) for sample in prepared]
    if not encoder_decoder:
        for row in labels:
            row[0] = IGNORED  # nothing comes before a sample's first token that could predict it
    ids = [sample.input_ids for sample in prepared]
    segments = Segments.of(len(row) for row in ids) if packed else None
    mask: Tensor
    if segments:
        tokens, marks = _joined(ids), _joined(labels)
        mask, places = segments.mask(), segments.positions
    else:
        tokens, marks = _padded(ids, pad_id), _padded(labels, IGNORED)
        mask = _padded([[1] * len(row) for row in ids], 0)
        places = _padded([list(range(len(row))) for row in ids], 0)
    predicting, wanted = _predictions(marks, shifted=not encoder_decoder)
    media = _by_modality(sample.media for sample in prepared)
    return Batch(
        input_ids=tokens,
        labels=marks,
        position_ids=places,
        attention_mask=mask,
        segments=segments,
        predicting=predicting[0].nonzero().flatten() if packed else predicting,
        wanted=wanted,
        encoder_decoder=encoder_decoder,
        media={m: _stacked(items, m) for m, items in media.items()},
        digests={m: [item.digest for _, item in items] for m, items in media.items()},
        features={},
        targets={m: _targets(items, m) for m, items in _by_modality(s.targets for s in prepared).items()},
        samples=[sample.id for sample in prepared],
    )


def _predictions(labels: Int[Tensor, "r u"], *, shifted: bool) -> tuple[Bool[Tensor, "r u"], Int[Tensor, " m"]]:
    """Where logits are needed, and the token that each of them predicts."""
    mask = labels != IGNORED
    if shifted:
        mask = functional.pad(mask[:, 1:], (0, 1))
        labels = labels.roll(-1, dims=1)
    return mask, labels[mask]


def _joined(rows: list[list[int]]) -> Int[Tensor, "1 t"]:
    return torch.tensor([token for row in rows for token in row])[None]


def _padded(rows: list[list[int]], fill: int) -> Int[Tensor, "r t"]:
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def _by_modality(samples: Iterable[dict[str, list[Item]]]) -> dict[str, list[tuple[int, Item]]]:
    found: dict[str, list[tuple[int, Item]]] = {}
    for index, items in enumerate(samples):
        for modality, values in items.items():
            found.setdefault(modality, []).extend((index, item) for item in values)
    return {modality: items for modality, items in found.items() if items}


def _targets(items: list[tuple[int, Item]], modality: str) -> Targets:
    return Targets(
        values=_stacked(items, modality),
        captions=[item.caption for _, item in items],
        digests=[item.digest for _, item in items],
        samples=[index for index, _ in items],
        loss=[item.loss for _, item in items],
    )


def _stacked(items: list[tuple[int, Item]], modality: str) -> Tensor:
    shapes = {tuple(item.values.shape) for _, item in items}
    if len(shapes) > 1:
        raise DataError(f"{modality} items of one batch have the shapes {sorted(shapes)}, needed one shape for all")
    return torch.stack([item.values for _, item in items])
