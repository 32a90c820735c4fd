"""The batch record: samples made ready for the model, packed into one stream or padded into rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from modalink.devices import to_device
from modalink.errors import DataError
from modalink.llms import Segments
from modalink.model.arguments import pack, pack_texts
from modalink.model.items import Described, Item, ragged, texts
from modalink.model.places import Placement
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sides import SideTokens
from modalink.ragged import Ragged

__all__ = ["IGNORED", "Batch", "Item", "Prepared", "Targets", "collate", "placed", "step_ends"]


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


def collate(
    prepared: Sequence[Prepared],
    *,
    packed: bool,
    pad_id: int,
    encoder_decoder: bool = False,
    both_ways: bool = False,
) -> Batch:
    """Join samples, each with its alternatives behind it, into a batch.

    Args:
        packed: One stream with segments, for an LLM whose `packs` is true; else rows padded on the right.
        pad_id: Token that fills padded rows.
        encoder_decoder: Whether the labels are the decoder's.
        both_ways: Whether what stands before a packed sample's first label is the prefix of a prefix LM.

    Raises:
        DataError: There is no sample.
    """
    if not prepared:
        raise DataError("found no samples to join into a batch, needed at least one")
    owners = [number for number, sample in enumerate(prepared) for _ in sample.sides]
    prepared = [side for sample in prepared for side in sample.sides]
    # Nothing comes before a decoder's first token that could predict it.
    labels = [[*side.labels] if encoder_decoder else [IGNORED, *side.labels[1:]] for side in prepared]
    ids = [sample.input_ids for sample in prepared]
    segments = Segments.of(map(len, ids), prefixes=[*map(_prefix, labels)] if both_ways else ()) if packed else None
    mask: Tensor
    if segments:
        tokens, marks, mask, positions = _joined(ids), _joined(labels), segments.mask(), segments.positions
    else:
        tokens, marks = _padded(ids, pad_id), _padded(labels, IGNORED)
        mask = _padded([[1] * len(row) for row in ids], 0)
        positions = _padded([list(range(len(row))) for row in ids], 0)
    predicting, wanted = _predictions(marks, shifted=not encoder_decoder)
    starts = [*accumulate(map(len, ids[:-1]), initial=0)] if packed else [*range(0, tokens.numel(), tokens.shape[1])]
    spoken = [row * marks.shape[1] for row in range(len(ids))] if encoder_decoder else starts
    read = _by_modality(s.media for s in prepared)
    return Batch(
        input_ids=tokens,
        labels=marks,
        position_ids=positions,
        attention_mask=mask,
        segments=segments,
        predicting=predicting[0].nonzero().flatten() if packed else predicting,
        wanted=wanted,
        encoder_decoder=encoder_decoder,
        items={m: [item for _, item in found] for m, found in read.items()},
        features={},
        places=placed(starts, [(sample.id, sample.places) for sample in prepared]),
        signals=placed(spoken, [(sample.id, sample.signals) for sample in prepared]),
        targets=_targets(prepared),
        samples=[sample.id for sample in prepared],
        owners={m: [index for index, _ in found] for m, found in read.items()},
        ends=[at + len(said) - 1 for at, said in zip(spoken, labels, strict=True)],
        steps=_steps(spoken, labels, prepared),
        sides=[*map(_side, owners, prepared, labels)],
        source=prepared[0].source,
        neighbours=_neighbours(prepared),
    )


def _neighbours(prepared: Sequence[Prepared]) -> Float[Tensor, "s n d"] | None:
    """The vectors of what was found for samples; zeros for one for which nothing was looked up."""
    found = [sample.neighbours for sample in prepared]
    like = next((vectors for vectors in found if vectors is not None), None)
    return None if like is None else torch.stack([torch.zeros_like(like) if one is None else one for one in found])


def _side(sample: int, side: Prepared, labels: Sequence[int]) -> SideTokens:
    tokens = tuple(token for token in labels if token != IGNORED)
    return SideTokens(sample, side.judgement, tokens, side.sampled)


def _steps(starts: Sequence[int], labels: Sequence[Sequence[int]], sides: Sequence[Prepared]) -> list[int]:
    """Where the steps of replies end that are judged by steps, of sides that begin there."""
    rows = zip(starts, labels, sides, strict=True)
    return [start + place for start, own, side in rows if side.judgement.steps for place in step_ends(own)]


def step_ends(labels: Sequence[int]) -> list[int]:
    """The last place of each run of labels: where the steps of a reply end that is labelled behind them alone."""
    after = [*labels[1:], IGNORED]
    return [n for n, (own, next_) in enumerate(zip(labels, after, strict=True)) if own != IGNORED and next_ == IGNORED]


def _prefix(labels: Sequence[int]) -> int:
    """How many tokens stand before the first label."""
    return next((place for place, label in enumerate(labels) if label != IGNORED), len(labels))


def _targets(prepared: Sequence[Prepared]) -> dict[str, Targets]:
    """What generators shall make of all samples, by modality."""
    made = _by_modality(sample.targets for sample in prepared)
    return {m: Targets([item for _, item in found], [index for index, _ in found]) for m, found in made.items()}


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


def placed(starts: Sequence[int], samples: Sequence[tuple[str, dict[str, list[list[int]]]]]) -> dict[str, Placement]:
    """The places of all samples' items in the batch, by modality; each sample's first token has its own."""
    found: dict[str, list[tuple[str, list[int], int]]] = {}
    for start, (name, items) in zip(starts, samples, strict=True):
        for modality, runs in items.items():
            own = [(name, [start + place for place in run], start) for run in runs]
            found.setdefault(modality, []).extend(own)
    return {
        modality: Placement.of([run for _, run, _ in runs], [name for name, _, _ in runs], [at for _, _, at in runs])
        for modality, runs in found.items()
        if runs
    }
