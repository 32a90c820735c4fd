"""How near a caption comes to those that people wrote."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from modalink import files
from modalink.errors import DataError
from modalink.kinds import GivenPath
from modalink.rewards import Answered, Judgement, Reward, RewardConfig
from modalink.rewards._texts import listed
from modalink.scoring.metrics import captions


class CaptionConfig(RewardConfig):
    """A caption score of the reply against the right captions. CIDEr weighs words by how rare they are in a corpus:
    without one of its own, in the captions of the replies that are judged together."""

    alone: ClassVar[bool] = False

    kind: Literal["caption"] = "caption"
    fact: str = "captions"
    """Fact of the record that holds the right captions, one or a list; where it has none, `answer`."""
    metric: Literal["cider", "bleu_4", "rouge_l"] = "cider"
    """CIDEr-D (0 to 10), BLEU of up to four words, or ROUGE-L (0 to 1), as the COCO caption evaluation has them."""
    corpus: GivenPath | None = None
    """JSON lines, each the list of captions of one picture, that tell how rare words are."""

    def build(self, device: str = "cpu") -> Reward:
        """The reward.

        Raises:
            DataError: The corpus cannot be read.
        """
        return Captions(self)


@dataclass(frozen=True)
class Captions(Reward):
    """Scores captions."""

    config: CaptionConfig

    @cached_property
    def corpus(self) -> list[list[str]]:
        """Captions of other pictures."""
        path = self.config.corpus
        return [] if path is None else read_corpus(str(path))

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        found = [answer.facts.get(self.config.fact) or answer.facts.get("answer") for answer in answers]
        judged = [i for i, right in enumerate(found) if right]
        right = [[str(one) for one in listed(found[i])] for i in judged]
        corpus = self.corpus if self.config.metric == "cider" else []
        scores = iter(self._scores([answers[i].text for i in judged], right, corpus) if judged else [])
        return [Judgement(next(scores)) if one else Judgement.lacking(self.config.fact) for one in found]

    def _scores(self, replies: list[str], right: list[list[str]], corpus: list[list[str]]) -> list[float]:
        replies = [*replies, *(others[0] for others in corpus)]
        items = captions.item_scores(replies, [*right, *corpus], self.config.metric)
        return [float(value) for value in items[: len(right)]]


def read_corpus(path: str) -> list[list[str]]:
    """The captions of each picture of a corpus.

    Raises:
        DataError: A line is something else.
    """
    rows = []
    lines = files.named(path, DataError).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: no JSON ({error})") from None
        if not isinstance(row, list) or not row or not all(isinstance(text, str) for text in row):
            raise DataError(f"{path}, line {number}: found {line!r:.80}, needed a list of captions")
        rows.append(row)
    return rows
