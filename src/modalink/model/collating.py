"""Samples joined into a batch: packed into one stream with segments, or padded into rows."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from modalink.errors import DataError
from modalink.llms import Segments
from modalink.model.batch import Batch, Targets
from modalink.model.items import Item
from modalink.model.places import Placement
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sides import SideTokens


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
