"""Images of any size in one batch, each with its own number of tokens: data, two steps of training, an answer."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import modalink
from modalink.recipe import load
from modalink.testing.checkpoints import tiny_llama, tiny_native
from modalink.training.train import train

SIZES = ((40, 200), (200, 40), (64, 64), (1000, 700))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    generator = np.random.default_rng(0)
    records = []
    for number, (width, height) in enumerate(SIZES):
        noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
        said = [{"role": "user", "content": "<image>How wide?"}, {"role": "assistant", "content": "wide"}]
        records.append({"id": str(number), "messages": said, "images": [f"{number}.png"]})
    (folder / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    encoder = {"kind": "native", "checkpoint": str(tiny_native(folder / "tower")), "max_pixels": 16 * 256}
    recipe = {
        "name": "native",
        "inputs": {"image": {"encoder": encoder, "projector": {"kind": "linear"}, "marks": {"between_rows": "\n"}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
        "stages": [
            {
                "name": "look",
                "train": {"inputs.image.projector": {"lr": 1e-2}},
                "objectives": [{"kind": "language"}],
                "data": [{"source": "messages", "path": str(folder / "data.jsonl")}],
                "batch": 4,
                "steps": 2,
                "precision": "float32",
            }
        ],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    train(load(folder / "recipe.yaml"), folder / "run")
    return folder


def test_a_run_learns_from_images_of_all_sizes_and_answers(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "run" / "look" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)
    loaded = modalink.load(run / "run")
    for number in range(len(SIZES)):
        assert isinstance(loaded.ask("How wide?", image=run / f"{number}.png", max_new_tokens=2).text, str)
