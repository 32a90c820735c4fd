"""Which share of an epoch goes into decoding, preprocessing and hashing images: of the first, and of a cached one.

    python benchmarks/cached_epoch.py [--images 96] [--threads 2]

Trains the demo's input projector and LLM adapters on photographs of random colours (JPEG, 640 x 480) for two epochs,
all in one thread, so that nothing hides behind a step. Aimed at: less than 5 % in the second epoch.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from modalink.model import ModalinkProcessor
from modalink.model.items import Item
from modalink.recipe import load
from modalink.settings import run_settings
from modalink.training.events import StepDone
from modalink.training.train import train

BATCH = 8


class Watch:
    """Counts the seconds spent inside some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, owner: Any, name: str) -> None:
        """Count what a method takes, from now on."""
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(owner, name, timed)


def write_data(folder: Path, images: int) -> Path:
    """Messages about photographs."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(images):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
        question = [{"type": "image", "path": f"{number}.jpg"}, {"type": "text", "text": "what do you see?"}]
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "a red cube at the top"}]
        rows.append(json.dumps({"id": str(number), "messages": messages}))
    path = folder / "data.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


def main() -> None:
    """Print both shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    watch, per_epoch = Watch(), options.images // BATCH
    watch.over(ModalinkProcessor, "_add_item")  # opening, hashing the file, the layout
    watch.over(Item, "loaded")  # decoding and preprocessing
    steps: list[tuple[float, float]] = []
    began = time.perf_counter()

    def note(event: object) -> None:
        nonlocal began
        if isinstance(event, StepDone):
            now = time.perf_counter()
            steps.append((now - began, watch.seconds))
            began, watch.seconds = now, 0.0

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = {"source": "messages", "path": str(write_data(folder, options.images))}
        recipe = load("demo")
        stage = {
            "name": "see",
            "train": {"inputs.image.projector": {"lr": 1e-3}, "llm.lora": {"lr": 1e-4}},
            "objectives": [{"kind": "language"}],
            "data": [source],
            "batch": BATCH,
            "steps": 2 * per_epoch,
            "precision": "float32",
        }
        recipe = type(recipe).model_validate(recipe.to_dict() | {"outputs": {}, "stages": [stage], "provenance": {}})
        settings = run_settings(threads=options.threads, workers=0, cache=folder / "cache")
        train(recipe, folder / "run", on_event=note, settings=settings)
    for name, epoch in (("first", steps[1:per_epoch]), ("second", steps[per_epoch + 1 :])):
        whole, media = (sum(step[i] for step in epoch) for i in range(2))
        print(f"{name} epoch: {whole / len(epoch):.3f} s a step, {media / whole:.1%} of it with media")


if __name__ == "__main__":
    main()
