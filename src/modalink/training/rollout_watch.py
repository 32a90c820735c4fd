"""What ends a stage that draws its own replies before it spoils the system: no signal, a runaway, replies that
vanish."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from modalink.errors import TrainingError
from modalink.kinds import Settings


class Limits(Settings):
    """How far a stage may go; each limit counts where it is broken in `patience` steps in a row."""

    patience: PositiveInt = 20
    """Steps in a row."""
    kl: PositiveFloat | None = 2.0
    """Largest divergence from the state in which the stage began, in nats a token; None: any."""
    shortest: float = Field(default=0.2, ge=0, le=1)
    """Least mean length of replies, as a share of that of the stage's first steps."""
    empty: float = Field(default=0.5, ge=0, le=1)
    """Largest share of replies without words or media."""
    signal: bool = True
    """Whether it is an end when no prompt has replies of different worth."""


class RolloutWatch:
    """Looks at the records of steps, those before a resumption too.

    Args:
        stage: The stage's name.
        limits: How far it may go.
        records: Of the steps that are done.
    """

    def __init__(self, stage: str, limits: Limits, records: Sequence[Mapping[str, Any]]) -> None:
        self.stage, self.limits = stage, limits
        self.records = [dict(record) for record in records if "signal" in record]

    def note(self, record: Mapping[str, Any]) -> None:
        """Look at the record of a step.

        Raises:
            TrainingError: A limit was broken for too long; the message says which, and what to do.
        """
        self.records.append(dict(record))
        last = self.records[-self.limits.patience :]
        if len(last) < self.limits.patience:
            return
        start = self.records[: self.limits.patience]
        most = self.limits.kl
        if self.limits.signal and all(record["signal"] == 0 for record in last):
            self._end(
                "found no prompt whose replies differ in worth", f"their mean worth is {last[-1]['reward']:g}", _EVEN
            )
        if most is not None and all(record.get("kl", 0.0) > most for record in last):
            found = f"found a divergence of {last[-1]['kl']:g} nats a token from the state in which it began"
            self._end(found, f"needed {most:g} at most", _AWAY)
        if "reply_tokens" in record:
            self._note_lengths(last, start)

    def _note_lengths(self, last: Sequence[Mapping[str, Any]], start: Sequence[Mapping[str, Any]]) -> None:
        usual = sum(record["reply_tokens"] for record in start) / len(start)
        least = self.limits.shortest * usual
        if all(record["reply_tokens"] < least for record in last):
            found = f"found replies of {last[-1]['reply_tokens']:g} tokens on average"
            self._end(found, f"they had {usual:g} when it began", _SHORT)
        if all(record["empty"] > self.limits.empty for record in last):
            self._end(
                f"found {last[-1]['empty']:.0%} of the replies empty", f"needed {self.limits.empty:.0%} at most", _SHORT
            )

    def _end(self, found: str, needed: str, advice: str) -> None:
        broken = f"{found} in {self.limits.patience} steps in a row; {needed}"
        raise TrainingError(f"stage {self.stage}: {broken}; {advice}; the checkpoints before are whole")


_EVEN = (
    "give it questions that are answered rightly sometimes and wrongly sometimes, more replies a prompt, a higher "
    "temperature, or a reward with steps between"
)
_AWAY = "lower the learning rate, raise `kl` of the objective, or allow more with limits: {kl: ...}"
_SHORT = "the reward pays for saying nothing: give it one that does not, or a `length` with `least`"
