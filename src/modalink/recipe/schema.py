"""The recipe: a system's parts, and the stages that train its links."""

from typing import Annotated

from pydantic import Field, model_validator

from modalink.kinds import Settings
from modalink.recipe.checks import part_and_stage_problems, provenance_problems
from modalink.recipe.errors import Problems
from modalink.recipe.kind_field import Kinds
from modalink.recipe.stage import Init, Stage
from modalink.recipe.system import Name, SystemSpec

Source = Annotated[str, Field(pattern=r"^(published|code|recalled|assumed)(: .+)?$")]


class Paper(Settings):
    """Where a system was published."""

    title: str
    """Title of the paper."""
    year: int
    """Year of its first version."""
    arxiv: str | None = None
    """Its arXiv number, in quotes."""


class Recipe(SystemSpec):
    """A whole system and how it is trained."""

    name: Name
    """Name of the system."""
    paper: Paper | None = None
    """Where it was published."""
    seed: int = 0
    """Seed of new weights, of the order of data and of all noise."""
    init: Init | None = None
    """What the whole system starts from, beside its parts' checkpoints."""
    stages: list[Annotated[Stage, Kinds(Stage.room, default="supervised")]] = Field(default_factory=list)
    """Training stages, in order."""
    provenance: dict[str, Source] = Field(default_factory=dict)
    """Dotted path of a field -> where its value comes from: `published`, `code` (the authors' own), `recalled` or
    `assumed`, then `: ` and details. The longest path that leads to a field speaks for it."""

    @model_validator(mode="after")
    def _parts_and_stages_fit(self) -> "Recipe":
        found = part_and_stage_problems(self, self.stages)
        if found := found + provenance_problems(self.provenance, self.to_dict()):
            raise Problems(found)
        return self
