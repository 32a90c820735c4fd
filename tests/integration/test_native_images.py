"""Images of any size in one batch, each with its own number of tokens: data, two steps of training, an answer."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import modalink
from modalink.testing.checkpoints import tiny_native
from modalink.training.train import train
from tests.support.little_recipes import metrics, recipe_of, record, write_records

SIZES = ((40, 200), (200, 40), (64, 64), (1000, 700))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    generator = np.random.default_rng(0)
    records = []
    for number, (width, height) in enumerate(SIZES):
        noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
        records.append(record(str(number), "<image>How wide?", "wide", images=[f"{number}.png"]))
    write_records(folder, records)
    encoder = {"kind": "native", "checkpoint": str(tiny_native(folder / "tower")), "max_pixels": 16 * 256}
    image = {"encoder": encoder, "projector": {"kind": "linear"}, "marks": {"between_rows": "\n"}}
    train(recipe_of(folder, {"image": image}), folder / "run")
    return folder


def test_a_run_learns_from_images_of_all_sizes_and_answers(run: Path) -> None:
    losses = [line["loss"] for line in metrics(run / "run")]
    assert len(losses) == 2 and np.isfinite(losses).all()
    loaded = modalink.load(run / "run")
    for number in range(len(SIZES)):
        assert isinstance(loaded.ask("How wide?", image=run / f"{number}.png", max_new_tokens=2).text, str)
