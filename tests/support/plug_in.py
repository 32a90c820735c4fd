"""Kinds that a test brings as an installed package would: by an entry point."""

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

import pytest

from modalink import kinds
from modalink.kinds import KindConfig

Install = Callable[[type[KindConfig]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes a settings class of the test's own file a kind of its room."""
    points: list[EntryPoint] = []

    def forget() -> None:
        kinds.kinds.cache_clear()
        kinds.config_class.cache_clear()

    def add(config: type[KindConfig]) -> None:
        name = config.model_fields["kind"].default
        points.append(EntryPoint(name, f"{config.__module__}:{config.__qualname__}", config.room))
        forget()

    monkeypatch.setattr(kinds, "entry_points", lambda group: [point for point in points if point.group == group])
    yield add
    forget()
