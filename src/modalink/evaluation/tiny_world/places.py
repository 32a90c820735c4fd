"""Questions about places in held-out pictures: boxes by their overlap, what boxes hold by words, beside guessing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from modalink.conversation import REGION_MARKER, Area, Conversation, Region
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.ask import Show, conversation_about
from modalink.evaluation.tiny_world.shares import Share
from modalink.inference.annotation import annotated
from modalink.model import System
from modalink.scoring.metrics.boxes import iou
from modalink.tiny_world.locating import PLACE_KINDS, PlaceQuestion, sample_place_questions
from modalink.tiny_world.rendering import png_data_url, render
from modalink.tiny_world.scene_questions import normalise_answer

LEAST_IOU = 0.5
"""Overlap of a right box."""
_MAJORITY_FROM = 400


@dataclass(frozen=True)
class Located:
    """A question about a place, with what was replied and the regions in it."""

    asked: PlaceQuestion
    reply: str
    regions: tuple[Region, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the first box of the reply overlaps the object enough, or the words are the object's."""
        if self.asked.kind == "region":
            return normalise_answer(self.reply) == normalise_answer(self.asked.answer)
        boxes = [area for region in self.regions for area in region.areas if len(area) == 4]
        return bool(boxes) and _overlap(boxes[0], self.asked.box) >= LEAST_IOU

    @property
    def text(self) -> str:
        """The question, its box in numbers."""
        return self._in_numbers(self.asked.text)

    @property
    def wanted(self) -> str:
        """The right answer, its box in numbers."""
        return self._in_numbers(self.asked.answer)

    def _in_numbers(self, text: str) -> str:
        return text.replace(REGION_MARKER, Region((self.asked.box,)).text)

    @property
    def picture(self) -> str:
        """The picture with the box that was replied, or asked about, as a data URL."""
        shown = self.regions if self.asked.kind == "locate" else (Region((self.asked.box,)),)
        return png_data_url(annotated(Image.fromarray(render(self.asked.scene)), shown))


def answer(system: System, asked: Sequence[PlaceQuestion], show: Show) -> list[Located]:
    """Ask each question about what is shown of its scene."""
    talks = [_conversation(item, show) for item in asked]
    answers = replies(system, talks, max_new_tokens=64)
    read = system.processor.regions.read
    return [
        Located(item, reply.text, read(reply.text, talk).regions)
        for item, talk, reply in zip(asked, talks, answers, strict=True)
    ]


def majority(asked: Iterable[PlaceQuestion], seed: int) -> list[Located]:
    """The answers of one who knows only what is most frequent in the training split: names, and the best fixed box."""
    known = sample_place_questions("train", _MAJORITY_FROM, seed)
    names = Counter(item.answer for item in known if item.kind == "region")
    boxes = [item.box for item in known if item.kind == "locate"]
    best = max(boxes, key=lambda box: sum(_overlap(box, other) >= LEAST_IOU for other in boxes))
    name = names.most_common(1)[0][0]
    return [Located(item, name if item.kind == "region" else "", (Region((best,)),)) for item in asked]


def score(located: Sequence[Located], name: str) -> dict[str, Share]:
    """Right answers of each kind, under `name`."""
    return {
        f"{name}.{kind}": Share.total((item.right, 1) for item in located if item.asked.kind == kind)
        for kind in PLACE_KINDS
    }


def _conversation(item: PlaceQuestion, show: Show) -> Conversation:
    talk = conversation_about(show(item.scene), item.text)
    return talk.filled([Region((item.box,))]) if item.kind == "region" else talk


def _overlap(left: Area, right: Area) -> float:
    (a, b, c, d), (e, f, g, h) = (map(float, box) for box in (left, right))
    return iou((a, b, c, d), (e, f, g, h))
