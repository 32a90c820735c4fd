"""One conversation holds an image of 12 tiles, a video of 64 frames and a sound of 2 minutes, in one run."""

import json
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
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_whisper
from modalink.training.frozen import FrozenEncoders
from modalink.training.train import train

TOKENS = {"image": 13 * 4, "video": 64, "audio": 120}
"""Prompt tokens: 16 of each tile joined by 2 x 2, the mean of each frame, and each second's 50 joined."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(folder / "a.png")
    film(folder / "a.mkv", [*rng.integers(0, 255, (80, 24, 32, 3), dtype=np.uint8)])
    audio.write(audio.Sound(rng.uniform(-0.5, 0.5, 120 * 4000).astype(np.float32), 4000), folder / "a.wav")
    (folder / "data.jsonl").write_text(json.dumps(record(folder)) + "\n")
    tiny_clip_vision(folder / "vision")
    tiny_whisper(folder / "whisper")
    tiny_llama(folder / "llm", max_position_embeddings=1024)
    return folder


def record(folder: Path) -> dict[str, Any]:
    said = "<image> <video> <audio> Do they fit?"
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": "They fit well."}]
    media = {"images": "a.png", "videos": "a.mkv", "audios": "a.wav"}
    return {"id": "all", "messages": messages, **{column: [str(folder / name)] for column, name in media.items()}}


def recipe(folder: Path) -> Recipe:
    vision = {"kind": "vision", "checkpoint": str(folder / "vision")}
    frames = {"kind": "frames", "encoder": vision, "frames": {"count": 64}}
    tiles = {"most": 12, "choose": "ratio", "fit": "stretch", "thumbnail": "last"}
    whisper = {"kind": "whisper", "checkpoint": str(folder / "whisper")}
    inputs: dict[str, Any] = {
        "image": {
            "encoder": {"kind": "tiles", "encoder": frames, "tiles": tiles},
            "projector": {"kind": "mlp", "join": {"tokens": 4, "layout": "square"}},
            "marks": {"begin": "[", "between_tile_rows": "/", "end": "]"},
        },
        "video": {
            "use": "image",
            "projector": {"kind": "blockwise", "each": {"kind": "linear", "pool": "space"}, "whole": {"kind": "linear"}, "width": 16, "positions": {"most": 64}},
            "marks": {"before_block": "{number}:"},
        },
        "audio": {"encoder": whisper, "projector": {"kind": "linear", "join": {"tokens": 50}}},
    }  # fmt: skip
    stage = {
        "name": "fit",
        "train": {f"inputs.{modality}.projector": {"lr": 1e-2} for modality in inputs},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(folder / "data.jsonl")}],
        "batch": 1,
        "steps": 1,
        "max_tokens": 1024,
        "precision": "float32",
    }
    data = {"name": "long", "inputs": inputs, "llm": {"checkpoint": str(folder / "llm")}, "stages": [stage]}
    return Recipe.model_validate({**data, "prompt": {"template": "vicuna-v1.1"}})


def test_it_learns_and_answers_the_same_with_and_without_caches(place: Path, tmp_path: Path) -> None:
    caches = [FeatureCache(memory_bytes=0), FeatureCache(DiskFeatures(tmp_path / "features", 10**8))]
    runs = [train(recipe(place), tmp_path / f"run{number}", cache=cache) for number, cache in enumerate(caches)]
    computed, kept = [json.loads((run / "fit/metrics.jsonl").read_text())["loss"] for run in runs]
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
