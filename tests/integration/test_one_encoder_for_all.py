"""One ImageBind reads pictures, videos and sounds, each through a linear projector (PandaGPT, NExT-GPT)."""

from pathlib import Path
from typing import Any

import pytest
import torch

import modalink
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.modalities import audio, image, video
from modalink.model import compose
from modalink.recipe import Recipe
from modalink.testing.checkpoints import tiny_imagebind
from modalink.training.frozen import FrozenEncoders
from modalink.training.train import train
from tests.support.little_recipes import metrics, recipe_of, record, write_records

MEDIA = {"image": (image, ".png"), "video": (video, ".mkv"), "audio": (audio, ".wav")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all")
    records = []
    for number in range(4):
        columns = {}
        for name, (modality, suffix) in MEDIA.items():
            modality.write(modality.example(number), folder / f"{name}{number}{suffix}")
            columns[f"{name}s"] = [f"{name}{number}{suffix}"]
        asked = ("<image><video><audio>Do they fit?", "<audio>And here: <image>, <video>?")[number % 2]
        records.append(record(str(number), asked, f"answer {number}", **columns))
    write_records(folder, records)
    return folder


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Recipe:
    encoder = {"kind": "imagebind", "checkpoint": str(tiny_imagebind(folder / "imagebind")), "video_clips": 2}
    inputs: dict[str, Any] = {"image": {"encoder": encoder}, "video": {"use": "image"}, "audio": {"use": "image"}}
    for chosen in inputs.values():
        chosen["projector"] = {"kind": "linear"}
    return recipe_of(folder, inputs)


def test_it_trains_and_answers_about_all_three(recipe: Recipe, folder: Path) -> None:
    train(recipe, folder / "run")
    assert len(metrics(folder / "run")) == 2
    media = {name: folder / f"{name}0{suffix}" for name, (_, suffix) in MEDIA.items()}
    answer = modalink.load(folder / "run").ask("Do they fit?", **media, max_new_tokens=3)
    assert isinstance(answer.text, str)


def test_each_medium_is_one_prompt_token_and_the_weights_are_held_once(recipe: Recipe) -> None:
    system = compose(recipe)
    model = system.model.model
    assert set(model.encoders) == {"image"} and set(model.encoders["image"].towers) == {"vision", "audio"}
    assert model.encoder("video").towers["vision"] is model.encoder("image").towers["vision"]
    talk = [{"type": name, name: module.example(0)} for name, (module, _) in MEDIA.items()]
    inputs = system.processor([{"role": "user", "content": talk}])
    ids = inputs["input_ids"][0].tolist()
    assert [ids.count(token) for token in system.processor.tokens.placeholders.values()] == [1, 1, 1]


def test_features_are_kept_by_modality_and_of_its_own_tower_alone(recipe: Recipe) -> None:
    system = compose(recipe)
    once = Once(FeatureCache(), torch.float32, torch.device("cpu"))
    before = FrozenEncoders(system, [], once).keys
    with torch.no_grad():
        system.model.model.encoders["image"].towers["audio"].positions.add_(1)
    after = FrozenEncoders(system, [], once).keys
    assert len({*before.values()}) == 3
    assert [before[name] == after[name] for name in MEDIA] == [True, True, False]
