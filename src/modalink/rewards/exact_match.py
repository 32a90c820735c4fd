"""Whether a reply is the right answer, word for word after normalisation."""

from collections import Counter
from typing import Any, Literal

from modalink.rewards import Answered, Judgement, RewardConfig
from modalink.rewards._texts import NORMALISERS, TextRewardConfig, listed


class ExactMatchConfig(TextRewardConfig):
    """1 where the reply is the right answer or one of several, else 0."""

    kind: Literal["exact_match"] = "exact_match"
    normalise: Literal["none", "case", "words", "vqa", "tiny_world"] = "words"
    """What is left out of the comparison: nothing; case and space; also punctuation; what the VQA evaluation leaves
    out, number words and articles among it; what the tiny world does, synonyms among it."""

    partial: bool = False
    """Whether a reply that is not right is worth its F1 of words with the nearest right answer, and not 0."""

    def tiny(self) -> RewardConfig:
        """With credit for words: a system that has learned little says no whole answer right."""
        return self.replace(partial=True)

    def compare(self, said: str, right: Any, answer: Answered) -> Judgement:
        normal = NORMALISERS[self.normalise]
        found, wanted = normal(said), {normal(str(one)) for one in listed(right)}
        if found in wanted or not self.partial:
            return Judgement(float(found in wanted))
        return Judgement(max(word_f1(found, one) for one in wanted))


def word_f1(said: str, right: str) -> float:
    """The harmonic mean of precision and recall of words, repeated ones too (SQuAD, arXiv 1606.05250)."""
    words, wanted = Counter(said.split()), Counter(right.split())
    common = (words & wanted).total()
    return 2 * common / (words.total() + wanted.total()) if common else 0.0
