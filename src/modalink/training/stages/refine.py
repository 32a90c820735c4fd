"""Learning from feedback in words: answer, hear what is wrong with it, answer better, learn from all of it.

Source: DRESS (arXiv 2311.10081, section 3), which trains on such dialogues without reinforcement; here they are made in
each step, by a critic of one's choice or by the system itself. The wording of conditions was not published.
"""

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from modalink.conversation import Conversation, Text, Turn
from modalink.errors import DataError, PromptError, reason_of
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sampled import Asked
from modalink.training import parallel
from modalink.training.rollouts import Group, Reply
from modalink.training.stages._rollouts import Policy, RolloutStageConfig, Teacher

Note = Callable[[str, str, str], None]
"""Writes a sample's name, a reason and details in the ledger."""


@dataclass(frozen=True)
class Answer:
    """An answer with what is said of it.

    Args:
        asked: What it answers.
        place: The number of its prompt in the whole step, by which its randomness is drawn.
        reply: The answer; its reward is known.
        before: The reward of the answer that it is to better; None of a first one.
    """

    asked: Asked
    place: int
    reply: Reply
    before: float | None = None

    @property
    def reward(self) -> float:
        """What it is worth."""
        return self.reply.reward or 0.0


class RefineConfig(RolloutStageConfig):
    """The objectives' losses, as `language`, on answers under what was said of them, and on better ones behind advice.

    The rewards are the critic: their sum, cut to 0 to 1, is the rating, and the reasons that they give are the
    critique. Answers that make media are not learned.
    """

    kind: Literal["refine"] = "refine"
    replies: Annotated[int, Field(ge=1, le=1024)] = 1
    """First answers that are drawn for each prompt."""
    passes: Annotated[float, Field(gt=0)] = 1.0
    """Reward from which an answer needs no better one."""
    rounds: Annotated[int, Field(ge=0, le=8)] = 1
    """How often an answer that does not pass is advised upon and answered again; 0 learns ratings and critiques
    alone."""
    ratings: tuple[int, int] = (1, 4)
    """Rating of the reward 0, and of 1."""
    condition: str | None = "\n(An answer with the rating {rating} of 4. {critique})"
    """What stands behind a question whose first answer is learned; `{rating}` and `{critique}` are filled in. Null:
    those that pass are learned as they are, the others not."""
    advice: Annotated[str, Field(min_length=1)] = "{critique}"
    """What the user says to an answer that does not pass; `{rating}` and `{critique}` are filled in."""
    unsaid: tuple[str, str] = ("It is wrong.", "It is right.")
    """The critique, where the rewards give no reasons, of an answer that does not pass and of one that does."""

    @field_validator("condition", "advice")
    @classmethod
    def _can_be_filled(cls, form: str | None) -> str | None:
        needed = f"found {form!r:.80}, needed {{rating}} and {{critique}} at most"
        try:
            names = {name for _, name, _, _ in string.Formatter().parse(form or "") if name is not None}
        except ValueError as error:
            raise ValueError(f"{needed} ({error})") from None
        if names - {"rating", "critique"}:
            raise ValueError(needed)
        return form

    @model_validator(mode="after")
    def _ratings_rise(self) -> Self:
        if not self.ratings[0] < self.ratings[1]:
            raise ValueError(f"found the ratings {self.ratings}, needed the worst, then the best")
        if own := [source.template for source in self.data if source.template is not None]:
            raise ValueError(
                f"found a source with the template {own[0]}, needed the recipe's: further turns are written"
            )
        return self

    def taught(self, policy: Policy, groups: Sequence[Group]) -> list[Prepared]:
        """The first answers; those that follow advice are drawn by `learn`."""
        talks = self._first([answer for group in groups for answer in self._answers(group)])
        made = [self._prepared(policy, talk, _forgotten) for talk in talks]
        return [sample for sample in made if sample is not None]

    def learn(self, teacher: Teacher, step: int, groups: Sequence[Group]) -> dict[str, Any]:
        note = partial(teacher.ledger.add, step)
        answers = [answer for group in groups for answer in self._answers(group)]
        talks = [*self._first(answers)]
        advised = better = 0
        for number in range(1, self.rounds + 1):
            failed = [answer for answer in answers if answer.reward < self.passes]
            answers = [*self._again(teacher, step, number, failed)]
            gained = [answer for answer in answers if answer.reward > (answer.before or 0.0)]
            talks += [_answered(answer.asked.conversation, answer) for answer in gained]
            advised, better = advised + len(failed), better + len(gained)
        made = [self._prepared(teacher.policy, talk, note) for talk in talks]
        samples = [sample for sample in made if sample is not None]
        counts = parallel.summed([float(len(samples)), float(advised), float(better)])
        measured = {"learned": int(counts[0]), "advised": int(counts[1]), "refined": counts[2] / max(1.0, counts[1])}
        if not counts[0]:
            return teacher.nothing(step, groups) | measured
        return teacher.policy.learner.learn(step, samples) | measured

    def _answers(self, group: Group, before: float | None = None) -> Iterator[Answer]:
        """The answers of a prompt whose worth is known, and which are words alone."""
        assert group.prompt.asked is not None
        for number, reply in enumerate(group.replies):
            if reply.reward is not None and reply.text.strip() and not reply.makes:
                yield Answer(group.prompt.asked, group.place * self.replies + number, reply, before)

    def _first(self, answers: Sequence[Answer]) -> Iterator[Conversation]:
        """First answers, each under its rating and critique."""
        for answer in answers:
            asked = answer.asked.conversation
            if self.condition is not None:
                yield _answered(_behind(asked, self._said(self.condition, answer)), answer)
            elif answer.reward >= self.passes:
                yield _answered(asked, answer)

    def _again(self, teacher: Teacher, step: int, number: int, failed: Sequence[Answer]) -> Iterator[Answer]:
        """The answers that follow advice."""
        advised: list[tuple[Answer, Prepared]] = []
        for answer in failed:
            advice = Turn("user", (Text(self._said(self.advice, answer)),))
            said = _answered(answer.asked.conversation, answer, learns=False)
            talk = replace(said, turns=(*said.turns, advice))
            prompt = self._prepared(teacher.policy, talk, partial(teacher.ledger.add, step), reply=True)
            if prompt is not None:
                advised.append((answer, replace(prompt, asked=Asked(talk, answer.asked.facts))))
        rollouts = replace(teacher.rollouts, round=number, replies=1)
        prompts, places = [prompt for _, prompt in advised], [answer.place for answer, _ in advised]
        for (answer, _), group in zip(advised, rollouts.draw(step, prompts, places=places), strict=True):
            for found in self._answers(group, answer.reward):
                yield replace(found, place=answer.place)

    def _prepared(self, policy: Policy, talk: Conversation, note: Note, *, reply: bool = False) -> Prepared | None:
        """A conversation made ready; None, which is noted, where it cannot be."""
        try:
            system = policy.learner.system
            made = system.prepare(talk, learning=True, max_tokens=self.max_tokens, reply=reply)
        except (DataError, PromptError) as error:
            note(talk.id, reason_of(error, talk.id)[1] if isinstance(error, DataError) else "prompt", str(error))
            return None
        if not reply and all(label == IGNORED for label in made.labels):
            note(talk.id, "no_labels", f"no token carries loss; {made.cut} text tokens were cut")
            return None
        return made

    def _said(self, form: str, answer: Answer) -> str:
        low, high = self.ratings
        rating = low + round(min(1.0, max(0.0, answer.reward)) * (high - low))
        unsaid = self.unsaid[answer.reward >= self.passes]
        return form.format(rating=rating, critique=answer.reply.why.strip() or unsaid)


def _forgotten(sample: str, reason: str, detail: str) -> None:
    pass


def _answered(asked: Conversation, answer: Answer, *, learns: bool = True) -> Conversation:
    """A conversation with an answer behind it."""
    return replace(asked, turns=(*asked.turns, Turn("assistant", (Text(answer.reply.text),), loss=learns)))


def _behind(conversation: Conversation, text: str) -> Conversation:
    """A conversation with a text behind its last turn."""
    *turns, last = conversation.turns
    return replace(conversation, turns=(*turns, replace(last, content=(*last.content, Text(text)))))
