"""One question about a picture and a sound: a recipe with two encoders, data, two steps of training, an answer."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import modalink
from modalink.modalities import audio, image
from modalink.projectors.inputs.c_former import CFormerConfig
from modalink.recipe import load
from modalink.testing.checkpoints import tiny_clip_vision, tiny_hubert, tiny_llama
from modalink.training.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    records = []
    for number in range(4):
        audio.write(audio.example(number), folder / f"{number}.wav")
        image.write(image.example(number), folder / f"{number}.png")
        question = ("<image><audio>Do they fit?", "<audio>And here: <image>?")[number % 2]
        said = [{"role": "user", "content": question}, {"role": "assistant", "content": f"answer {number}"}]
        records.append({"id": str(number), "messages": said, "images": [f"{number}.png"], "audios": [f"{number}.wav"]})
    (folder / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def recipe(folder: Path) -> Path:
    inputs: dict[str, Any] = {
        "image": {
            "encoder": {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "clip"))},
            "projector": {"kind": "mlp", "layers": 2},
        },
        "audio": {
            "encoder": {"kind": "hubert", "checkpoint": str(tiny_hubert(folder / "hubert")), "window_seconds": 0.5},
            "projector": CFormerConfig().tiny().model_dump(),
        },
    }
    stage = {
        "name": "listen_and_look",
        "train": {f"inputs.{name}.projector": {"lr": 1e-2} for name in inputs},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(folder / "data.jsonl")}],
        "batch": 4,
        "steps": 2,
        "precision": "float32",
    }
    data = {"name": "both", "inputs": inputs, "llm": {"checkpoint": str(tiny_llama(folder / "llm"))}}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(data | {"prompt": {"template": "vicuna-v1.1"}, "stages": [stage]}))
    return path


def test_it_trains_and_answers_about_both(folder: Path) -> None:
    run = folder / "run"
    train(load(recipe(folder)), run)
    lines = [json.loads(line) for line in (run / "listen_and_look" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    answer = modalink.load(run).ask(
        "Do they fit?", image=folder / "0.png", audio=audio.read(folder / "2.wav"), max_new_tokens=3
    )
    assert isinstance(answer.text, str)
