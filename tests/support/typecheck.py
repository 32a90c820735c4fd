"""The run-time type checker of the tests: beartype, which checks all annotations but `Self` outside its own classes."""

from collections.abc import Callable
from typing import Any, Self

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that checks its arguments and its result, except those annotated with `Self`."""
    function.__annotations__ = {k: Any if v is Self else v for k, v in function.__annotations__.items()}
    return beartype(function)
