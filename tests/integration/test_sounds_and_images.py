"""One question about a picture and a sound: a recipe with two encoders, data, two steps of training, an answer."""

from pathlib import Path

import pytest

import modalink
from modalink.modalities import audio, image
from modalink.projectors.inputs.c_former import CFormerConfig
from modalink.recipe import Recipe
from modalink.testing.checkpoints import tiny_hubert
from modalink.training.train import train
from tests.support.little_recipes import metrics, read_by, recipe_of, record, write_records


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    records = []
    for number in range(4):
        audio.write(audio.example(number), folder / f"{number}.wav")
        image.write(image.example(number), folder / f"{number}.png")
        question = ("<image><audio>Do they fit?", "<audio>And here: <image>?")[number % 2]
        media = {"images": [f"{number}.png"], "audios": [f"{number}.wav"]}
        records.append(record(str(number), question, f"answer {number}", **media))
    write_records(folder, records)
    return folder


def recipe(folder: Path) -> Recipe:
    hubert = {"kind": "hubert", "checkpoint": str(tiny_hubert(folder / "hubert")), "window_seconds": 0.5}
    audio = {"encoder": hubert, "projector": CFormerConfig().tiny().model_dump()}
    return recipe_of(folder, {**read_by(folder, "image"), "audio": audio})


def test_it_trains_and_answers_about_both(folder: Path) -> None:
    run = folder / "run"
    train(recipe(folder), run)
    assert len(metrics(run)) == 2
    answer = modalink.load(run).ask(
        "Do they fit?", image=folder / "0.png", audio=audio.read(folder / "2.wav"), max_new_tokens=3
    )
    assert isinstance(answer.text, str)
