"""Whether a reply has the form that was asked for."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from modalink.rewards import Answered, Each, Judgement, Reward, RewardConfig


class FormatConfig(RewardConfig):
    """1 where the whole reply has a form, else 0. Either `tags` or `pattern` is given."""

    kind: Literal["format"] = "format"
    tags: list[str] = Field(default_factory=list)
    """Tags that stand one behind the other, each once, opened and closed, with nothing between them, for example
    `[think, answer]`."""
    pattern: str | None = None
    """Regular expression of the whole reply; a point means line ends too."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"found {pattern!r}, needed a regular expression ({error})") from None
        return pattern

    @model_validator(mode="after")
    def _one_form(self) -> "FormatConfig":
        if bool(self.tags) == (self.pattern is not None):
            raise ValueError(f"found tags {self.tags} and pattern {self.pattern!r}, needed exactly one of the two")
        return self

    def build(self, device: str = "cpu") -> Reward:
        """The reward; nothing is loaded."""
        form = re.compile(self.pattern if self.pattern is not None else _of_tags(self.tags), re.DOTALL)
        return Each(lambda answer: self._judged(form, answer))

    def _judged(self, form: re.Pattern[str], answer: Answered) -> Judgement:
        if form.fullmatch(answer.text) is None:
            return Judgement(0.0, "the reply has another form")
        marks = [mark for tag in self.tags for mark in (f"<{tag}>", f"</{tag}>")]
        twice = [mark for mark in marks if answer.text.count(mark) > 1]
        return Judgement(float(not twice), f"{twice[0]} stands there twice" if twice else "")


def _of_tags(tags: list[str]) -> str:
    return r"\s*" + r"\s*".join(rf"<{re.escape(tag)}>.*?</{re.escape(tag)}>" for tag in tags) + r"\s*"
