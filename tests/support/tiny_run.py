"""A tiny recipe of random parts, its data and its stages, for tests of training, runs and reports."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalink.recipe import Recipe
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion

MakeStage = Callable[..., dict[str, Any]]
COLOURS = ("red", "green", "blue", "white", "black", "grey")


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny random checkpoints."""
    folder = tmp_path_factory.mktemp("parts")
    return {
        "vision": tiny_clip_vision(folder / "vision"),
        "llm": tiny_llama(folder / "llm"),
        "diffusion": tiny_stable_diffusion(folder / "diffusion"),
    }


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two files of messages: questions about pictures, of which one is missing, and requests to draw."""
    folder = tmp_path_factory.mktemp("data")
    ask, draw = [], []
    for number, colour in enumerate(COLOURS):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        picture = {"type": "image", "path": f"{number}.png", "caption": f"a {colour} cube"}
        question = {"type": "text", "text": "What is in the image?" + " Look again." * (number % 3)}
        ask.append(_record(f"ask-{number}", [picture, question], [{"type": "text", "text": f"a {colour} cube"}]))
        request = [{"type": "text", "text": f"Draw a {colour} cube."}]
        draw.append(_record(f"draw-{number}", request, [{"type": "text", "text": "Here it is: "}, picture]))
    absent = [{"type": "image", "path": "absent.png"}, {"type": "text", "text": "What is in the image?"}]
    ask.append(_record("ask-absent", absent, [{"type": "text", "text": "nothing"}]))
    for name, records in (("ask", ask), ("draw", draw)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return {"ask": str(folder / "ask.jsonl"), "draw": str(folder / "draw.jsonl")}


@pytest.fixture(scope="session")
def picture_pairs(data: dict[str, str]) -> Path:
    """A file of pairs of replies that draw: each request with its own picture and another one."""
    folder, rows = Path(data["draw"]).parent, []
    for number, colour in enumerate(COLOURS):
        paths = [str(folder / f"{n}.png") for n in (number, (number + 1) % len(COLOURS))]
        drawn = [[{"type": "text", "text": "Here: "}, {"type": "image", "path": path}] for path in paths]
        chosen, rejected = ([{"role": "assistant", "content": content}] for content in drawn)
        prompt = [{"role": "user", "content": f"Draw a {colour} cube."}]
        rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    pairs = folder / "picture-pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pairs


def _record(name: str, user: list[dict[str, str]], assistant: list[dict[str, str]]) -> dict[str, Any]:
    turns = (("user", user), ("assistant", assistant))
    return {"id": name, "messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.fixture(scope="session")
def pretrain(data: dict[str, str]) -> MakeStage:
    """A stage for the input projector alone; keywords change it."""
    return lambda **changes: {
        "name": "pretrain",
        "train": {"inputs.image.projector": {"lr": 1e-2}},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": data["ask"]}],
        "batch": 2,
        "steps": 6,
        "checkpoint_every": 2,
        "precision": "float32",
        **changes,
    }


@pytest.fixture(scope="session")
def instruct(data: dict[str, str]) -> MakeStage:
    """A stage for all links, with all objectives; keywords change it."""
    drawing = {"kind": "diffusion", "weight": 2.0, "condition_dropout": 0.3}
    rates = ("inputs.image.projector", "outputs.image.projector", "llm.lora", "llm.new_tokens")
    return lambda **changes: {
        "name": "instruct",
        "train": {group: {"lr": 1e-2, "weight_decay": 0.01} for group in rates},
        "objectives": [{"kind": "language"}, {"kind": "align", "weight": 0.5}, drawing],
        "data": [{"source": "messages", "path": data["ask"]}, {"source": "messages", "path": data["draw"]}],
        "batch": 4,
        "steps": 6,
        "checkpoint_every": 2,
        "precision": "float32",
        **changes,
    }


@pytest.fixture(scope="session")
def make_recipe(parts: dict[str, Path], pretrain: MakeStage, instruct: MakeStage) -> Callable[..., Recipe]:
    """A recipe of tiny random parts, image in and out, with these stages or both; keywords change every stage, `llm` adds
    to the LLM's settings."""

    def make(
        *stages: dict[str, Any],
        seed: int = 0,
        lora_dropout: float = 0.0,
        llm: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Recipe:
        lora = {"rank": 2, "alpha": 4.0, "dropout": lora_dropout}
        drawing = {"kind": "transformer", "width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
        return Recipe.model_validate(
            {
                "name": "tiny",
                "seed": seed,
                "inputs": {
                    "image": {
                        "encoder": {"kind": "vision", "checkpoint": str(parts["vision"])},
                        "projector": {"kind": "mlp", "layers": 2},
                    }
                },
                "llm": {"checkpoint": str(parts["llm"]), "lora": lora, **(llm or {})},
                "prompt": {"template": "vicuna-v1.1"},
                "outputs": {
                    "image": {
                        "signal_tokens": 2,
                        "projector": drawing,
                        "generator": {"kind": "stable_diffusion", "checkpoint": str(parts["diffusion"])},
                    }
                },
                "stages": [stage | changes for stage in stages or (pretrain(), instruct())],
            }
        )

    return make
