"""Recipes that run folders of an earlier modalink hold, in today's keys, so that those runs can go on."""

import copy
from typing import Any


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """A run's recipe as today's schema reads it; people's own files are not mended but told what moved."""
    data = copy.deepcopy(data)
    for stage in data.get("stages", []):
        _give_dropout_to_its_objective(stage)
    for output in data.get("outputs", {}).values():
        _give_sampling_to_the_generator(output)
    return data


def _give_dropout_to_its_objective(stage: dict[str, Any]) -> None:
    """Until 0.1 `condition_dropout` stood in the stage, for all its `diffusion` objectives."""
    if (dropout := stage.pop("condition_dropout", None)) is not None:
        for objective in stage["objectives"]:
            if objective["kind"] == "diffusion":
                objective.setdefault("condition_dropout", dropout)


def _give_sampling_to_the_generator(output: dict[str, Any]) -> None:
    """Until 0.1 `guidance` and `steps` stood beside the generator, which was one of diffusion."""
    for key in ("guidance", "steps"):
        if key in output:
            output["generator"].setdefault(key, output.pop(key))
