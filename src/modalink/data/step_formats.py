"""The formats of replies whose steps are judged that people have, each recognised by its columns.

Sources: openai/prm800k (README); peiyi9979/Math-Shepherd, trl-lib's "stepwise supervision" sets and
OpenGVLab/VisualPRM400K-v1.1-Raw on the hub (their cards and tools).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from modalink.data.preference_formats import Messages, said
from modalink.errors import SampleError, shown

Record = dict[str, Any]


class InSteps(NamedTuple):
    """A record as its format reads it.

    Args:
        prompt: Chat messages before the reply.
        steps: What each step says.
        worth: Of each, from 0 to 1; None where nobody judged it.
    """

    prompt: Messages
    steps: list[str]
    worth: list[float | None]


@dataclass(frozen=True)
class Columns:
    """TRL's: `prompt`, and lists of `completions` and `labels` (true where a step is right)."""

    NEEDED: str = "prompt, completions and labels"

    def fits(self, record: Record) -> bool:
        """Whether the columns are there, two of them lists."""
        return "prompt" in record and all(isinstance(record.get(name), list) for name in ("completions", "labels"))

    def read(self, record: Record, id: str) -> InSteps:
        """Steps and labels as they stand."""
        steps = [_text(step, "completions", id) for step in record["completions"]]
        return InSteps(said(record["prompt"], "user", "prompt", id), steps, [_share(v, id) for v in record["labels"]])


@dataclass(frozen=True)
class Prm800k:
    """PRM800K's: `question` with `problem`, `label` with `steps`, of which each was chosen among rated completions.

    A rating of 0, neutral, is 0.5.
    """

    NEEDED: str = "question and label (PRM800K)"

    def fits(self, record: Record) -> bool:
        """Whether a problem and steps are there."""
        question, label = record.get("question"), record.get("label")
        return isinstance(question, dict) and "problem" in question and isinstance(label, dict) and "steps" in label

    def read(self, record: Record, id: str) -> InSteps:
        """The steps that were gone on with, and the last one, with which the reply ended."""
        steps: list[str] = []
        worth: list[float | None] = []
        for step in _list(record["label"]["steps"], "label.steps", id):
            chosen, human = step.get("chosen_completion"), step.get("human_completion")
            completions = _list(step.get("completions") or [], "completions", id)
            if chosen is None and human:
                steps.append(_text(human.get("text"), "human_completion", id))
                worth.append(1.0)
                continue
            if not isinstance(chosen or 0, int) or not 0 <= (chosen or 0) < len(completions):
                break
            taken = completions[chosen or 0]
            steps.append(_text(taken.get("text"), "completions", id))
            rating = taken.get("rating")
            worth.append(None if rating is None else _share((rating + 1) / 2, id))
            if chosen is None:
                break
        return InSteps(said(record["question"]["problem"], "user", "question", id), steps, worth)


@dataclass(frozen=True)
class MathShepherd:
    """Math-Shepherd's: `input`, a question and its steps with a sign behind each, and `label`, the same with + or -."""

    NEEDED: str = "input and label (Math-Shepherd)"
    sign: str = "\u043a\u0438"

    def fits(self, record: Record) -> bool:
        """Whether both are texts, and signs stand in the first."""
        asked, label = record.get("input"), record.get("label")
        return isinstance(asked, str) and isinstance(label, str) and self.sign in asked

    def read(self, record: Record, id: str) -> InSteps:
        """The question ends where the first step begins."""
        pieces, label = record["input"].split(self.sign)[:-1], record["label"]
        worth: list[float | None] = []
        place = 0
        for piece in pieces:
            place += len(piece)
            if not label.startswith(piece, place - len(piece)) or label[place : place + 1] not in ("+", "-"):
                found = shown(label[place : place + 8])
                raise SampleError(
                    id, "bad_record", f"found {found} in its label behind step {len(worth) + 1}, needed + or -"
                )
            worth.append(float(label[place] == "+"))
            place += 1
        question, begins, first = pieces[0].partition("Step 1:")
        if not begins:
            raise SampleError(id, "bad_record", "found no 'Step 1:' in its input, where the question ends")
        steps = [f"{begins}{first}", *pieces[1:]]
        return InSteps(said(question.strip(), "user", "input", id), [step.strip() for step in steps], worth)


@dataclass(frozen=True)
class VisualPrm:
    """VisualPRM's: `question` about `image`, and `steps_with_score`: the share of continuations that ended right."""

    NEEDED: str = "question and steps_with_score (VisualPRM)"

    def fits(self, record: Record) -> bool:
        """Whether both are there."""
        return "question" in record and isinstance(record.get("steps_with_score"), list)

    def read(self, record: Record, id: str) -> InSteps:
        """Steps and scores as they stand."""
        found = _list(record["steps_with_score"], "steps_with_score", id)
        steps = [_text(step.get("step"), "step", id) for step in found]
        worth = [None if step.get("score") is None else _share(step["score"], id) for step in found]
        return InSteps(said(record["question"], "user", "question", id), steps, worth)


StepFormat = Columns | Prm800k | MathShepherd | VisualPrm
FORMATS: Mapping[str, StepFormat] = {
    "visual_prm": VisualPrm(),
    "prm800k": Prm800k(),
    "math_shepherd": MathShepherd(),
    "trl": Columns(),
}
"""By name, in the order in which they are tried."""


def _text(value: Any, column: str, id: str) -> str:
    if not isinstance(value, str):
        raise SampleError(id, "bad_record", f"found {shown(value)} under {column!r}, needed text")
    return value.strip()


def _list(value: Any, column: str, id: str) -> Sequence[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise SampleError(id, "bad_record", f"found {shown(value)} under {column!r}, needed a list of mappings")
    return value


def _share(value: Any, id: str) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise SampleError(id, "bad_record", f"found {shown(value)} as the worth of a step, needed a number from 0 to 1")
    return float(value)
