"""Answers that a reward finds bad: CLIP, a judge behind an address, a run as judge, a function of one's own, ..."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from modalink.conversation import Conversation
from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.checks.lengths import quantiles
from modalink.data_quality.sample import Sample
from modalink.data_quality.scores import Scores, content_of, key_of
from modalink.errors import MediumError
from modalink.recipe.kind_field import Kinds
from modalink.rewards import Answered, Judgement, Reward, RewardConfig, asked_of

_TOGETHER = 16


class RewardCheckConfig(CheckConfig):
    """Settings of the check by a reward, see docs/rewards.md, for example:

    {kind: reward, reward: {kind: clip, checkpoint: openai/clip-vit-base-patch32, of: shown}, least: 0.5}
    {kind: reward, reward: {kind: judge, url: "http://localhost:8000/v1", model: m}, least: 0.6}
    """

    by_default: ClassVar[bool] = False

    kind: Literal["reward"] = "reward"
    reward: Annotated[Any, Kinds(RewardConfig.room)]
    """The reward."""
    least: float
    """Least score of an answer."""
    turns: Literal["all", "last"] = "all"
    """Which answers of a conversation are judged."""

    def begin(self, context: Context) -> Check:
        """Build the reward.

        Raises:
            PartError: A checkpoint of it cannot be loaded.
        """
        return _RewardCheck(self, context)


@dataclass(frozen=True)
class _Asked:
    number: int
    id: str
    turn: int
    key: str
    answer: Answered


class _RewardCheck(Check):
    def __init__(self, config: RewardCheckConfig, context: Context) -> None:
        self._config, self._name = config, config.reward.kind
        self._reward: Reward = config.reward.build()
        self._scores = Scores(context.scores)
        self._settings = config.reward.model_dump(mode="json", exclude={"weight", "record"})
        self._waiting: list[_Asked] = []
        self._values: list[float] = []
        self._passed = 0

    def look(self, sample: Sample) -> Iterator[Fault]:
        self._waiting += self._asked(sample)
        if len(self._waiting) >= _TOGETHER:
            yield from self.finish()

    def finish(self) -> Iterator[Fault]:
        """The faults of those that wait to be judged together."""
        waiting, self._waiting = self._waiting, []
        missing = [asked for asked in waiting if self._scores.get(asked.key) is None]
        if missing:
            judged = zip(missing, self._judged([asked.answer for asked in missing]), strict=True)
            rows = {a.key: {"value": j.value, "why": j.why, "applies": j.applies} for a, j in judged}
            self._scores.add(rows)
        for asked in waiting:
            yield from self._fault(asked, self._scores.get(asked.key) or {})

    def facts(self) -> dict[str, Any]:
        """Quantiles of the scores, and how many answers the reward does not apply to."""
        measured = {f"score by {self._name}": quantiles(self._values)} if self._values else {}
        return measured | {f"not judged by {self._name}": self._passed}

    def _asked(self, sample: Sample) -> Iterator[_Asked]:
        turns = () if sample.conversation is None else sample.conversation.turns
        answers = [at for at, turn in enumerate(turns) if at and turn.role == "assistant"]
        for at in answers[-1:] if self._config.turns == "last" else answers:
            before = Conversation(
                turns[: at + 1], sample.id, {} if sample.conversation is None else sample.conversation.facts
            )
            asked, facts = asked_of(before)
            if asked.turns[-1].role == "assistant":
                continue
            key = key_of(self._settings, content_of(sample), at, facts)
            yield _Asked(sample.number, sample.id, at, key, Answered(asked, turns[at].content, facts))

    def _judged(self, answers: Sequence[Answered]) -> list[Judgement]:
        try:
            return self._reward.judge(answers)
        except MediumError as error:
            if len(answers) == 1:
                return [Judgement(None, str(error))]
            return [judgement for answer in answers for judgement in self._judged([answer])]

    def _fault(self, asked: _Asked, score: dict[str, Any]) -> Iterator[Fault]:
        value, why = score.get("value"), f": {score['why']:.300}" if score.get("why") else ""
        if not score.get("applies", True):
            self._passed += 1
        elif value is None:
            yield Fault(asked.number, asked.id, "not_scored", f"{self._name} gives turn {asked.turn} no score{why}")
        else:
            self._values.append(float(value))
            if value < self._config.least:
                detail = f"{self._name} gives turn {asked.turn} {value:.3g}, needed {self._config.least:g}{why}"
                yield Fault(asked.number, asked.id, "low_score", detail)
