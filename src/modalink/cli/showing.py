"""A recipe for people: its parts and stages, each value with its source beside it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from modalink.recipe import Recipe
from modalink.recipe.paths import split
from modalink.yaml_files import Loc

_WIDTH = 62
"""Columns of a value; longer ones have their source in the next line."""


def page(recipe: Recipe, data: Mapping[str, Any], about: str) -> str:
    """The page about one recipe.

    Args:
        recipe: The recipe.
        data: The same as its file says it, without defaults.
        about: What its file says of itself.
    """
    sources: dict[Loc, str] = {tuple(map(str, split(path))): told for path, told in recipe.provenance.items()}
    lines = [recipe.name, *_of_the_paper(recipe), "", *about.splitlines(), ""]
    for part in ("inputs", "llm", "prompt", "outputs", "init"):
        if data.get(part):
            lines += [part, *_rows(data[part], (part,), sources), ""]
    for number, stage in enumerate(data.get("stages", ())):
        settings = {key: value for key, value in stage.items() if key != "name"}
        lines += [f"stage {number + 1}: {stage['name']}", *_rows(settings, ("stages", number), sources), ""]
    return "\n".join(lines).rstrip() + "\n"


def _of_the_paper(recipe: Recipe) -> Iterator[str]:
    if recipe.paper is not None:
        link = f", https://arxiv.org/abs/{recipe.paper.arxiv}" if recipe.paper.arxiv else ""
        yield f"{recipe.paper.title} ({recipe.paper.year}){link}"
    if (told := recipe.published) is not None:
        numbers = [f"{told.total:,.0f} parameters"] if told.total else []
        numbers += [f"{count:,.0f} learn in {stage}" for stage, count in told.trainable.items()]
        yield "published: " + ", ".join([*numbers, *[told.note] * bool(told.note)])


def _rows(value: Any, loc: Loc, sources: Mapping[Loc, str], depth: int = 1) -> Iterator[str]:
    """A line for each single value or short mapping, with the source that speaks for it where that is a new one."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        here = (*loc, key)
        name = f"{'  ' * depth}{key}: " if isinstance(value, dict) else f"{'  ' * depth}- "
        short = _short(inner, _WIDTH if isinstance(value, dict) else 2 * _WIDTH)
        own = _source(here, sources)
        told = f"[{own}]" if own and (depth == 1 or own != _source(loc, sources)) else ""
        if short is not None and not any(_starts(path, here) for path in sources if len(path) > len(here)):
            text = name + short
            yield f"{text:{_WIDTH}}  {told}".rstrip()
        else:
            yield f"{name.rstrip():{_WIDTH}}  {told}".rstrip()
            yield from _rows(inner, here, sources, depth + 1)


def _short(value: Any, longest: int = _WIDTH) -> str | None:
    """A value in one line of YAML; None of what has too much inside."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, dict | list):
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).strip()
        return text if len(text) <= longest else None
    return f"{value:g}" if isinstance(value, float) else str(value)


def _source(loc: Loc, sources: Mapping[Loc, str]) -> str | None:
    """The source of the longest path that leads to a place."""
    here = tuple(map(str, loc))
    found = [path for path in sources if _starts(here, path)]
    return sources[max(found, key=len)] if found else None


def _starts(path: Loc, beginning: Loc) -> bool:
    return tuple(map(str, path[: len(beginning)])) == tuple(map(str, beginning))


def about(text: str) -> str:
    """The comment that opens a recipe's file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)
