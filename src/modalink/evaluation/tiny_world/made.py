"""Clips, sounds and point clouds that a system makes on request, read back by classifiers that had no part in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from modalink import modalities
from modalink.errors import GenerationError
from modalink.evaluation.examples import Piece, of_reply
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.ask import conversation_about
from modalink.evaluation.tiny_world.shares import Share
from modalink.model import System
from modalink.roles import Conditions
from modalink.tiny_world import WORLDS
from modalink.tiny_world.worlds import Thing
from modalink.zoo import classifiers


@dataclass(frozen=True)
class Made:
    """What was made on a request for a thing of the world, and what the classifier reads in it; nothing when none was.

    Args:
        modality: What was asked for.
        thing: It.
        medium: What was made, the first of its modality.
        read: The parts that the classifier reads; None where no classifier knows the modality.
        prompt: The request, and `reply` what was said.
        pieces: Reply and media for a page.
    """

    modality: str
    thing: Thing
    medium: Any
    read: tuple[Any, ...] | None
    prompt: str = ""
    reply: str = ""
    pieces: tuple[Piece, ...] = ()

    @property
    def right(self) -> bool | None:
        """Whether all is as it was asked for; None where nobody judges it."""
        return None if self.read is None else classifiers.right(self.modality, self.thing, self.read)

    @property
    def sentence(self) -> str:
        """What the classifier reads, in the world's words."""
        if self.read is None:
            return ""
        world = WORLDS[self.modality]
        return world.describe(replace(self.thing, **{world.parts: self.read})) if self.read else "nothing"

    def hits(self) -> list[dict[str, bool]]:
        """Which attributes are right, for each part that was asked for."""
        parts = classifiers.parts(self.modality, self.thing)
        return [classifiers.hits(self.modality, part, self.read or ()) for part in parts]


def makes(outputs: Iterable[str]) -> list[str]:
    """What a system with these outputs is asked for here: things of the world, but not drawings."""
    return [modality for modality in outputs if modality in WORLDS and modality != "image"]


def things(modality: str, split: str, count: int, seed: int) -> list[Thing]:
    """The things that are asked for."""
    return [WORLDS[modality].sample(seed * 1_000_000 + number, split) for number in range(count)]


def ask(system: System, modality: str, split: str, count: int, seed: int) -> list[Made]:
    """Ask for things of a modality by their canonical captions, in the words of its record."""
    wanted, words = things(modality, split, count, seed), modalities.get(modality).make
    captions = [WORLDS[modality].describe(thing) for thing in wanted]
    prompts = [words[n % len(words)].format(modality=modality, caption=text) for n, text in enumerate(captions)]
    answers = list(replies(system, [conversation_about(None, prompt) for prompt in prompts], media=count))
    media = [next((m.source for m in reply.media if m.modality == modality), None) for reply in answers]
    rows = zip(wanted, media, _read(modality, media), prompts, answers, strict=True)
    return [
        Made(modality, thing, medium, read, prompt, reply.text, tuple(of_reply(reply)))
        for thing, medium, read, prompt, reply in rows
    ]


def from_captions(generator: Any, modality: str, split: str, count: int, seed: int) -> list[Made]:
    """What a generator makes of the same things by its own text encoder: what no projector will surpass by much."""
    wanted, encode = things(modality, split, count, seed), getattr(generator, "encode_text", None)
    if encode is None:
        return []
    conditions = encode([WORLDS[modality].describe(thing) for thing in wanted])
    media = [_sampled(generator, conditions.take([i]), seed * 1_000_000 + i) for i in range(count)]
    return [Made(modality, *row) for row in zip(wanted, media, _read(modality, media), strict=True)]


def score(made: Sequence[Made], name: str) -> dict[str, Share]:
    """Parts that are right where they should be, by attribute and whole; media with all of them and no others."""
    rows = [item.hits() for item in made]
    shares = {f"{name}.parts": Share.total((sum(hit["whole"] for hit in hits), len(hits)) for hits in rows)}
    shares[f"{name}.media"] = Share.total((bool(item.right), 1) for item in made)
    shares[f"{name}.replies"] = Share.total((item.medium is not None, 1) for item in made)
    for attribute in (key for key in rows[0][0] if key != "whole") if rows else ():
        counts = ((sum(hit[attribute] for hit in hits), len(hits)) for hits in rows)
        shares[f"{name}.by_attribute.{attribute}"] = Share.total(counts)
    return shares


def _read(modality: str, media: Sequence[Any]) -> list[tuple[Any, ...] | None]:
    classifier = classifiers.load(modality)
    if classifier is None:
        return [None] * len(media)
    return [() if medium is None else tuple(classifier([medium])[0]) for medium in media]


def _sampled(generator: Any, conditions: Conditions, seed: int) -> Any:
    try:
        return generator.sample(conditions, rng=[torch.Generator().manual_seed(seed)])[0]
    except GenerationError:
        return None
