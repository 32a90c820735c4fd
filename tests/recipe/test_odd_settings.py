"""Whatever stands in the place of a setting, it is taken or refused in words: of every class of settings there is."""

import importlib
import inspect
import math
import pkgutil
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

import modalink
from modalink.errors import ModalinkError
from modalink.kinds import Settings

ODD = (
    *(None, True, 0, -1, 10**400, math.nan, math.inf, "", "x", "\ud800", "9" * 5000, b"\xff"),
    *([], [[]], [None], [[], "x"], [{}], {}, {"a": []}, {1: 2}, {"": None}, {"kind": []}, {"kind": "x"}),
)
OF_OTHERS = ("modalink.__main__", "modalink.evaluation.lmms_eval")
"""What starts the command line, and what needs a library that is no part of modalink."""


def classes(base: type[Settings]) -> Iterator[type[Settings]]:
    for found in base.__subclasses__():
        yield found
        yield from classes(found)


@pytest.fixture(scope="module")
def settings() -> list[type[Settings]]:
    for module in pkgutil.walk_packages(modalink.__path__, "modalink."):
        if module.name not in OF_OTHERS:
            importlib.import_module(module.name)
    whole = {found for found in classes(Settings) if found.__module__.startswith("modalink.")}
    return sorted((found for found in whole if not inspect.isabstract(found)), key=lambda found: found.__qualname__)


def test_odd_values_are_taken_or_refused_in_words(settings):
    assert len(settings) > 100
    for found in settings:
        for field in found.model_fields:
            for value in ODD:
                try:
                    found.model_validate({field: value})
                except (ValidationError, ModalinkError):
                    pass
                except Exception as error:
                    pytest.fail(f"{found.__module__}.{found.__qualname__}, {field}: {value!r:.40}: {error!r:.200}")
