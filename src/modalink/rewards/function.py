"""A reward that is a Python function of one's own."""

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from modalink.errors import DataError, RecipeError, UnknownNameError, shown
from modalink.rewards import Answered, Judgement, Reward, RewardConfig

GROUP = "modalink.reward_functions"
"""Entry points that name functions."""
Function = Callable[..., Sequence[float | tuple[float | None, str] | None]]


class FunctionConfig(RewardConfig):
    """What a function gives: it is called with a list of `modalink.rewards.Answered`, and with `options` by keyword,
    and gives as many numbers, None of a reply that it cannot judge. In the place of a number may stand a pair of it and
    the reasons, in words."""

    alone: ClassVar[bool] = False

    kind: Literal["function"] = "function"
    function: str = Field(min_length=1)
    """`package.module:name`, `path/of/file.py:name`, or the name of an entry point in `modalink.reward_functions`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keywords of the call."""

    def build(self, device: str = "cpu") -> Reward:
        """The reward; its module is imported.

        Raises:
            RecipeError: There is no such function.
        """
        return OfFunction(self.function, find(self.function), self.options)


@dataclass(frozen=True)
class OfFunction(Reward):
    """Calls a function."""

    name: str
    function: Function
    options: dict[str, Any]

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        if not answers:
            return []
        try:
            values = list(self.function(list(answers), **self.options))
        except Exception as error:  # a function of the user may raise anything
            raise DataError(f"reward function {self.name}: {type(error).__name__}: {error}") from error
        if len(values) != len(answers):
            raise DataError(
                f"reward function {self.name}: found {len(values)} values for {len(answers)} replies, needed one each"
            )
        return [self._judged(value, answer) for value, answer in zip(values, answers, strict=True)]

    def _judged(self, value: Any, answer: Answered) -> Judgement:
        why = ""
        if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[1], str):
            value, why = value
        if value is None:
            return Judgement(None, why or f"{self.name} gave None")
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(
                f"reward function {self.name}, {answer.conversation.id}: found {shown(value)}, needed a finite number "
                "or None"
            )
        return Judgement(number, why)


def find(name: str) -> Function:
    """A function by its name.

    Raises:
        RecipeError: It cannot be imported, or is no function.
        UnknownNameError: No entry point has that name.
    """
    where, colon, attribute = name.rpartition(":")
    if not colon:
        points = {point.name: point.value for point in entry_points(group=GROUP)}
        if name not in points:
            raise UnknownNameError("reward function", name, points)
        where, _, attribute = points[name].rpartition(":")
    try:
        module = _of_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except Exception as error:  # code of the user may raise anything
        raise RecipeError(f"reward function {name}: {where} cannot be imported ({error})") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise RecipeError(f"reward function {name}: {where} has no function {attribute!r}")
    return function


def _of_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
