"""Puts what is asked about a scene, with some picture of it, to a system."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.model import System
from modalink.tiny_world import Scene
from modalink.tiny_world.scene_questions import SceneQuestion

Show = Callable[[Scene], Any]
"""The picture of a scene that is shown, as an array or a PIL image, or None to show nothing."""


def conversation_about(picture: Any, text: str) -> Conversation:
    """The user's turn: a picture (None for no picture), and words below it."""
    shown: tuple[Content, ...] = (Text(text),) if picture is None else (Medium("image", picture), Text(f"\n{text}"))
    return Conversation((Turn("user", shown),), "tiny world")


def answer_questions(system: System, asked: Sequence[SceneQuestion], show: Show) -> list[AnsweredQuestion]:
    """Ask each question about what is shown of its scene, one question a sequence."""
    talks = [conversation_about(show(item.scene), item.question.text) for item in asked]
    answers: Iterator[Any] = replies(system, talks, max_new_tokens=16)
    return [AnsweredQuestion(item, reply.text) for item, reply in zip(asked, answers, strict=True)]
