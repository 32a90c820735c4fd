"""Rewards that compare the words of a reply with a fact of its record."""

import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import Field

from modalink.rewards import Answered, Each, Judgement, Reward, RewardConfig
from modalink.scoring.metrics import vqa
from modalink.tiny_world.scene_questions import normalise_answer

NORMALISERS: dict[str, Callable[[str], str]] = {
    "none": str,
    "case": lambda text: " ".join(text.lower().split()),
    "words": lambda text: " ".join(re.sub(r"[^\w\s]|_", " ", text.lower()).split()),
    "vqa": vqa.official,
    "tiny_world": normalise_answer,
}
"""What two answers are compared by: as they are; but for case and space; also but for punctuation; as the VQA
evaluation does (articles, number words, contractions); as the tiny world does (synonyms)."""


def tagged(text: str, tag: str) -> str | None:
    """What stands in the last `<tag>...</tag>` of a text; None where there is none."""
    found = re.findall(rf"<{re.escape(tag)}>(.*?)</{re.escape(tag)}>", text, re.DOTALL)
    return found[-1].strip() if found else None


def listed(fact: Any) -> list[Any]:
    """A fact as the list of what is right."""
    return list(fact) if isinstance(fact, list | tuple) else [fact]


class TextRewardConfig(RewardConfig):
    """Base of rewards that compare words with a fact."""

    default_fact: ClassVar[str] = "answer"

    fact: str = ""
    """Fact of the record that is right; by default the one that the kind is about."""
    tag: str | None = Field(default=None, pattern=r"^[A-Za-z][\w-]*$")
    """What is judged stands between `<tag>` and `</tag>` of the reply; a reply without is worth 0. By default all of
    the reply is."""

    def build(self, device: str = "cpu") -> Reward:
        """The reward; nothing is loaded."""
        return Each(self.one)

    def one(self, answer: Answered) -> Judgement:
        """What it says of one reply."""
        name = self.fact or self.default_fact
        right = answer.facts.get(name)
        if right is None or right == "" or right == []:
            return Judgement.lacking(name)
        said = answer.text if self.tag is None else tagged(answer.text, self.tag)
        if said is None:
            return Judgement(0.0, f"no <{self.tag}> in the reply")
        return self.compare(said, right, answer)

    @abstractmethod
    def compare(self, said: str, right: Any, answer: Answered) -> Judgement:
        """What is said against what is right."""
