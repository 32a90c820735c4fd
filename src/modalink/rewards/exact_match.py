"""Whether a reply is the right answer, word for word after normalisation."""

from typing import Any, Literal

from modalink.rewards import Answered, Judgement
from modalink.rewards._texts import NORMALISERS, TextRewardConfig, listed


class ExactMatchConfig(TextRewardConfig):
    """1 where the reply is the right answer or one of several, else 0."""

    kind: Literal["exact_match"] = "exact_match"
    normalise: Literal["none", "case", "words", "vqa", "tiny_world"] = "words"
    """What is left out of the comparison: nothing; case and space; also punctuation; what the VQA evaluation leaves
    out, number words and articles among it; what the tiny world does, synonyms among it."""

    def compare(self, said: str, right: Any, answer: Answered) -> Judgement:
        normal = NORMALISERS[self.normalise]
        return Judgement(float(normal(said) in {normal(str(one)) for one in listed(right)}))
