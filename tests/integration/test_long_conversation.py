"""One conversation holds an image of 12 tiles, a video of 64 frames and a sound of 2 minutes, in one run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from films import film
from PIL import Image

import modalink
from modalink.conversation import Conversation
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.features.disk import DiskFeatures
from modalink.modalities import audio
from modalink.model import System, collate
from modalink.recipe import Recipe
from modalink.training.frozen import FrozenEncoders
from modalink.training.train import train
from tests.support.little_recipes import by_frame, metrics, recipe_of, record, whisper, write_records

TOKENS = {"image": 13 * 4, "video": 64, "audio": 120}
"""Prompt tokens: 16 of each tile joined by 2 x 2, the mean of each frame, and each second's 50 joined."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(folder / "a.png")
    film(folder / "a.mkv", [*rng.integers(0, 255, (80, 24, 32, 3), dtype=np.uint8)])
    audio.write(audio.Sound(rng.uniform(-0.5, 0.5, 120 * 4000).astype(np.float32), 4000), folder / "a.wav")
    media = {"images": ["a.png"], "videos": ["a.mkv"], "audios": ["a.wav"]}
    write_records(folder, [record("all", "<image> <video> <audio> Do they fit?", "They fit well.", **media)])
    return folder


def recipe_of_all(folder: Path) -> Recipe:
    tiles = {"most": 12, "choose": "ratio", "fit": "stretch", "thumbnail": "last"}
    inputs: dict[str, Any] = {
        "image": {
            "encoder": {"kind": "tiles", "encoder": by_frame(folder, count=64), "tiles": tiles},
            "projector": {"kind": "mlp", "join": {"tokens": 4, "layout": "square"}},
            "marks": {"begin": "[", "between_tile_rows": "/", "end": "]"},
        },
        "video": {
            "use": "image",
            "projector": {"kind": "blockwise", "each": {"kind": "linear", "pool": "space"}, "whole": {"kind": "linear"}, "width": 16, "positions": {"most": 64}},
            "marks": {"before_block": "{number}:"},
        },
        "audio": {"encoder": whisper(folder), "projector": {"kind": "linear", "join": {"tokens": 50}}},
    }  # fmt: skip
    return recipe_of(folder, inputs, llm={"max_position_embeddings": 1024}, batch=1, steps=1, max_tokens=1024)


def test_it_learns_and_answers_the_same_with_and_without_caches(place: Path, tmp_path: Path) -> None:
    recipe = recipe_of_all(place)
    caches = [FeatureCache(memory_bytes=0), FeatureCache(DiskFeatures(tmp_path / "features", 10**8))]
    runs = [train(recipe, tmp_path / f"run{number}", cache=cache) for number, cache in enumerate(caches)]
    computed, kept = [step["loss"] for run in runs for step in metrics(run)]
    assert computed == kept and [*(tmp_path / "features").rglob("*.pack")]

    system, (question, _) = System.load(runs[0] / "model"), Conversation.from_messages(messages(place)).turns
    sample = system.processor.prepare(Conversation.from_messages(messages(place)))
    assert {m: item.tokens for m, (item,) in sample.media.items()} == TOKENS
    assert {m: item.layout.units for m, (item,) in sample.media.items()} == {"image": 13, "video": 64, "audio": 120}
    frozen = FrozenEncoders(system, [], Once(FeatureCache(), torch.float32, torch.device("cpu")))
    batch = collate([sample], packed=True, pad_id=0)
    with torch.no_grad():
        direct, cached = (system.model(**b.inputs()).logits for b in (batch, frozen.encoded(batch)))
    torch.testing.assert_close(cached, direct, atol=1e-4, rtol=1e-4)

    asked = system.processor(Conversation((question,)))
    arguments = {"max_new_tokens": 6, "do_sample": False}
    ids = system.model.generate(**asked, **arguments)
    assert torch.equal(ids, system.model.generate(**asked, **arguments, use_cache=False))
    answer = modalink.load(runs[0]).chat(Conversation((question,)), max_new_tokens=6)
    said = system.processor.decode(ids[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.text and said.startswith(answer.text.rstrip("\ufffd"))  # the last character may be cut


def messages(folder: Path) -> list[dict[str, Any]]:
    kinds = {"image": "a.png", "video": "a.mkv", "audio": "a.wav"}
    media = [{"type": kind, "path": str(folder / name)} for kind, name in kinds.items()]
    said = {"role": "assistant", "content": "They fit well."}
    return [{"role": "user", "content": [*media, {"type": "text", "text": "Do they fit?"}]}, said]
