"""Dialogues about the tiny world as batches: in words or superposed, and where things must be known."""

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
    """Dialogues as padded token ids, with labels, superposed positions, and where things and parts must be known."""

    ids: Tensor
    labels: Tensor
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


def collate(
    dialogues: list[Dialogue], tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, layout: int = 0
) -> Batch:
    """Turn dialogues into one batch; a `layout` above 0 superposes descriptions on that many positions a side."""
    encoded = [_encode(dialogue, tokenizer, rng, layout) for dialogue in dialogues]
    width = -(-max(len(row.ids) for row in encoded) // 16) * 16
    padded = torch.full((len(encoded), width), tokenizer.pad_token_id)
    targets = torch.full((len(encoded), width), -2)
    slots, asked, named, matched = Slots(tokenizer), [], [], []
    known: list[tuple[int, Scene]] = []
    told: dict[str, list[tuple[int, Any]]] = {}
    weighed: dict[str, list[tuple[int, tuple[Any, ...]]]] = {}
    for number, (row, dialogue) in enumerate(zip(encoded, dialogues, strict=True)):
        padded[number, : len(row.ids)], targets[number, : len(row.ids)] = (
            torch.tensor(row.ids),
            torch.tensor(row.labels),
        )
        for start, bags in row.laid_out:
            slots.add(number, start, bags)
        for at, shown in zip(row.told_at, dialogue.shown, strict=True):
            pairs = known if shown.modality == "image" else told.setdefault(shown.modality, [])
            pairs.append((number * width + at, shown.thing))
        if dialogue.drawn is not None:
            known.append((number * width + len(row.ids) - 2, dialogue.drawn))
        if dialogue.about:
            for start, parts in zip(_before_answers(row.labels), dialogue.about, strict=True):
                if items := _of_kind(parts, WorldObject):
                    asked.append(number * width + start)
                    named.append(items)
                if len({type(part) for part in parts}) > 1:
                    matched.append((number * width + start, parts))
                for name, roster in ROSTERS.items():
                    if items := _of_kind(parts, roster.kind):
                        weighed.setdefault(name, []).append((number * width + start, items))
    return Batch(
        ids=padded,
        labels=targets,
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
    )


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


def _encode(dialogue: Dialogue, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, layout: int) -> Row:
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
