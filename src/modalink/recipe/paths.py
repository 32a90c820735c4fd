"""Dotted paths into a recipe, for example `stages.0.train.inputs.image.projector.lr`."""

from typing import Any

from modalink.errors import RecipeError, UnknownNameError, shown
from modalink.recipe.stage import TrainGroup
from modalink.yaml_files import DEEPEST, Loc, dotted


def split(path: str) -> Loc:
    """The keys and indices of a path.

    The names of parameter groups hold dots themselves, so between `stages.N.train` and a setting all is one key:
    `stages.0.train.llm.lora.lr` is `("stages", 0, "train", "llm.lora", "lr")`.

    Raises:
        RecipeError: The path has an empty step.
    """
    steps = path.split(".")
    if not all(steps):
        raise RecipeError(f"{shown(path)} is no path: found an empty step, needed keys and indices joined by dots")
    if len(steps) > DEEPEST:
        raise RecipeError(f"{shown(path)} is no path: found {len(steps)} steps, needed {DEEPEST} at most")
    if steps[0] == "stages" and steps[2:3] == ["train"] and len(steps) > 3:
        tail = steps[-1:] if steps[-1] in TrainGroup.model_fields and len(steps) > 4 else []
        group = steps[3 : len(steps) - len(tail)]
        steps = [*steps[:3], ".".join(group), *tail]
    return tuple(int(step) if step.isdecimal() else step for step in steps)


def step_into(value: Any, step: str | int, done: Loc) -> Any:
    """The value one step further down.

    Raises:
        UnknownNameError: A mapping has no such key.
        RecipeError: A list has no such index, or the value holds nothing.
    """
    where = f"{dotted(done)}: " if done else ""
    if isinstance(value, dict):
        key = next((k for k in (step, str(step)) if k in value), None)
        if key is None:
            raise UnknownNameError("key", str(step), map(str, value), dotted(done))
        return value[key]
    if isinstance(value, list):
        if not isinstance(step, int) or step >= len(value):
            raise RecipeError(f"{where}found index {str(step)!r}, needed a number from 0 to {len(value) - 1}")
        return value[step]
    raise RecipeError(f"{where}found the value {value!r:.60}, which has nothing inside; cannot go to {str(step)!r}")


def look_up(data: Any, path: str) -> Any:
    """The value at a path of plain data.

    Raises:
        RecipeError: The path leads nowhere; the message offers the nearest key.
    """
    done: Loc = ()
    for step in split(path):
        data = step_into(data, step, done)
        done = (*done, step)
    return data
