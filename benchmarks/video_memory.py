"""Whether host memory stays flat over thousands of videos on their way through the data, damaged ones among them.

    python benchmarks/video_memory.py [--videos 2000] [--workers 2] [--points]

Short videos (H.264, 12 frames of 96 x 64 with noise), every tenth cut off or no video at all, or, with `--points`, as
many point clouds and meshes, are opened, decoded and preprocessed by the loader's own threads; what is bad goes to the
ledger. The resident memory of the process is printed ten times. Aimed at: the last no larger than the second, within
what the allocator keeps.
"""

import argparse
import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

from modalink.data.loader import Loader
from modalink.data.sources.messages import MessagesConfig
from modalink.modalities import points
from modalink.model import compose
from modalink.recipe import Recipe
from modalink.runs.ledger import Ledger
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_point_bert

BATCH = 8
GOOD = 9
"""Of ten."""
DIFFERENT = 50
"""Media that are written; the others are copies of these."""


def write_video(path: Path, rng: np.random.Generator) -> None:
    """A short video of its own noise."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_shape(path: Path, rng: np.random.Generator) -> None:
    """A cloud of coloured points, or the sheet that ships as an example, bent anew."""
    sheet = points.example(1)
    cloud = points.Cloud(rng.random((4096, 3)), rng.random((4096, 3)))
    mesh = points.Cloud(sheet.points * rng.uniform(0.5, 2, 3), sheet.colors, sheet.faces)
    points.write(mesh if rng.integers(2) else cloud, path)


def write_data(folder: Path, count: int, modality: str) -> Path:
    """Messages about media, each in a file of its own, every tenth damaged."""
    write, suffix = {"video": (write_video, ".mp4"), "points": (write_shape, ".glb")}[modality]
    rows = []
    for number in range(count):
        path = folder / f"{number}{suffix}"
        if number < DIFFERENT:
            write_one(write, path, number)
        else:
            path.write_bytes((folder / f"{number % DIFFERENT}{suffix}").read_bytes())
        question = [{"type": modality, "path": path.name}, {"type": "text", "text": "what is it?"}]
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "it moves"}]
        rows.append(json.dumps({"id": str(number), "messages": messages}))
    (folder / "data.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "data.jsonl"


def write_one(write: Callable[[Path, np.random.Generator], None], path: Path, number: int) -> None:
    """Medium number so and so."""
    write(path, np.random.default_rng(number))
    if number % 10 == GOOD:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if number % 20 == GOOD else b"no medium" * 50)


def recipe(folder: Path, data: Path, modality: str) -> Recipe:
    """A system of tiny parts that reads the modality."""
    if modality == "video":
        vision = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "encoder"))}
        encoder: dict[str, Any] = {"kind": "frames", "encoder": vision, "frames": {"count": 4}}
    else:
        encoder = tiny_point_bert(folder / "encoder", points=1024)[1]
    system = {
        "name": "memory",
        "inputs": {modality: {"encoder": encoder, "projector": {"kind": "linear"}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
        "stages": [],
    }
    return Recipe.model_validate(system)


def main() -> None:
    """Print the memory, and what the ledger says at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2000, help="how many media")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--points", action="store_true", help="point clouds and meshes instead of videos")
    options = parser.parse_args()
    modality = "points" if options.points else "video"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = write_data(folder, options.videos, modality)
        system = compose(recipe(folder, data, modality))
        ledger = Ledger(folder / "ledger.jsonl")
        source = MessagesConfig(path=str(data))
        loader = Loader(
            [source], "concatenate", 0, system.processor.prepare, ledger, "skip", BATCH, workers=options.workers
        )
        steps = options.videos * GOOD // 10 // BATCH
        process, every = psutil.Process(), max(1, steps // 10)
        for step, _ in zip(range(1, steps + 1), loader, strict=False):
            if step % every == 0:
                gc.collect()
                print(f"{step * BATCH:6} {modality} read, {process.memory_info().rss / 2**20:8.1f} MiB", flush=True)
        print(f"ledger: {ledger.summary()}")


if __name__ == "__main__":
    main()
