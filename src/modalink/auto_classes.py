"""Lets the Auto classes of transformers load saved systems after a mere `import modalink`, which imports neither.

transformers keeps the names of its configurations and processors in tables, and imports the module behind a name when
a folder asks for it. The names of modalink are put into these tables as soon as transformers has made them; what loads
then is `modalink.model`, which registers its classes in the ordinary way.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

MODEL_TYPE = "modalink"
_AUTO = "transformers.models.auto."
_NAMES = {
    f"{_AUTO}configuration_auto": ("CONFIG_MAPPING_NAMES", "ModalinkConfig"),
    f"{_AUTO}processing_auto": ("PROCESSOR_MAPPING_NAMES", "ModalinkProcessor"),
}
"""Module -> its table, and the name that stands there for `MODEL_TYPE`."""


def announce() -> None:
    """Make saved systems known to transformers, now or when it is imported."""
    home = f"transformers.models.{MODEL_TYPE}"  # where transformers looks for the classes
    sys.modules[home] = _Lazy(home)
    waiting = [name for name in _NAMES if name not in sys.modules]
    for name in _NAMES.keys() - set(waiting):
        _enter(sys.modules[name])
    if waiting:
        sys.meta_path.insert(0, _AfterImport(waiting, _enter))


class _Lazy(ModuleType):
    """A module whose classes are those of `modalink.model`, imported when one is wanted."""

    def __getattr__(self, name: str) -> Any:
        if name not in (named for _, named in _NAMES.values()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module("modalink.model"), name)


def _enter(module: ModuleType) -> None:
    table, name = _NAMES[module.__name__]
    getattr(module, table)[MODEL_TYPE] = name


class _AfterImport(MetaPathFinder):
    """Calls a function with each of some modules when it has been imported."""

    def __init__(self, names: Sequence[str], then: Callable[[ModuleType], None]) -> None:
        self.names, self.then = set(names), then

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            self.names.remove(fullname)
            if not self.names:
                sys.meta_path.remove(self)
            execute = spec.loader.exec_module

            def execute_and_then(module: ModuleType) -> None:
                execute(module)
                self.then(module)

            spec.loader.exec_module = execute_and_then  # type: ignore[method-assign]
        return spec
