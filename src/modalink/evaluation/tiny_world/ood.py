"""How a system replies to pictures, messages and questions from outside the tiny world."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from typing import Any, Literal

import numpy as np

from modalink.errors import ModalinkError
from modalink.evaluation.tiny_world import ood_inputs
from modalink.evaluation.tiny_world.ask import conversation_about
from modalink.evaluation.tiny_world.examples import Example, Task, pick_examples, thumbnail
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.shares import Number, Share
from modalink.inference import Session
from modalink.model import System
from modalink.tiny_world import Scene, render
from modalink.tiny_world.dialogues import DECLINE, sample_dialogue
from modalink.tiny_world.scene_questions import normalise_answer

_DIALOGUES = 2000
_LONGEST = 120


@dataclass(frozen=True)
class OodCase:
    """Something from outside the world, and the system's reply.

    Args:
        kind: What comes from outside.
        name: Which picture or message; "" for a question.
        shown: The picture that is shown, None for none.
        prompt: The user's message.
        reply: The system's reply; where it refused, or broke, the error.
        crashed: Whether something broke instead of an answer.
        complete: Whether the reply came to an end by itself.
    """

    kind: Literal["picture", "message", "question"]
    name: str
    shown: Any
    prompt: str
    reply: str = ""
    crashed: bool = False
    complete: bool = True

    @property
    def answered(self) -> bool:
        """Whether there are words; words that refuse count."""
        return not self.crashed and bool(self.reply.strip())

    @property
    def sensible(self) -> bool:
        """Whether the reply comes to an end, and holds words of the tiny world only."""
        return self.answered and self.complete and set(normalise_answer(self.reply).split()) <= _vocabulary()

    @property
    def declined(self) -> bool:
        """Whether the system says that it does not know about this."""
        return declines(self.reply)


def ask(system: System, scenes: Sequence[Scene], max_new_tokens: int = 64, each: int | None = None) -> list[OodCase]:
    """Put everything from outside to a system.

    Args:
        system: The system.
        scenes: Scenes of the world; messages and questions come without a picture, and with one of these in turn.
        max_new_tokens: Longest reply; one that is cut off there is not sensible.
        each: At most so many pictures, messages and questions, each; all if not given.
    """
    session = Session(system)
    kinds = (_pictures(), _messages(scenes), _questions(scenes))
    return [_answered(session, case, max_new_tokens) for kind in kinds for case in islice(kind, each)]


def score(ood_cases: Sequence[OodCase], inside: Sequence[AnsweredQuestion]) -> dict[str, Number]:
    """Which share was answered, makes sense or was declined, and which of the world's own questions were declined."""
    pictures, messages, questions = (
        [row for row in ood_cases if row.kind == kind] for kind in ("picture", "message", "question")
    )
    return {
        "robustness.outside.pictures_answered": Share.total((row.answered, 1) for row in pictures),
        "robustness.outside.pictures_sensible": Share.total((row.sensible, 1) for row in pictures),
        "robustness.outside.messages_answered": Share.total((row.answered, 1) for row in messages),
        "robustness.outside.questions_declined": Share.total(
            (row.declined, 1) for row in questions if row.shown is None
        ),
        "robustness.outside.questions_declined_with_picture": Share.total(
            (row.declined, 1) for row in questions if row.shown is not None
        ),
        "robustness.inside_declined": Share.total((declines(answered.reply), 1) for answered in inside),
    }


def declines(reply: str) -> bool:
    """Whether a reply is the tiny world's way to say that it does not know."""
    return normalise_answer(reply) == normalise_answer(DECLINE)


def cases(ood_cases: Sequence[OodCase], count: int) -> list[Example]:
    """Of pictures, messages and questions the first, and some more that were not met rightly."""

    def of(kind: str, task: Task, right: str, wanted: str = "") -> list[Example]:
        # Every third: pictures stand in threes, one for each prompt; the others in pairs, without a picture and with
        # one, of which every third row shows both in turn, and no text twice.
        rows = [row for row in ood_cases if row.kind == kind][::3]
        return [
            Example(
                task, row.name, "" if row.shown is None else thumbnail(row.shown), _printable(row.prompt),
                _printable(row.reply), wanted, getattr(row, right),
            )
            for row in pick_examples(rows, lambda row: getattr(row, right), count)
        ]  # fmt: skip

    return [
        *of("picture", "picture", "sensible"),
        *of("message", "message", "answered"),
        *of("question", "ood_question", "declined", DECLINE),
    ]


def _printable(text: str) -> str:
    """A text on one line, without what cannot be printed, its end left out where it is very long."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text).strip()
    return clean if len(clean) <= _LONGEST else clean[:_LONGEST].rstrip() + "..."


def _pictures() -> Iterator[OodCase]:
    for name, picture in ood_inputs.pictures().items():
        for prompt in ood_inputs.LOOKS:
            yield OodCase("picture", name, picture, prompt)


def _messages(scenes: Sequence[Scene]) -> Iterator[OodCase]:
    for (name, text), scene in zip(ood_inputs.MESSAGES.items(), cycle(scenes), strict=False):
        yield OodCase("message", name, None, text)
        yield OodCase("message", name, render(scene), text)


def _questions(scenes: Sequence[Scene]) -> Iterator[OodCase]:
    for text, scene in zip(ood_inputs.QUESTIONS, cycle(scenes), strict=False):
        yield OodCase("question", "", None, text)
        yield OodCase("question", "", render(scene), text)


def _answered(session: Session, case: OodCase, max_new_tokens: int) -> OodCase:
    try:
        answer = session.chat(conversation_about(case.shown, case.prompt), max_new_tokens=max_new_tokens)
    except ModalinkError as error:
        return replace(case, reply=str(error))
    except Exception as error:
        # A crash is what is measured: it becomes a number, and does not end the evaluation.
        return replace(case, reply=f"{type(error).__name__}: {error}", crashed=True)
    return replace(case, reply=answer.text.strip(), complete=answer.complete)


@cache
def _vocabulary() -> frozenset[str]:
    """The words of the assistant in the zoo's dialogues."""
    talks = (sample_dialogue("train", np.random.default_rng(number)) for number in range(_DIALOGUES))
    return frozenset(word for talk in talks for _, text in talk.turns for word in normalise_answer(text).split())
