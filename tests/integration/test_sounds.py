"""A question with a sound: data, two steps of training, saving, loading, an answer; bad sounds stand in the ledger."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import modalink
from modalink.modalities import audio
from modalink.recipe import load
from modalink.testing.checkpoints import tiny_llama, tiny_whisper
from modalink.training.train import train

NAMES = ("low", "high", "long", "short")


def _sounds(folder: Path) -> None:
    """Four tones and a file that is cut short, in the columns that LLaMA-Factory and Qwen2-Audio's users write."""
    records = []
    for number, name in enumerate(NAMES):
        seconds, pitch = (0.4, 0.4, 2.3, 0.1)[number], (220, 880, 440, 440)[number]
        wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * 22_050)) / 22_050)
        audio.write(audio.Sound(wave.astype(np.float32), 22_050), folder / f"{name}.wav")
        said = [{"role": "user", "content": "<audio>Which tone?"}, {"role": "assistant", "content": name}]
        records.append({"id": name, "messages": said, "audios": [f"{name}.wav"]})
    (folder / "cut.wav").write_bytes((folder / "long.wav").read_bytes()[:5000])
    records.append({**records[0], "id": "cut", "audios": ["cut.wav"]})
    (folder / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    _sounds(folder)
    stage = {
        "name": "listen",
        "train": {"inputs.audio.projector": {"lr": 1e-2}},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(folder / "data.jsonl")}],
        "batch": 4,
        "steps": 2,
        "precision": "float32",
    }
    encoder = {"kind": "whisper", "checkpoint": str(tiny_whisper(folder / "whisper"))}
    recipe = {
        "name": "sounds",
        "inputs": {"audio": {"encoder": encoder, "projector": {"kind": "mlp", "layers": 2}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
        "stages": [stage],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    train(load(folder / "recipe.yaml"), folder / "run")
    return folder


def test_it_trains_and_names_what_it_could_not_read(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "run" / "listen" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    ledger = (run / "run" / "listen" / "ledger.jsonl").read_text()
    assert '"truncated"' in ledger and "cut.wav" in ledger


def test_a_loaded_run_answers_about_a_sound(run: Path) -> None:
    loaded = modalink.load(run / "run")
    for source in (run / "low.wav", audio.read(run / "long.wav")):
        answer = loaded.ask("Which tone?", audio=source, max_new_tokens=3)
        assert isinstance(answer.text, str)
