"""The recipe: a system's parts, and the stages that train its links."""

from typing import Annotated

from pydantic import Field, PositiveFloat, model_validator

from modalink.errors import UnknownNameError
from modalink.kinds import Name, Settings
from modalink.recipe.checks import part_and_stage_problems, provenance_problems
from modalink.recipe.errors import Problem, Problems
from modalink.recipe.kind_field import Kinds
from modalink.recipe.stage import Init, Stage
from modalink.recipe.system import SystemSpec

Source = Annotated[str, Field(pattern=r"^(published|code|recalled|assumed)(: .+)?$")]


class Paper(Settings):
    """Where a system was published."""

    title: str
    """Title of the paper."""
    year: int
    """Year of its first version."""
    arxiv: str | None = None
    """Its arXiv number, in quotes."""


class Published(Settings):
    """Sizes as its authors tell them, in parameters, or where the note says so as those of its parts make them."""

    total: PositiveFloat | None = None
    """Of the whole system."""
    trainable: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Stage -> of what learns in it."""
    note: str = ""
    """Why what is counted differs by more than one percent, or where the numbers come from."""


class Recipe(SystemSpec):
    """A whole system and how it is trained."""

    name: Name
    """Name of the system."""
    paper: Paper | None = None
    """Where it was published."""
    published: Published | None = None
    """How large it is, by its authors."""
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
        names = [stage.name for stage in self.stages]
        if self.init is not None and self.init.source is None:
            text = f"found the stage {self.init.stage} of this recipe, which begins with it; say from: a run"
            found.append(Problem(("init", "stage"), text))
        for name in self.published.trainable if self.published else ():
            if name not in names:
                found.append(Problem(("published", "trainable", name), str(UnknownNameError("stage", name, names))))
        if found := found + provenance_problems(self.provenance, self.to_dict()):
            raise Problems(found)
        return self
