"""A small system that answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modalink.model import System


@pytest.fixture(scope="session")
def saved(make_reader: Callable[..., System], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a system of tiny random parts: image in, text out."""
    folder = tmp_path_factory.mktemp("parts")
    make_reader(folder).save(folder / "run" / "model")
    return folder / "run"


@pytest.fixture(scope="session")
def reader(saved: Path) -> System:
    """The system of that run; no test changes it."""
    return System.load(saved / "model")
