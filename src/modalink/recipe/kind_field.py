"""A recipe's field whose settings class is chosen by its `kind`: checked, written and described for editors."""

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from modalink.errors import RecipeError
from modalink.kinds import KindConfig, config_class, kinds, parse
from modalink.recipe.errors import Problems, problems

_around: ContextVar[tuple[str, ...]] = ContextVar("_around", default=())
"""Kinds around the one that is being described: none stands inside itself, so that a description ends."""


@dataclass(frozen=True)
class Kinds:
    """Marks a field that holds the settings of one kind of a room.

    Args:
        room: The package that holds the kinds, for example `modalink.encoders`.
        key: What the recipe calls the kind (data sources say `source`).
        default: The kind when the recipe names none.
        inside: The kind whose field this is, where it is of the same room: it never stands inside itself.
        without: Further kinds of the room that may not stand here.
        named: Whether a bare name may stand for the kind with its defaults, as in `join: splice`.
    """

    room: str
    key: str = "kind"
    default: str | None = None
    inside: str = ""
    without: tuple[str, ...] = ()
    named: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: Any) -> KindConfig:
            found = self.parse(value)
            if found.kind in self.without:
                raise RecipeError(f"the kind {found.kind!r} cannot stand here")
            if self.inside in (found.kind, *_inside(found)):
                raise RecipeError(f"the kind {self.inside!r} cannot stand inside itself")
            if source is Any or isinstance(found, source):
                return found
            raise RecipeError(
                f"the settings of kind {found.kind!r} are {type(found).__name__}, needed {source.__name__}"
            )

        return core_schema.no_info_plain_validator_function(
            check, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        left_out = {*self.without, *_around.get()}
        names = [name for name in sorted(kinds(self.room)) if name not in left_out]
        bare = [{"enum": names}] if self.named else []
        return {"oneOf": [*bare, *(self._alternative(name, handler) for name in names)]}

    def parse(self, value: Any) -> KindConfig:
        """Settings from a mapping.

        Raises:
            RecipeError: No kind is named, or one that does not exist.
            Problems: The kind refuses some of the settings.
        """
        if self.named and isinstance(value, str):
            value = {self.key: value}
        try:
            return parse(self.room, value, key=self.key, default=self.default)
        except ValidationError as error:
            raise Problems(problems(config_class(self.room, value.get(self.key, self.default)), error)) from None

    def dump(self, config: KindConfig) -> dict[str, Any]:
        """The mapping that `parse` reads back, its kind first."""
        return {self.key: config.kind, **{k: v for k, v in config.model_dump(mode="json").items() if k != "kind"}}

    def _alternative(self, name: str, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = config_class(self.room, name)
        token = _around.set((*_around.get(), name))
        try:
            schema = dict(handler.resolve_ref_schema(handler(found.__pydantic_core_schema__)))
        finally:
            _around.reset(token)
        properties = {k: v for k, v in schema["properties"].items() if k != "kind"}
        required = [k for k in schema.get("required", []) if k != "kind"]
        if name != self.default:
            required.insert(0, self.key)
        return schema | {"properties": {self.key: {"const": name}, **properties}, "required": required}


def _inside(config: KindConfig) -> Iterator[str]:
    """The kinds that stand inside settings, at any depth."""
    for value in dict(config).values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, KindConfig):
                yield part.kind
                yield from _inside(part)
