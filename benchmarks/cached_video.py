"""How much faster the second epoch of a stage is with the cache of frozen encoders, and what that takes on the disk.

    python benchmarks/cached_video.py [--videos 6] [--depth 2] [--threads 1]

A link between a tower of EVA ViT-g's width (1408, 16 heads, patches of 14 in 224 px: 257 tokens a frame) at small depth
and a tiny LLM learns from films of which 8 frames are read. The same stage is trained twice, its frozen tower once
without any cache, once with it. Aimed at: a second epoch that is at least 4 times as fast.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from modalink.features.cache import FeatureCache
from modalink.recipe import Recipe
from modalink.settings import run_settings
from modalink.testing.checkpoints import tiny_eva_g, tiny_llama
from modalink.training.events import StepDone
from modalink.training.train import train

BATCH, FRAMES = 2, 8
EVA_G = {
    "hidden_size": 1408, "intermediate_size": 6144, "num_attention_heads": 16, "image_size": 224, "patch_size": 14,
}  # fmt: skip


def write_data(folder: Path, videos: int) -> Path:
    """Messages about films of two seconds, 320 x 240, in H.264."""
    rows = []
    for number in range(videos):
        rng = np.random.default_rng(number)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for _ in range(50):
                coarse = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(coarse.repeat(16, 0).repeat(16, 1), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        messages = [{"role": "user", "content": "<video>what is it?"}, {"role": "assistant", "content": "a film"}]
        rows.append(json.dumps({"id": str(number), "messages": messages, "videos": [f"{number}.mp4"]}))
    (folder / "data.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "data.jsonl"


def make_recipe(folder: Path, data: Path, videos: int, depth: int) -> Recipe:
    """Two epochs of the link alone."""
    tower = {"kind": "vision", "checkpoint": str(tiny_eva_g(folder / "tower", num_hidden_layers=depth, **EVA_G))}
    encoder = {"kind": "frames", "encoder": tower, "frames": {"count": FRAMES}}
    stage = {
        "name": "see",
        "train": {"inputs.video.projector": {"lr": 1e-3}},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(data)}],
        "batch": BATCH,
        "steps": 2 * videos // BATCH,
        "precision": "float32",
        "max_tokens": 4096,
    }
    inputs = {"video": {"encoder": encoder, "projector": {"kind": "linear"}}}
    llm = {"checkpoint": str(tiny_llama(folder / "llm", max_position_embeddings=4096))}
    return Recipe.model_validate(
        {"name": "films", "inputs": inputs, "llm": llm, "prompt": {"template": "vicuna-v1.1"}, "stages": [stage]}
    )


def main() -> None:
    """Print both times and the size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    ends: list[float] = []
    losses: dict[str, list[float]] = {}

    def note(event: object) -> None:
        if isinstance(event, StepDone):
            ends.append(time.perf_counter())
            losses.setdefault(name, []).append(event.record["loss"])

    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recipe = make_recipe(folder, write_data(folder, options.videos), options.videos, options.depth)
        settings = run_settings(threads=options.threads, workers=0, cache=folder / "cache", track="off")
        for name, cache in (("without", FeatureCache(memory_bytes=0, chunk=BATCH)), ("with", None)):
            ends.clear()
            train(recipe, folder / name, on_event=note, settings=settings, cache=cache)
            seconds[name] = ends[-1] - ends[options.videos // BATCH - 1]
            print(f"second epoch {name} the cache: {seconds[name]:.2f} s for {options.videos} videos", flush=True)
        size = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    print(
        f"{seconds['without'] / seconds['with']:.1f} times as fast; losses equal: {losses['with'] == losses['without']}"
    )
    print(f"on disk: {size / 1e6:.1f} MB, {size / options.videos / 1e6:.1f} MB a video of {FRAMES} frames")


if __name__ == "__main__":
    main()
