"""Recipes: the typed YAML files that describe a system, its parts and its stages."""

from modalink.recipe.checks import train_groups
from modalink.recipe.evaluation import BenchmarkChoice, Evaluation, KeepBest
from modalink.recipe.json_schema import json_schema
from modalink.recipe.loading import find, load, shipped
from modalink.recipe.schema import Paper, Recipe
from modalink.recipe.stage import Init, Stage, TrainGroup
from modalink.recipe.system import InputSpec, MarksSpec, OutputSpec, PromptSpec, SystemSpec

__all__ = [
    "BenchmarkChoice",
    "Evaluation",
    "Init",
    "InputSpec",
    "KeepBest",
    "MarksSpec",
    "OutputSpec",
    "Paper",
    "PromptSpec",
    "Recipe",
    "Stage",
    "SystemSpec",
    "TrainGroup",
    "find",
    "json_schema",
    "load",
    "shipped",
    "train_groups",
]
