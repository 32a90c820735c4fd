"""Samples asked in several wordings, without any language model, as instruction tuning sets are made of task sets.

Source of the idea: the survey's table of templates (arXiv 2401.13601, section 3.2), and InstructBLIP's (arXiv
2305.06500, appendix). The wordings are this project's own.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from modalink import modalities
from modalink.conversation import Content, Conversation, Text, Turn
from modalink.data_making.maker import Known, MakerConfig
from modalink.errors import SampleError

_QUESTION = "{question}"
Task = Literal["describe", "short_answer", "answer", "ask"]
WORDINGS: dict[Task, tuple[str, ...]] = {
    "describe": (
        "What can be seen or heard in this {modality}?", "Put the {modality} into words.", "Caption the {modality}.",
        "Tell me briefly what this {modality} is about.", "Give a one-sentence account of the {modality}.",
    ),
    "short_answer": (
        "{question} Answer with a word or a short phrase.", "{question} Keep it to a few words.",
        "Question: {question} Short answer:", "Look at the {modality}. {question} Be brief.",
    ),
    "answer": (
        "{question}", "Look at the {modality} and answer: {question}", "Question: {question}",
        "Here is a question about the {modality}: {question}",
    ),
    "ask": (
        "The answer is: {answer}. Which question about the {modality} has it?",
        "Think of a question about this {modality} that is answered by: {answer}",
        "What would one have to ask about the {modality} to hear: {answer}",
    ),
}  # fmt: skip


class TemplatesMakerConfig(MakerConfig):
    """Settings of wordings."""

    asks: ClassVar[bool] = False

    kind: Literal["templates"] = "templates"
    task: Task = "describe"
    """Describe the medium; answer the sample's question, at length or shortly; ask the question of its answer."""
    wordings: tuple[str, ...] = ()
    """Wordings of one's own; `{question}`, `{answer}` and `{modality}` are filled in."""
    each: int = Field(default=1, ge=1, le=100)
    """How many wordings each sample gets, at most as many as there are; all different."""

    def read(self, reply: str, known: Sequence[Known]) -> list[Conversation]:
        """The sample in some wordings, drawn by the seed and its name."""
        (one,) = known
        if not one.media or not one.told:
            raise SampleError(one.id, "nothing_known", "shows nothing, or nothing is answered")
        wordings = self.wordings or WORDINGS[self.task]
        needs_question = self.task == "ask" or any(_QUESTION in wording for wording in wordings)
        if needs_question and not one.question:
            raise SampleError(one.id, "nothing_known", "asks no question in words")
        chosen = self.rng(known).sample(wordings, min(self.each, len(wordings)))
        return [self._conversation(one, wording, number) for number, wording in enumerate(chosen)]

    def _conversation(self, one: Known, wording: str, number: int) -> Conversation:
        modality = modalities.get(one.media[0].modality).name
        filled = {"{question}": one.question, "{answer}": one.told[-1], "{modality}": modality}
        asked = wording
        for name, value in filled.items():
            asked = asked.replace(name, value)
        shown: tuple[Content, ...] = one.media
        answer = one.question if self.task == "ask" else one.told[-1]
        turns = Turn("user", (*shown, Text(f"\n{asked}"))), Turn("assistant", (Text(answer),))
        return Conversation(turns, f"{one.id}#{self.kind}-{number}")
