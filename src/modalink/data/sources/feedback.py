"""Dialogues with feedback in words: answers are learned under what was said of them (DRESS, LVLM_NLF).

Of each answer critique and rating are a condition that stands with the question, so that good and bad ones are told
apart by it; feedback that asks for a better answer is the next question. Source: Chen et al. (arXiv 2311.10081, section
3); YangyiYY/LVLM_NLF on the hub. The wording of conditions was not published.
"""

import string
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.data.lookalike import open_fitting
from modalink.data.records import RecordSource
from modalink.data.source import SourceConfig, media_folder, place
from modalink.errors import SampleError, shown

_FIELDS = ("rating", "critique", "refinement")


class FeedbackConfig(SourceConfig):
    """Settings of dialogues with feedback.

    A record has `image_id`, the name of an image file, and `interaction`, a list of mappings with `user`, `model`, and
    of the model's answer, `rating`, `critique_NLF` and `refinement_NLF` (or `critique` and `refinement`).
    """

    kind: Literal["feedback"] = "feedback"
    path: str
    """JSON lines or JSON: a file, a folder or a pattern."""
    media: str | None = None
    """Folder of the images (COCO train2017); by default the file's own."""
    condition: str | None = "\n(An answer with the rating {rating} of 4. {critique})"
    """What stands behind a question whose answer has feedback; `{rating}`, `{critique}` and `{refinement}` are filled
    in. Nothing if null, or if the answer lacks one of those that it names."""
    learned: Literal["all", "last"] = "all"
    """Which answers of a dialogue are learned; the others are read."""

    @field_validator("condition")
    @classmethod
    def _can_be_filled(cls, text: str | None) -> str | None:
        names = {name for _, name, _, _ in string.Formatter().parse(text or "") if name is not None}
        if unknown := sorted(names - {*_FIELDS}):
            raise ValueError(
                f"found {{{unknown[0]}}} in {text!r}, needed {', '.join(f'{{{n}}}' for n in _FIELDS)} at most"
            )
        return text

    def open(self) -> RecordSource:
        """Find the records."""
        read = partial(_read, config=self, folder=media_folder(self.media, self.path))
        needed = "'interaction' of 'user' and 'model'"
        return RecordSource(open_fitting(self.path, _fits, needed, (".jsonl", ".json")), read)


def _fits(record: dict[str, Any]) -> bool:
    return "interaction" in record


def _read(record: dict[str, Any], id: str, *, config: FeedbackConfig, folder: Path) -> Conversation:
    rounds = record.get("interaction")
    if not isinstance(rounds, list) or not rounds or not all(isinstance(said, dict) for said in rounds):
        raise SampleError(id, "bad_record", f"found the interaction {shown(rounds)}, needed a list of mappings")
    turns: list[Turn] = []
    for number, said in enumerate(rounds):
        asked = _asked(said, rounds[number - 1] if number else {}, f"round {number}", id)
        answer = _text(said, "model", f"round {number}", id)
        content: list[Content] = []
        if not number and record.get("image_id") is not None:
            content.append(Medium("image", place(_text(record, "image_id", "the record", id), folder)))
        start = "\n" if content else ""
        content.append(Text(f"{start}{asked}{_condition(said, config.condition)}"))
        learns = config.learned == "all" or number == len(rounds) - 1
        turns += [Turn("user", tuple(content)), Turn("assistant", (Text(answer),), loss=learns)]
    return Conversation(tuple(turns), id)


def _asked(said: dict[str, Any], before: dict[str, Any], where: str, id: str) -> str:
    """What the user says: without words of his own, what the answer before should do better."""
    advice = _feedback(before, "refinement")
    return advice if advice and not said.get("user") else _text(said, "user", where, id)


def _condition(said: dict[str, Any], form: str | None) -> str:
    filled = {name: _feedback(said, name) for name in _FIELDS}
    wanted = {name for _, name, _, _ in string.Formatter().parse(form or "") if name is not None}
    return form.format(**filled) if form and all(filled[name] for name in wanted) else ""


def _feedback(said: dict[str, Any], name: str) -> str:
    """A rating, critique or refinement; empty where there is none."""
    value = said.get(f"{name}_NLF", said.get(name))
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _text(said: dict[str, Any], key: str, where: str, id: str) -> str:
    value = said.get(key)
    if not isinstance(value, str) or not value.strip():
        raise SampleError(id, "bad_record", f"{where}: found {shown(value)} under {key!r}, needed text")
    return value.strip()
