"""Every test runs on the CPU, without a network, and from known random states."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama


@pytest.fixture(autouse=True)
def _known_random_state() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def make_reader() -> Callable[..., System]:
    """Composes a system of tiny random parts in a folder: image in, text out, all of it nonsense."""

    def make(folder: Path, projector: str = "mlp") -> System:
        encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
        spec = {
            "inputs": {"image": {"encoder": encoder, "projector": {"kind": projector}}},
            "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
            "prompt": {"template": "vicuna-v1.1"},
        }
        return compose(SystemSpec.model_validate(spec))

    return make
