"""A system of tiny random parts that looks and answers, all of it nonsense."""

from collections.abc import Callable

import pytest

from modalink.model import System


@pytest.fixture(scope="session")
def reader(make_reader: Callable[..., System], tmp_path_factory: pytest.TempPathFactory) -> System:
    return make_reader(tmp_path_factory.mktemp("parts"), "linear")
