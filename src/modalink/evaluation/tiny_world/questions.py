"""Questions about held-out pictures, and what blind guessing would earn."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from modalink.evaluation.tiny_world.shares import Share
from modalink.tiny_world import QUESTION_KINDS
from modalink.tiny_world.scene_questions import SceneQuestion, normalise_answer, sample_scene_questions

_MAJORITY_FROM = 400


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question with what was replied."""

    asked: SceneQuestion
    reply: str

    @property
    def right(self) -> bool:
        """Whether the reply is the answer, after normalisation."""
        return normalise_answer(self.reply) == normalise_answer(self.asked.question.answer)


def score(answered: Iterable[AnsweredQuestion], name: str, by_kind: str) -> dict[str, Share]:
    """Exact answers: all under `name`, and each kind under `by_kind`."""
    rows = [(item.asked.question.kind, item.right) for item in answered]
    shares = {name: Share.total((right, 1) for _, right in rows)}
    for kind in QUESTION_KINDS:
        shares[f"{by_kind}.{kind}"] = Share.total((right, 1) for k, right in rows if k == kind)
    return shares


def majority(asked: Iterable[SceneQuestion], seed: int) -> list[AnsweredQuestion]:
    """The answers of one who knows only which answer is most frequent for each kind in the training split."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in QUESTION_KINDS}
    for item in sample_scene_questions("train", _MAJORITY_FROM * len(QUESTION_KINDS), seed):
        counts[item.question.kind][item.question.answer] += 1
    best = {kind: answers.most_common(1)[0][0] for kind, answers in counts.items()}
    return [AnsweredQuestion(item, best[item.question.kind]) for item in asked]
