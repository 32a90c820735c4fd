"""Every test runs on the CPU, without a network, and from known random states."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import pytest
import torch


@pytest.fixture(autouse=True)
def _known_random_state() -> None:
    torch.manual_seed(0)
