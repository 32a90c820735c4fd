"""Data that people name on the command line: a recipe's, or a file with settings."""

import sys
from collections.abc import Sequence
from typing import Any

from modalink import yaml_files
from modalink.data.source import SourceConfig
from modalink.errors import ModalinkError, OptionError, RecipeError, UnknownNameError, shown
from modalink.model import ModalinkProcessor
from modalink.recipe import Recipe, Stage, find, load
from modalink.recipe.errors import Problems
from modalink.recipe.evaluation import SOURCES

_RECIPES = (".yaml", ".yml")


def sources_of(
    source: str, settings: list[str], recipe: str, stage: str | None
) -> tuple[list[tuple[SourceConfig, int]], Recipe]:
    """What a command is to read: a recipe's stage, or data with settings.

    Args:
        source: A recipe, or a file, a folder or a pattern of data.
        settings: `KEY=VALUE` of the recipe, or of the source; `source=` tells another kind than `messages`.
        recipe: Whose tokenizer and template read data.
        stage: The recipe's stage; by default the first.

    Returns:
        The sources with the longest sequence of their stage, and the recipe that reads them.

    Raises:
        OptionError: A setting is none of the source's.
    """
    if is_recipe(source):
        chosen = load(source, settings)
        found = _stage(chosen, stage)
        return [(config, found.max_tokens) for config in found.data], chosen
    chosen = load(recipe)
    given = {"source": "messages", "path": source, **dict(map(_setting, settings))}
    try:
        config = SOURCES.parse(given)
    except Problems as error:
        raise OptionError(f"{source}: {error}") from None
    assert isinstance(config, SourceConfig)
    return [(config, _stage(chosen, stage).max_tokens)], chosen


def one_source_of(source: str, settings: list[str] | None, stage: str | None) -> SourceConfig:
    """The same for commands that write what they read: one source; data are read as the demo reads them.

    Raises:
        OptionError: There are several, or a setting is none of the source's.
    """
    sources, _ = sources_of(source, settings or [], "demo", stage)
    demand_one([config.name for config, _ in sources])
    return sources[0][0]


def demand_one(names: Sequence[str]) -> None:
    """Refuse a recipe's stage of several sources.

    Raises:
        OptionError: There are several.
    """
    if len(names) > 1:
        found = f"found {len(names)} sources, {', '.join(names)}"
        raise OptionError(f"{found}, needed one: name its file and its settings")


def processor_of(recipe: Recipe) -> ModalinkProcessor | None:
    """What makes prompts; None, with a line that says why, where its parts are not at hand."""
    try:
        return ModalinkProcessor(recipe.llm.tokenizer(), recipe)
    except ModalinkError as error:
        print(f"without prompts: {error}", file=sys.stderr)
        return None


def is_recipe(source: str) -> bool:
    """Whether a source is the name of a recipe, or a file that must be one; else it holds data."""
    try:
        return find(source).file.suffix in _RECIPES
    except RecipeError:
        return source.endswith(_RECIPES)


def _stage(recipe: Recipe, name: str | None) -> Stage:
    known = {stage.name: stage for stage in recipe.stages}
    if name is not None and name not in known:
        raise UnknownNameError("stage", name, known)
    return recipe.stages[0] if name is None else known[name]


def _setting(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign:
        raise OptionError(f"found {text!r}, needed KEY=VALUE, for example place=first")
    return key, yaml_files.parse(value, shown(text), OptionError).data
