"""Recipes: the typed YAML files that describe a system, its parts and its stages."""

from modalink.recipe.checks import train_groups
from modalink.recipe.evaluation import BenchmarkChoice, Evaluation, KeepBest
from modalink.recipe.finding import Address, find, presets, recipe_names, shipped
from modalink.recipe.json_schema import json_schema
from modalink.recipe.loading import as_data, changed, checked, load
from modalink.recipe.outputs import OutputSpec, StatesSpec
from modalink.recipe.retrieval import RetrievalSpec
from modalink.recipe.schema import Paper, Published, Recipe
from modalink.recipe.stage import Init, Stage, TrainGroup
from modalink.recipe.system import InputSpec, MarksSpec, PromptSpec, SystemSpec

__all__ = [
    "Address",
    "BenchmarkChoice",
    "Evaluation",
    "Init",
    "InputSpec",
    "KeepBest",
    "MarksSpec",
    "OutputSpec",
    "Paper",
    "PromptSpec",
    "Published",
    "Recipe",
    "RetrievalSpec",
    "Stage",
    "StatesSpec",
    "SystemSpec",
    "TrainGroup",
    "as_data",
    "changed",
    "checked",
    "find",
    "json_schema",
    "load",
    "presets",
    "recipe_names",
    "shipped",
    "train_groups",
]
