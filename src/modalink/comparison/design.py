"""What is compared: the designs, and all that they share."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from modalink import files, yaml_files
from modalink.errors import RecipeError, UnknownNameError
from modalink.kinds import Name, Settings
from modalink.recipe import BenchmarkChoice, Recipe, checked, load, shipped
from modalink.recipe.evaluation import DataSource
from modalink.recipe.tiny import LINKS_LR, PARTS_LR
from modalink.training.stages.supervised import SupervisedConfig

Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class Rates(Settings):
    """Peak learning rates of all designs, in the place of their own."""

    links: PositiveFloat = LINKS_LR
    """Of what is made new for a system: projectors, adapters, joins, new tokens."""
    parts: PositiveFloat = PARTS_LR
    """Of what comes trained: encoders and the LLM itself."""


class Design(Settings):
    """One way to build and train a system."""

    name: Name
    """What it is called in tables, and its folder."""
    recipe: str
    """A recipe file, or the name of one that ships."""
    overrides: list[str] = Field(default_factory=list)
    """`PATH=VALUE` texts that are laid over it last; its stages are called `stage-1`, `stage-2` and so on."""
    data: Annotated[list[DataSource], Field(min_length=1)] | None = None
    """What it learns from in the place of the comparison's data, where that is what is compared."""


class Comparison(Settings):
    """Designs, and what none of them may differ in."""

    name: Name = "comparison"
    """What it is called."""
    question: str = ""
    """What it asks, in words."""
    claim: str = ""
    """What is said about that, and where."""
    designs: Annotated[list[Design], Field(min_length=2)]
    """What is compared, in this order."""
    data: Annotated[list[DataSource], Field(min_length=1)]
    """What all learn from, in the same order; mixed by weights where the sources have some."""
    benchmarks: Annotated[dict[Label, BenchmarkChoice], Field(min_length=1)]
    """Heading in tables -> held-out questions that all are asked."""
    steps: PositiveInt | None = None
    """Steps of each design, shared evenly by its stages; either this or `seconds`."""
    seconds: PositiveFloat | None = None
    """Seconds of training of each design, shared evenly by its stages: how many steps that is, is measured."""
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)] = Field(default=[0])
    """Each design is trained once with each."""
    batch: PositiveInt = 16
    """Conversations a step."""
    rates: Rates | None = None
    """Learning rates of all; None leaves each design its own."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass; what `auto` takes may differ from design to design."""
    tiny: bool = False
    """Whether every part is taken at tiny size."""

    @model_validator(mode="after")
    def _can_be_compared(self) -> "Comparison":
        if (self.steps is None) == (self.seconds is None):
            raise RecipeError(f"found steps {self.steps} and seconds {self.seconds}, needed exactly one of the two")
        names = [design.name for design in self.designs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise RecipeError(
                f"found two designs with the name {twice[0]!r}, needed each name once: call one otherwise"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise RecipeError(f"found the seeds {self.seeds}, needed each once")
        return self

    def shared(self) -> dict[str, Any]:
        """What the designs share, as plain data."""
        return self.model_dump(mode="json", exclude={"designs", "question", "claim"})


def studies() -> dict[str, Path]:
    """The comparisons that ship: name -> file."""
    folder = Path(str(resources.files(__package__) / "studies"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_study(reference: str) -> Comparison:
    """A comparison that ships, or one from a file; `designs: {reads: image}` are all published recipes that do.

    Raises:
        RecipeError: The file cannot be read or describes no comparison; the message names each place.
        UnknownNameError: There is no such file, and none of that name ships.
    """
    file = studies().get(reference) or files.named(reference, RecipeError)
    if not file.is_file():
        raise UnknownNameError("study", reference, studies())
    document = yaml_files.read(file, RecipeError, name=file.name)
    if isinstance(document.data, dict):
        every = document.data.get("designs")
        if isinstance(every, dict) and every.keys() == {"reads"}:
            document.data["designs"] = published(str(every["reads"]))
    return checked(Comparison, document)


def published(modality: str) -> list[dict[str, str]]:
    """A design for each shipped recipe of a publication that teaches to read a modality by examples."""
    recipes = [(name, load(name)) for name in shipped()]
    found = [name for name, recipe in recipes if recipe.paper and modality in recipe.inputs and _by_examples(recipe)]
    return [{"name": name, "recipe": name} for name in found]


def _by_examples(recipe: Recipe) -> bool:
    return any(isinstance(stage, SupervisedConfig) for stage in recipe.stages)
