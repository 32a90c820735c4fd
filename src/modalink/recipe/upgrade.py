"""Recipes that run folders of an earlier modalink hold, in today's keys, so that those runs can go on."""

import copy
from collections.abc import Iterator
from typing import Any


def upgraded(data: Any) -> Any:
    """A run's recipe as today's schema reads it; people's own files are not mended but told what moved.

    What does not look like a recipe stays as it is, for the schema to refuse.
    """
    data = copy.deepcopy(data)
    for stage in _mappings(_under(data, "stages")):
        _give_dropout_to_its_objective(stage)
    for output in _mappings(_under(data, "outputs")):
        _give_sampling_to_the_generator(output)
    return data


def _give_dropout_to_its_objective(stage: dict[str, Any]) -> None:
    """Until 0.1 `condition_dropout` stood in the stage, for all its `diffusion` objectives."""
    if (dropout := stage.pop("condition_dropout", None)) is not None:
        for objective in _mappings(_under(stage, "objectives")):
            if objective.get("kind") == "diffusion":
                objective.setdefault("condition_dropout", dropout)


def _give_sampling_to_the_generator(output: dict[str, Any]) -> None:
    """Until 0.1 `guidance` and `steps` stood beside the generator, which was one of diffusion."""
    for generator in _mappings([_under(output, "generator")]):
        for key in ("guidance", "steps"):
            if key in output:
                generator.setdefault(key, output.pop(key))


def _under(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def _mappings(values: Any) -> Iterator[dict[str, Any]]:
    """The mappings in a list, or under the keys of a mapping."""
    inner = [*values.values()] if isinstance(values, dict) else values
    yield from (value for value in (inner if isinstance(inner, list) else ()) if isinstance(value, dict))
