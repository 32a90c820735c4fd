"""`modalink compare`: several designs on the same data and budget."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from modalink.cli.comparing import OF_DESIGNS, described, finished, length, source, takes_comparison
from modalink.comparison import Comparison
from modalink.comparison.design import load_study
from modalink.errors import OptionError, RecipeError

_Study = Annotated[
    str | None, typer.Option("--study", help="A comparison that ships, or its file, instead of recipes and data.")
]
_Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="What all learn from: `tiny_world`, or `{source: llava_json, path: FILE}`."),
]


@takes_comparison
def compare(
    recipes: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE...", help="Recipe files, or names of those that ship.")
    ] = None,
    *,
    study: _Study = None,
    data: _Data = None,
    compared: dict[str, Any],
) -> None:
    """Train several designs on the same data and budget, ask them the same questions, and tell them apart.

    One after the other, each in its own run folder under --out. Started again, it resumes; recipes can be added to it.
    Data, their order, seeds, batch and LLM are the same for all. A --budget is time of training alone: how many steps
    that is depends on the design, and is measured first; --steps gives all the same.

    \b
    modalink compare llava-1.5 next-gpt-image --tiny --data tiny_world --steps 200 --seeds 0,1,2 --out runs/compare
    modalink compare a.yaml b.yaml --data "{source: llava_json, path: mix.json}" --benchmark gqa \\
        --benchmark-data gqa --budget 2h --out runs/ab
    modalink compare --study resolution --out runs/resolution
    """
    if study is None:
        comparison = described(_designs(recipes or []), [source(text) for text in data or []], compared)
    elif recipes or data or any(compared[name] for name in OF_DESIGNS):
        raise OptionError("--study brings its designs, data, questions and rates; leave out the others")
    else:
        comparison = _varied(load_study(study), length(compared))
    finished(comparison, compared)


def _designs(recipes: Sequence[str]) -> list[dict[str, Any]]:
    """A design for each recipe, named after its file."""
    if len(recipes) < 2:
        raise OptionError(f"found {len(recipes)} recipes, needed two at least, or --study")
    return [{"name": _name(recipe), "recipe": recipe} for recipe in recipes]


def _name(recipe: str) -> str:
    """What a recipe is called: its file without the ending, with its preset."""
    return re.sub(r"\.ya?ml(?=:|$)", "", Path(recipe).name).replace(":", "-")


def _varied(comparison: Comparison, changes: dict[str, Any]) -> Comparison:
    """A study with another budget, seeds or batch."""
    if "steps" in changes or "seconds" in changes:
        changes = {"steps": None, "seconds": None, **changes}
    try:
        return comparison.replace(**changes)
    except ValidationError as error:
        raise RecipeError(error.errors()[0]["msg"]) from None
