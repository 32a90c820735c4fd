"""What `kind:` means in a recipe: each kind is one file, named after it, in the folder of its role.

`inputs.image.projector.kind: mlp` is the configuration class in `modalink/projectors/inputs/mlp.py`. A third party
adds a kind without touching modalink, by an entry point in the group of the role:

    [project.entry-points."modalink.encoders"]
    sonar = "my_package.sonar:SonarConfig"
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from modalink.errors import RecipeError, UnknownNameError

Count = Annotated[int, Field(ge=1, le=1000)]
"""A number of layers, heads, groups or tokens: a thousand times as many would only fill the memory."""
Width = Annotated[int, Field(ge=1, le=2**17)]
"""A number of channels, or of pixels along a side."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""What a recipe calls a modality, a stage or a condition."""


def _not_empty(value: Any) -> Any:
    if value == "":
        raise PydanticCustomError("empty_path", "An empty text is no path; the current folder is .")
    return value


GivenPath = Annotated[Path, BeforeValidator(_not_empty)]
"""A path that people give: an empty text is none, though Python takes it for the current folder."""


class Settings(BaseModel):
    """Frozen, keyword-only settings; unknown keys and numbers that no machine computes with are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _of_64_bits(cls, value: Any) -> Any:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise PydanticCustomError("too_large", "Input should be a number of at most 64 bits")
        return value

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked anew."""
        return type(self).model_validate({**self.model_dump(), **changes})


class KindConfig(Settings):
    """Settings of one kind of a role; `room` is the package that holds the role's kinds."""

    room: ClassVar[str]
    kind: str
    """The name of the file that defines this kind."""

    def tiny(self) -> "KindConfig":
        """What stands for it on a laptop, without a network: the same kind, small, or one of its role that ships.

        Raises:
            RecipeError: The kind has no tiny form.
        """
        raise RecipeError(f"the kind {self.kind!r} has no tiny form; give {type(self).__name__} a method `tiny`")

    def at_most(self, **limits: int) -> Self:
        """A copy whose numbers of these names are not larger than this; for tiny forms."""
        set_to = {name: getattr(self, name) for name in limits}
        return self.replace(**{name: min(n, limits[name]) for name, n in set_to.items() if n is not None})


_Kind = TypeVar("_Kind", bound=KindConfig)


@cache
def kinds(room: str) -> dict[str, str]:
    """The kinds of a room: name -> `module:Class` (or `module` for a file of modalink itself)."""
    package = importlib.import_module(room)
    files = (m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg and not m.name.startswith("_"))
    own = {name: f"{room}.{name}" for name in files}
    plugins = {point.name: point.value for point in entry_points(group=room)}
    if clash := own.keys() & plugins.keys():
        raise RecipeError(
            f"plug-in kinds {sorted(clash)} of {room} have the names of built-in kinds; rename the plug-in's"
        )
    return own | plugins


@cache
def config_class(room: str, kind: str) -> type[KindConfig]:
    """The settings class of a kind.

    Raises:
        UnknownNameError: No file and no plug-in has that name.
    """
    known = kinds(room)
    if kind not in known:
        raise UnknownNameError(f"kind of {room.removeprefix('modalink.')}", kind, known)
    module_name, _, class_name = known[kind].partition(":")
    module = importlib.import_module(module_name)
    if class_name:
        found: type[KindConfig] = getattr(module, class_name)
        return found
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, KindConfig) and value.__module__ == module_name:
            return value
    raise RecipeError(f"{module_name} defines no settings class for its kind")


def named(settings: Sequence[_Kind]) -> dict[str, _Kind]:
    """Settings by kind; a second one of a kind is called, for example, `align-2`."""
    seen: Counter[str] = Counter()
    found = {}
    for config in settings:
        seen[config.kind] += 1
        number = seen[config.kind]
        found[config.kind if number == 1 else f"{config.kind}-{number}"] = config
    return found


def parse(room: str, value: Any, *, key: str = "kind", default: str | None = None) -> KindConfig:
    """Settings from a mapping that names its kind under `key`, or settings unchanged.

    Raises:
        RecipeError: The mapping names no kind and the room has no default.
        UnknownNameError: No kind has that name.
        pydantic.ValidationError: The kind refuses a value.
    """
    if isinstance(value, KindConfig):
        return value
    if not isinstance(value, dict) or not isinstance(value.get(key, default), str):
        raise RecipeError(
            f"found {value!r:.80}, needed a mapping with {key!r}, one of: {', '.join(sorted(kinds(room)))}"
        )
    kind = value.get(key, default)
    return config_class(room, kind).model_validate({**{k: v for k, v in value.items() if k != key}, "kind": kind})
