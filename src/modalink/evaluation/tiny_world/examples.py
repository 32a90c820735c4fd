"""Single cases to look at, beside the numbers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image

from modalink.evaluation.examples import Piece
from modalink.evaluation.tiny_world import captions
from modalink.evaluation.tiny_world.captions import Caption
from modalink.evaluation.tiny_world.drawings import Drawing
from modalink.evaluation.tiny_world.made import Made
from modalink.evaluation.tiny_world.places import Located
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.subjects import Answered, Described
from modalink.tiny_world import WORLDS, Scene, WorldObject, describe, place, render
from modalink.tiny_world.previews import data_url
from modalink.tiny_world.rendering import png_data_url

_T = TypeVar("_T")
Task = Literal[
    "question", "caption", "drawing", "made", "other", "renderer", "lost", "picture", "message", "ood_question"
]  # fmt: skip
_THUMB_PX = 96


@dataclass(frozen=True)
class Example:
    """One case.

    Args:
        task: What was asked for. `renderer` is one question about one scene that every renderer drew, `lost` a
            question that only the world's own pictures got right; `other` is about what is no picture, or not alone;
            `made` asks for another medium than a picture; `picture`, `message` and `ood_question` come from outside the
            world.
        kind: Kind of question, modality that is asked for, name of the renderer, or which picture or message; "" where
            there is one kind only.
        picture: What was shown, or drawn, as a PNG data URL; "" where nothing was drawn.
        prompt: The user's message.
        reply: The system's reply.
        wanted: What would have been right.
        right: Whether all of it was right; None where nobody judges it.
        note: What the classifier sees in a drawing, or what is special about the renderer.
    """

    task: Task
    kind: str
    picture: str
    prompt: str
    reply: str
    wanted: str
    right: bool | None
    note: str = ""
    media: tuple[str, ...] = ()
    """What was shown, where it is not one picture, as data URLs: moving pictures of clips and solids, WAV of sounds."""
    made: tuple[Piece, ...] = ()
    """What a reply to `made` says and makes, in its order."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def of_questions(answered: Sequence[AnsweredQuestion], count: int) -> list[Example]:
    """The first questions, and some more that were answered wrongly."""
    return [
        Example(
            "question", item.asked.question.kind, own_picture(item.asked.scene), item.asked.question.text, item.reply,
            item.asked.question.answer, item.right,
        )
        for item in pick_examples(answered, lambda item: item.right, count)
    ]  # fmt: skip


def of_places(located: Sequence[Located], count: int) -> list[Example]:
    """The first questions about places, boxes drawn on their pictures, and some more that were answered wrongly."""
    return [
        Example("question", item.asked.kind, item.picture, item.text, item.reply, item.wanted, item.right)
        for item in pick_examples(located, lambda item: item.right, count)
    ]


def of_captions(captioned: Sequence[tuple[str, Caption]], count: int) -> list[Example]:
    """The first captions with their requests, and some more that are wrong."""
    return [
        Example("caption", "", own_picture(c.scene), prompt, c.text, describe(c.scene), _all_right(c))
        for prompt, c in pick_examples(captioned, lambda row: _all_right(row[1]), count)
    ]


def of_drawings(drawn: Sequence[Drawing], count: int) -> list[Example]:
    """The first drawings, and some more that are wrong."""
    return [
        Example(
            "drawing", "", "" if d.picture is None else png_data_url(d.picture), d.requested.text, d.reply,
            describe(d.requested.scene), _as_asked(d), _sentence(d.seen),
        )
        for d in pick_examples(drawn, _as_asked, count)
    ]  # fmt: skip


def of_subject(answered: Sequence[Answered], count: int) -> list[Example]:
    """The first questions about other things than pictures, and some more that were answered wrongly."""
    return [
        Example(
            "other", a.asked.question.kind, "", a.asked.question.text, a.reply, a.asked.question.answer, a.right,
            media=tuple(map(data_url, a.asked.shown)),
        )
        for a in pick_examples(answered, lambda a: a.right, count)
    ]  # fmt: skip


def of_descriptions(described: Sequence[Described], count: int) -> list[Example]:
    """The first captions of other things than pictures, and some more that are wrong."""
    return [
        Example(
            "other", "caption", "", d.prompt, d.reply, d.shown.description, d.hits[0] == d.hits[1],
            media=(data_url(d.shown),),
        )
        for d in pick_examples(described, lambda d: d.hits[0] == d.hits[1], -(-count // 3))
    ]  # fmt: skip


def of_made(made: Sequence[Made], count: int) -> list[Example]:
    """The first media that were made, and some more that are wrong."""
    return [
        Example(
            "made", m.modality, "", m.prompt, m.reply, WORLDS[m.modality].describe(m.thing), m.right, m.sentence,
            made=m.pieces,
        )
        for m in pick_examples(made, lambda m: m.right is not False, count)
    ]  # fmt: skip


def thumbnail(picture: Image.Image | np.ndarray) -> str:
    """A picture of any size and mode as a small data URL."""
    small = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGB")
    small.thumbnail((_THUMB_PX, _THUMB_PX))
    return png_data_url(small)


def pick_examples(items: Sequence[_T], right: Callable[[_T], bool], count: int) -> list[_T]:
    """The first ones, and up to a third as many later ones that are wrong."""
    later = islice((item for item in items[count:] if not right(item)), -(-count // 3))
    return [*items[:count], *later]


def own_picture(scene: Scene) -> str:
    """The world's own picture of a scene as a data URL."""
    return png_data_url(Image.fromarray(render(scene)))


def _all_right(caption: Caption) -> bool:
    mentions = captions.parse(caption.text)
    fits = all(
        len(captions.hits(*pair)) == len(captions.ATTRIBUTES)
        for pair in captions.paired(caption.scene.objects, mentions)
    )
    return fits and len(mentions) == len(caption.scene.objects)


def _as_asked(drawn: Drawing) -> bool:
    return all(map(drawn.right, drawn.requested.scene.objects)) and len(drawn.seen) == len(
        drawn.requested.scene.objects
    )


def _sentence(seen: Iterable[WorldObject]) -> str:
    return ", ".join(f"a {item.size} {item.colour} {item.shape} {place(item.cell)}" for item in seen) or "nothing"
