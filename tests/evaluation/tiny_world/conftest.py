"""A system of tiny random parts that looks and answers, all of it nonsense."""

import pytest

from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> System:
    folder = tmp_path_factory.mktemp("parts")
    vision = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
    data = {
        "inputs": {"image": {"encoder": vision, "projector": {"kind": "linear"}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
    }
    return compose(SystemSpec.model_validate(data))
