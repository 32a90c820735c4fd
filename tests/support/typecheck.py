"""The run-time type checker of the tests: annotations of a package, and shapes in them, are checked at each call.

jaxtyping's own hook puts three functions around each one, and binds all arguments at each call, whether shapes are told
or not; in this suite that took more time than the work that was checked. So shapes have its scope only where they are
told, all else is checked by beartype alone.
"""

import ast
import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, Self

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

_NAME = "__checked__"


def check_annotations(package: str) -> None:
    """Let all modules of a package, none of which is imported yet, check their annotations."""
    assert package not in sys.modules, f"{package} is imported already, and unchecked"
    sys.meta_path.insert(0, _Finder(package))


def checked(thing: Any) -> Any:
    """A function, or a dataclass, that checks its arguments and its result, except those annotated with `Self`."""
    if not inspect.isclass(thing):
        return _checked(thing)
    if dataclasses.is_dataclass(thing) and "__init__" in vars(thing):
        thing.__init__ = _checked(thing.__init__)
    return thing


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    written = function.__annotations__
    resolved = ((name, _resolved(hint, function)) for name, hint in written.items())
    hints = {name: hint for name, hint in resolved if hint is not Any}
    if not hints:
        return function
    function.__annotations__ = hints
    checking = beartype(function)
    function.__annotations__ = checking.__annotations__ = written
    return jaxtyped(checking, typechecker=None) if any(map(_tells_shapes, hints.values())) else checking


def _resolved(hint: Any, function: Callable[..., Any]) -> Any:
    """What an annotation means, as far as that is known while its module is read; anything where it is not."""
    if isinstance(hint, type):
        return hint
    if inspect.isroutine(hint):  # `threading.Lock`, a function before Python 3.13, which beartype did not always know
        return Any

    def value() -> None: ...

    value.__annotations__ = {"value": hint}
    try:
        found = typing.get_type_hints(value, function.__globals__, include_extras=True)["value"]
    except Exception:  # a name of later on, or an axis that only a call knows
        return Any
    return Any if found is Self else found


def _tells_shapes(hint: Any) -> bool:
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(map(_tells_shapes, typing.get_args(hint)))


class _Marking(ast.NodeTransformer):
    """Puts the checker below all decorators of a function, so that it sees what was written, and above a class's."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        given = node.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        if node.returns is not None or any(one is not None and one.annotation is not None for one in arguments):
            node.decorator_list.append(ast.copy_location(ast.Name(_NAME, ast.Load()), node))
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        if node.decorator_list:
            node.decorator_list.insert(0, ast.copy_location(ast.Name(_NAME, ast.Load()), node))
        return node


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """The marked code; never what was kept of the module as it is."""
        path = self.get_filename(fullname)
        tree = _Marking().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_NAME] = checked
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._package and not fullname.startswith(f"{self._package}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec
