"""Counts the replies that make what nobody asked for, or not what was asked for, for the table of docs/demo.md.

Run: `python docs/tools/any_to_any.py RUN`, with a run that makes several modalities of the tiny world. It is asked 500
questions about pictures, 500 about descriptions, each of which wants words alone, and for media of each modality that
it makes: in a first turn, and in a second one behind an answered question. All are of the test split.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from marked import Marked

from modalink import modalities
from modalink.conversation import Conversation, Text, Turn
from modalink.evaluation.replies import replies
from modalink.inference.loading import load_system
from modalink.model import System
from modalink.tiny_world.language import drawing_request
from modalink.tiny_world.media import user_turn
from modalink.tiny_world.shown_questions import ShownQuestion, sample_questions
from modalink.tiny_world.worlds import WORLDS

ROOT = Path(__file__).parents[2]
TABLE = Marked(ROOT / "docs" / "demo.md", "<!-- any to any: begin -->", "<!-- any to any: end -->")
QUESTIONS, REQUESTS = 500, 250


def main(run: str) -> None:
    """Ask the run, count, and write the table."""
    system = load_system(run)
    made = [modality for modality in system.spec.signalled if modality in WORLDS]
    asked = sample_questions("image", "test", QUESTIONS, seed=7)
    pictures = [Conversation((user_turn(one.shown, one.question.text),), "tiny world") for one in asked]
    words = [Conversation((Turn("user", (Text(_described(one)),)),), "tiny world") for one in asked]
    rows = [
        ("questions about pictures", *counted(system, pictures, "")),
        ("questions about descriptions", *counted(system, words, "")),
    ]
    for modality in made:
        requests = [_request(modality, number) for number in range(REQUESTS)]
        first = [Conversation((Turn("user", (Text(text),)),), "tiny world") for text in requests]
        second = [
            Conversation((*_answered(one), Turn("user", (Text(text),))), "tiny world")
            for one, text in zip(asked, requests, strict=False)
        ]
        rows.append((f"requests for {modality}", *counted(system, first, modality)))
        rows.append((f"requests for {modality} after an answer", *counted(system, second, modality)))
    head = "| what is asked | replies | missing | too much, or of another modality |\n| --- | --- | --- | --- |"
    TABLE.write("\n".join([head, *(f"| {' | '.join(map(str, row))} |" for row in rows)]))


def counted(system: System, asked: Sequence[Conversation], modality: str) -> tuple[int, int, int]:
    """How many replies, in how many what was asked for is missing, and in how many is more than that.

    Args:
        system: What is asked.
        asked: What it is asked.
        modality: What each reply should make once; empty: nothing.
    """
    found = [{m: len(own) for m, own in reply.conditions.items()} for reply in replies(system, asked)]
    missing = sum(bool(modality) and not made.get(modality) for made in found)
    return (
        len(found),
        missing,
        sum(sum(made.values()) > made.get(modality, 0) or made.get(modality, 0) > 1 for made in found),
    )


def _described(one: ShownQuestion) -> str:
    return "\n".join([*(shown.description for shown in one.shown), one.question.text])


def _answered(one: ShownQuestion) -> tuple[Turn, Turn]:
    return user_turn(one.shown, one.question.text), Turn("assistant", (Text(one.question.answer),))


def _request(modality: str, number: int) -> str:
    thing = WORLDS[modality].sample(number, "test")
    if modality == "image":
        return drawing_request(thing, np.random.default_rng(number))
    words = modalities.get(modality).make
    return words[number % len(words)].format(modality=modality, caption=WORLDS[modality].describe(thing))


if __name__ == "__main__":
    main(*sys.argv[1:])
