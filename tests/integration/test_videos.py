"""A system learns from videos, leaves out those that are cut, is saved, and answers about one, its sound aside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from films import film

import modalink
from modalink.conversation import Medium, Text, Turn
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.model import collate, compose
from modalink.recipe import Recipe
from modalink.testing.checkpoints import tiny_video
from modalink.training.frozen import FrozenEncoders
from modalink.training.train import train
from tests.support.little_recipes import Block, by_frame, ledger, metrics, recipe_of, record, write_records

CODED: dict[str, Any] = {"codec": "libx264", "pixels": "yuv420p"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny parts, and messages about three videos, one of which is cut off."""
    folder = tmp_path_factory.mktemp("videos")
    tiny_video(folder / "tower")
    records = []
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (20, 32, 48, 3)).astype(np.uint8)
        film(folder / f"{number}.mp4", [*noise], **CODED)
        records.append(record(str(number), "<video>\nWhat is it?", "It moves.", videos=[f"{number}.mp4"]))
    cut = folder / "2.mp4"
    cut.write_bytes(cut.read_bytes()[:3000])
    write_records(folder, records)
    return folder


def recipe(place: Path, encoder: Block) -> Recipe:
    video = {
        "encoder": encoder,
        "projector": {"kind": "linear", "pool": "space"},
        "marks": {"before_block": "{time:.2f}s "},
    }
    return recipe_of(place, {"video": video}, batch=2)


@pytest.mark.parametrize("kind", ["frames", "video"])
def test_it_learns_and_answers(place: Path, tmp_path: Path, kind: str) -> None:
    tower = {"kind": "video", "checkpoint": str(place / "tower")}
    encoder = tower if kind == "video" else by_frame(place, sampling="segments", count=3)
    run = train(recipe(place, encoder), tmp_path / "run")
    assert len(metrics(run)) == 2
    assert {(line["sample"], line["reason"]) for line in ledger(run)} <= {("2", "damaged")}
    answer = modalink.load(run).ask("What is it?", video=place / "0.mp4", max_new_tokens=2)
    assert isinstance(answer.text, str)


def test_frames_stand_behind_their_times(place: Path) -> None:
    system = compose(recipe(place, by_frame(place, count=2)))
    messages = [{"role": "user", "content": [{"type": "video", "path": str(place / "0.mp4")}, "What is it?"]}]
    ids = system.processor(messages)["input_ids"][0].tolist()
    frame = system.processor.tokens.placeholders["video"]
    between = system.processor.tokenizer.decode(ids[ids.index(frame) + 1 : len(ids) - ids[::-1].index(frame) - 1])
    assert ids.count(frame) == 2 and between.strip() == "1.50s"


def test_what_is_drawn_belongs_to_the_draw(place: Path) -> None:
    """Another seed gives other frames under another name in the cache, the same seed the same."""
    processor = compose(recipe(place, by_frame(place, sampling="segments", count=2))).processor
    conversation = modalink.Conversation.from_messages(
        [{"role": "user", "content": [{"type": "video", "path": str(place / "1.mp4")}]}, {"role": "assistant", "content": "So."}]
    )  # fmt: skip
    one, same, other, none = (processor.prepare(conversation, seed=seed).media["video"][0] for seed in (1, 1, 2, None))
    assert (one.digest, one.layout) == (same.digest, same.layout) and torch.equal(one.load(), same.load())
    assert len({one.digest, other.digest, none.digest}) == 3 and len({one.layout, other.layout, none.layout}) == 3
    assert not torch.equal(one.load(), other.load())


def test_videos_of_any_length_are_computed_together(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times tell no shape: a chunk is not filled with copies of one video."""
    system = compose(recipe(place, by_frame(place, count=2)))
    longer = film(place / "longer.mp4", [np.full((32, 48, 3), 9, np.uint8)] * 30, **CODED)
    media = [Medium("video", source) for source in (place / "0.mp4", longer)]
    turns = (Turn("user", tuple(media)), Turn("assistant", (Text("So."),)))
    sample = system.processor.prepare(modalink.Conversation(turns))
    once = Once(FeatureCache(chunk=2), torch.float32, torch.device("cpu"))
    encode, asked = system.model.encode, []
    monkeypatch.setattr(system.model, "encode", lambda m, items: asked.append(items.lengths) or encode(m, items))
    features = FrozenEncoders(system, [], once).encoded(collate([sample], packed=True, pad_id=0)).features["video"]
    assert features.layouts[0].times_s == (0.5, 1.5) and features.layouts[1].times_s == (0.75, 2.25)
    assert len(asked) <= 3  # a trial of the chunk, and both at once, or where that changes bits each alone
