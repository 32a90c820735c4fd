"""What is wrong with a recipe, item by item: pydantic's error lists in the words of a recipe's author."""

import difflib
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from modalink.errors import UnknownNameError
from modalink.yaml_files import Loc, dotted


class Problem(NamedTuple):
    """One thing that is wrong."""

    loc: Loc
    """Keys and indices that lead to it."""
    text: str
    """What was found, what was needed."""


class Problems(ValueError):
    """Things that are wrong inside one value; raised by validators, which know where only within that value."""

    def __init__(self, items: list[Problem]) -> None:
        super().__init__("\n".join(f"{dotted(item.loc)}: {item.text}".removeprefix(": ") for item in items))
        self.items = items


def problems(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """All that a model's validation found."""
    return [problem for details in error.errors(include_url=False) for problem in _problems(model, details)]


def _problems(model: type[BaseModel], details: ErrorDetails) -> list[Problem]:
    loc, cause = details["loc"], details.get("ctx", {}).get("error")
    if isinstance(cause, Problems):
        return [Problem(loc + inner.loc, inner.text) for inner in cause.items]
    if isinstance(cause, Exception):
        return [Problem(loc, str(cause))]
    if details["type"] == "extra_forbidden":
        owner = _model_at(model, loc[:-1])
        return [Problem(loc, str(UnknownNameError("key", str(loc[-1]), owner.model_fields)))]
    if details["type"] == "missing":
        return [Problem(loc[:-1], f"the key {str(loc[-1])!r} is missing")]
    return [Problem(loc, f"found {_shown(details['input'])}, needed {_needed(details)}")]


_PLAIN = {
    "model_type": "a mapping (lines of `key: value`)",
    "dict_type": "a mapping (lines of `key: value`)",
    "list_type": "a list (lines that begin with `-`)",
    "tuple_type": "a list (lines that begin with `-`)",
    "string_type": "text (put it in quotes)",
}


def _needed(details: ErrorDetails) -> str:
    text = _PLAIN.get(details["type"], details["msg"].removeprefix("Input should be "))
    if details["type"] == "string_pattern_mismatch":
        return f"text of the form {details['ctx']['pattern']}"
    if details["type"] == "literal_error":
        names = details["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = difflib.get_close_matches(str(details["input"]), names, n=1, cutoff=0.5)
        text += f"; did you mean {near[0]!r}?" if near else ""
    return text


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.60}"


def _model_at(model: Any, loc: Loc) -> type[BaseModel]:
    """The model whose keys stand at a place, found through the annotations on the way there."""
    for step in loc:
        model = _without_none(model)
        fields = getattr(model, "model_fields", None)
        # A step into a list or mapping leads to its last type argument: `list[Stage]`, `dict[str, TrainGroup]`.
        model = fields[step].annotation if fields is not None else get_args(model)[-1]
    found: type[BaseModel] = _without_none(model)
    return found


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (None, list, dict, tuple):
        return annotation
    return next(arg for arg in get_args(annotation) if arg is not type(None))
