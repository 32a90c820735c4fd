"""The loader with the real processor: real photos and the tiny world as tokens and items, whatever the threads."""

from itertools import islice

import pytest

from modalink import kinds
from modalink.data.loader import Loader
from modalink.model import compose
from modalink.ragged import Layout
from modalink.recipe import SystemSpec
from modalink.runs.ledger import Ledger
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion


@pytest.fixture
def processor(tmp_path):
    """Of a system of tiny random parts that reads and draws images."""
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(tmp_path / "vision"))}
    maker = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(tmp_path / "diffusion"))}
    projector = {"kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2}
    spec = {
        "inputs": {"image": {"encoder": encoder, "projector": {"kind": "linear"}}},
        "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
        "outputs": {"image": {"signal_tokens": 2, "projector": projector, "generator": maker}},
    }
    return compose(SystemSpec.model_validate(spec)).processor


@pytest.fixture
def sources(photos, write_lines):
    said = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A photo."}]
    names = ["china.jpg", "coffee.png", "rocket.jpg", "gone.jpg"]
    lines = [{"id": name, "image": name, "conversations": said} for name in names]
    for name in ("astronaut", "flower"):
        (photos / f"{name}.txt").write_text(f"a photo of the {name}")
    mapped = [
        {"source": "llava_json", "path": str(write_lines("llava.jsonl", lines)), "media": str(photos)},
        {"source": "pairs", "path": str(photos), "direction": "both", "template": "plain"},
        {"source": "tiny_world", "count": 9, "tasks": {"caption": 1, "vqa": 1, "draw": 1, "talk": 1}},
    ]
    return [kinds.parse("modalink.data.sources", data, key="source") for data in mapped]


def as_data(sample):
    items = {role: {m: [item.digest for item in found] for m, found in getattr(sample, role).items()}
             for role in ("media", "targets")}  # fmt: skip
    return sample.id, sample.input_ids, sample.labels, items


def test_the_same_tokens_and_items_whatever_the_threads(processor, sources, tmp_path):
    found = []
    for workers in (0, 8):
        ledger = Ledger(tmp_path / f"{workers}.jsonl")
        loader = Loader(sources, "sqrt", 0, processor.prepare, ledger, "skip", 5, workers=workers)
        batches = [[as_data(sample) for sample in batch] for batch in islice(loader, 6)]
        found.append((batches, list(ledger)))
    assert found[0] == found[1]
    batches, entries = found[0]
    samples = {sample[0]: sample for batch in batches for sample in batch}
    assert {entry.reason for entry in entries} == {"missing", "no_caption"}
    _, ids, _, items = samples["china.jpg"]
    assert len(items["media"]["image"]) == 1 and items["targets"] == {}
    assert (
        ids.count(processor.tokens.placeholders["image"]) == processor.prompt_layout("image", Layout.of_units(1)).tokens
    )
    _, _, labels, items = samples["flower.jpg#draw"]
    assert len(items["targets"]["image"]) == 1 and items["media"] == {}
    first, *others = processor.tokens.signals["image"]
    assert first in labels and not set(others) & set(labels)
