"""A question with a sound: data, two steps of training, saving, loading, an answer; bad sounds stand in the ledger."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalink
from modalink.modalities import audio
from modalink.training.train import train
from tests.support.little_recipes import ledger, metrics, read_by, recipe_of, record, write_records

NAMES = ("low", "high", "long", "short")


def _sounds(folder: Path) -> list[dict[str, Any]]:
    """Four tones and a file that is cut short, in the columns that LLaMA-Factory and Qwen2-Audio's users write."""
    for number, name in enumerate(NAMES):
        seconds, pitch = (0.4, 0.4, 2.3, 0.1)[number], (220, 880, 440, 440)[number]
        wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * 22_050)) / 22_050)
        audio.write(audio.Sound(wave.astype(np.float32), 22_050), folder / f"{name}.wav")
    (folder / "cut.wav").write_bytes((folder / "long.wav").read_bytes()[:5000])
    return [record(name, "<audio>Which tone?", name, audios=[f"{name}.wav"]) for name in (*NAMES, "cut")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    write_records(folder, _sounds(folder))
    train(recipe_of(folder, read_by(folder, "audio")), folder / "run")
    return folder


def test_it_trains_and_names_what_it_could_not_read(run: Path) -> None:
    assert len(metrics(run / "run")) == 2
    (line,) = {(line["sample"], line["reason"]) for line in ledger(run / "run")}
    assert line == ("cut", "truncated")


def test_a_loaded_run_answers_about_a_sound(run: Path) -> None:
    loaded = modalink.load(run / "run")
    for source in (run / "low.wav", audio.read(run / "long.wav")):
        answer = loaded.ask("Which tone?", audio=source, max_new_tokens=3)
        assert isinstance(answer.text, str)
