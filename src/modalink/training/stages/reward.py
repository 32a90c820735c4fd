"""Learning what replies are worth: a reward model, which scores them."""

from string import Formatter
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from modalink.conversation import Conversation, Text, Turn
from modalink.errors import SampleError
from modalink.recipe import SystemSpec
from modalink.training.stages._given import GivenSamplesConfig


class RewardConfig(GivenSamplesConfig):
    """The objectives' losses on judged replies, by the system's own reward head (`llm.reward_head`)."""

    kind: Literal["reward"] = "reward"
    question: str | None = None
    """What the user says behind each reply before it is scored, for example how it is to be judged. Facts of the record
    stand in braces, lists of them one a line: `{captions}` shows the reward model what is right of a picture, which the
    system that replies does not see (factually augmented RLHF)."""
    answer: str = ""
    """How the assistant then begins; the score is read at its end."""

    @field_validator("question")
    @classmethod
    def _can_be_filled(cls, text: str | None) -> str | None:
        try:
            names = _facts_in(text or "")
        except ValueError as error:
            raise ValueError(f"found {text!r:.80}, needed names of facts in braces ({error})") from None
        if odd := [name for name in names if not name.isidentifier()]:
            raise ValueError(f"found {{{odd[0]}}}, needed the name of a fact in braces, as {{captions}}")
        return text

    @model_validator(mode="after")
    def _answers_a_question(self) -> Self:
        if self.answer and self.question is None:
            raise ValueError("found an answer without a question before it; give both, or neither")
        return self

    def shown(self, conversation: Conversation, spec: SystemSpec) -> Conversation:
        """The conversation with the question about its last reply, its facts filled in, and the begin of an answer."""
        if self.question is None:
            return conversation
        for name in (names := _facts_in(self.question)):
            if conversation.facts.get(name) in (None, "", []):
                text = f"the record tells no {name!r}, which the question of the stage {self.name} shows"
                raise SampleError(conversation.id, "no_fact", text)
        told = {name: _listed(conversation.facts[name]) for name in names}
        asked = Turn("user", (Text(self.question.format(**told)),))
        turns = (*conversation.turns, asked, Turn("assistant", (Text(self.answer),), loss=False))
        return Conversation(turns, conversation.id, conversation.facts)


def _facts_in(question: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(question) if name is not None]


def _listed(fact: Any) -> str:
    return "\n".join(f"- {one}" for one in fact) if isinstance(fact, list | tuple) else str(fact)
