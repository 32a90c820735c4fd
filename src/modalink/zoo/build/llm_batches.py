"""Dialogues about the tiny world as batches: in words or superposed, and where things must be known.

Dialogues lie one behind another in rows, each attending to itself alone: their lengths differ too much to be padded.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from modalink.tiny_world.dialogues import Dialogue
from modalink.tiny_world.scenes import Scene, WorldObject
from modalink.zoo.build.superposed import Slot, Slots, lay_out
from modalink.zoo.build.targets import ROSTERS


@dataclass(frozen=True)
class Batch:
    """Dialogues as rows of token ids, with labels, superposed positions, and where things and parts must be known.

    Args:
        ids: Token ids [row, position].
        labels: What the assistant says, -1 elsewhere.
        owners: Number of the dialogue that a position belongs to, -1 where there is none.
        positions: Place of a position in its dialogue.
        slots: Positions that are superposed.
        known_at: Where scenes must be known, as all other places in the flattened rows.
        scenes: These scenes.
        told_at: Modality -> where other things have been told.
        things: These things.
        asked_at: Where answers begin whose questions name objects of pictures.
        named: These objects.
        weighed_at: Modality -> where answers begin whose questions name parts of other things.
        weighed: These parts.
        matched_at: Where answers begin whose questions weigh parts of several modalities.
        matched: These parts.
        tallied_at: Where answers begin whose questions compare numbers of parts.
        tallied: These numbers.
    """

    ids: Tensor
    labels: Tensor
    owners: Tensor
    positions: Tensor
    slots: Slots
    known_at: Tensor
    scenes: list[Scene]
    told_at: dict[str, Tensor]
    things: dict[str, list[Any]]
    asked_at: Tensor
    named: list[tuple[WorldObject, ...]]
    weighed_at: dict[str, Tensor]
    weighed: dict[str, list[tuple[Any, ...]]]
    matched_at: Tensor
    matched: list[tuple[Any, ...]]
    tallied_at: Tensor
    tallied: list[tuple[int, ...]]


def collate(
    dialogues: list[Dialogue], tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, layout: int = 0
) -> Batch:
    """Turn dialogues into one batch; a `layout` above 0 superposes descriptions on that many positions a side."""
    encoded = [encode(dialogue, tokenizer, rng, layout) for dialogue in dialogues]
    starts, shape = _lie([len(row.ids) for row in encoded])
    ids, labels = torch.full(shape, tokenizer.pad_token_id), torch.full(shape, -1)
    owners, positions = torch.full(shape, -1), torch.zeros(shape, dtype=torch.long)
    slots, asked, named, matched, tallied = Slots(tokenizer), [], [], [], []
    known: list[tuple[int, Scene]] = []
    told: dict[str, list[tuple[int, Any]]] = {}
    weighed: dict[str, list[tuple[int, tuple[Any, ...]]]] = {}
    for number, (row, dialogue, first) in enumerate(zip(encoded, dialogues, starts, strict=True)):
        own = slice(first, first + len(row.ids))
        ids.view(-1)[own], labels.view(-1)[own] = torch.tensor(row.ids), torch.tensor(row.labels)
        owners.view(-1)[own], positions.view(-1)[own] = number, torch.arange(len(row.ids))
        for start, bags in row.laid_out:
            slots.add(*divmod(first + start, shape[1]), bags)
        for at, shown in zip(row.told_at, dialogue.shown, strict=True):
            pairs = known if shown.modality == "image" else told.setdefault(shown.modality, [])
            pairs.append((first + at, shown.thing))
        if dialogue.drawn is not None:
            known.append((first + len(row.ids) - 2, dialogue.drawn))
        if dialogue.about:
            for start, parts in zip(_before_answers(row.labels), dialogue.about, strict=True):
                if items := _of_kind(parts, WorldObject):
                    asked.append(first + start)
                    named.append(items)
                if counts := _of_kind(parts, int):
                    tallied.append((first + start, counts))
                if len({type(part) for part in parts}) > 1:
                    matched.append((first + start, parts))
                for name, roster in ROSTERS.items():
                    if items := _of_kind(parts, roster.kind):
                        weighed.setdefault(name, []).append((first + start, items))
    return Batch(
        ids=ids,
        labels=labels,
        owners=owners,
        positions=positions,
        slots=slots,
        known_at=torch.tensor([at for at, _ in known], dtype=torch.long),
        scenes=[scene for _, scene in known],
        told_at={name: torch.tensor([at for at, _ in pairs]) for name, pairs in told.items()},
        things={name: [thing for _, thing in pairs] for name, pairs in told.items()},
        asked_at=torch.tensor(asked, dtype=torch.long),
        named=named,
        weighed_at={name: torch.tensor([at for at, _ in pairs]) for name, pairs in weighed.items()},
        weighed={name: [parts for _, parts in pairs] for name, pairs in weighed.items()},
        matched_at=torch.tensor([at for at, _ in matched], dtype=torch.long),
        matched=[parts for _, parts in matched],
        tallied_at=torch.tensor([at for at, _ in tallied], dtype=torch.long),
        tallied=[counts for _, counts in tallied],
    )


def _lie(lengths: list[int]) -> tuple[list[int], tuple[int, int]]:
    """Where each of some dialogues begins in the flattened rows, the longest ones laid first; and the rows' shape."""
    width, filled = -(-max(lengths) // 16) * 16, [0]
    starts = [0] * len(lengths)
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        row = next((i for i, used in enumerate(filled) if used + lengths[number] <= width), len(filled))
        if row == len(filled):
            filled.append(0)
        starts[number] = row * width + filled[row]
        filled[row] += lengths[number]
    return starts, (len(filled), width)


def _of_kind(parts: tuple[Any, ...], kind: type) -> tuple[Any, ...]:
    return tuple(part for part in parts if isinstance(part, kind))


class Row(NamedTuple):
    """A dialogue as tokens.

    Args:
        ids: Token ids.
        labels: For what the assistant says the same ids, -1 elsewhere.
        laid_out: Where superposed descriptions begin, and their bags of words.
        told_at: Where each thing that is shown has been told: the end of the line after it.
    """

    ids: list[int]
    labels: list[int]
    laid_out: list[tuple[int, list[Slot]]]
    told_at: list[int]


def encode(dialogue: Dialogue, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, layout: int) -> Row:
    """A dialogue as tokens; a `layout` above 0 superposes its descriptions, as in `collate`."""
    row = Row([], [], [], [])

    def add(text: str, said: bool = False) -> None:
        new = tokenizer(text, add_special_tokens=False).input_ids
        row.ids.extend(new)
        row.labels.extend(new if said else [-1] * len(new))

    for i, (user, assistant) in enumerate(dialogue.turns):
        add("<|im_start|>user\n")
        for shown in dialogue.shown if i == 0 else ():
            if layout:
                bags = lay_out(shown, layout, rng)
                row.laid_out.append((len(row.ids), bags))
                add(tokenizer.pad_token * len(bags))
            else:
                add(shown.description)
            row.told_at.append(len(row.ids))
            add("\n")
        add(f"{user}<|im_end|>\n<|im_start|>assistant\n")
        add(f"{assistant}<|im_end|>", said=True)
        add("\n")
    return row


def _before_answers(labels: list[int]) -> list[int]:
    """Positions from which the first token of each answer is foretold."""
    return [i for i, (before, label) in enumerate(pairwise(labels)) if before < 0 <= label]
