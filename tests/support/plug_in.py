"""Kinds that a test brings as an installed package would: by an entry point."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

import pytest

from modalink import kinds
from modalink.kinds import KindConfig

Install = Callable[[type[KindConfig]], None]


@contextmanager
def installing() -> Iterator[Install]:
    """Makes settings classes of a test's own file kinds of their rooms, until the context ends."""
    points: list[EntryPoint] = []

    def forget() -> None:
        kinds.kinds.cache_clear()
        kinds.config_class.cache_clear()

    def add(config: type[KindConfig]) -> None:
        name = config.model_fields["kind"].default
        points.append(EntryPoint(name, f"{config.__module__}:{config.__qualname__}", config.room))
        forget()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "entry_points", lambda group: [point for point in points if point.group == group])
        yield add
    forget()


@pytest.fixture
def install() -> Iterator[Install]:
    """Makes a settings class of the test's own file a kind of its room."""
    with installing() as add:
        yield add
