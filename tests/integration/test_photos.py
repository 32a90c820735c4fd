"""Real photos in LLaVA's format train through both stages, by the code that trains on the tiny world."""

import json
from pathlib import Path

import pytest
import skimage.data
import sklearn.datasets
import yaml
from PIL import Image

import modalink
from modalink.recipe import load
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_timm
from modalink.training.train import train

PHOTOS = {"astronaut.png": "a woman in a space suit", "coffee.png": "a cup of coffee", "rocket.jpg": "a rocket"}
TOWERS = {
    "clip": (lambda folder: tiny_clip_vision(folder), {"layer": -2}),
    "eva": (lambda folder: tiny_timm(folder, "eva02_tiny_patch14_224", img_size=56, depth=2), {"layer": "output"}),
    "nfnet": (lambda folder: tiny_timm(folder, "test_nfnet"), {"layer": "output"}),
}


def _photos(folder: Path) -> None:
    folder.mkdir()
    shipped = Path(skimage.data.__file__).parent
    for name in PHOTOS:
        (folder / name).write_bytes((shipped / name).read_bytes())
    for name, pixels in zip(["china.jpg", "flower.jpg"], sklearn.datasets.load_sample_images().images, strict=True):
        Image.fromarray(pixels).save(folder / name, quality=90)
    (folder / "torn.jpg").write_bytes((folder / "china.jpg").read_bytes()[:20_000])


def _llava_json(path: Path) -> None:
    captions = PHOTOS | {"china.jpg": "a temple", "flower.jpg": "a red flower", "torn.jpg": "half a temple"}
    records = [
        {
            "id": name,
            "image": name,
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is this?"},
                {"from": "gpt", "value": caption},
                {"from": "human", "value": "Thank you."},
                {"from": "gpt", "value": "You are welcome."},
            ],
        }
        for name, caption in captions.items()
    ]
    path.write_text(json.dumps(records))


def _recipe(folder: Path, tower: dict) -> Path:
    data = {"source": "llava_json", "path": str(folder / "data.json"), "media": str(folder / "photos")}
    stage = {"objectives": [{"kind": "language"}], "data": [data], "batch": 4, "schedule": "constant", "warmup": 0}
    recipe = {
        "name": "photos",
        "inputs": {"image": {"encoder": {"kind": "vision"} | tower, "projector": {"kind": "mlp", "layers": 2}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm", max_position_embeddings=1024))},
        "prompt": {"template": "vicuna-v1.1"},
        "stages": [
            {"name": "pretrain", "train": {"inputs.image.projector": {"lr": 1e-3}}, "steps": 3, **stage},
            {
                "name": "instruct",
                "train": {"inputs.image.projector": {"lr": 1e-3}, "llm": {"lr": 1e-2}},
                "steps": 8,
                **stage,
            },
        ],
    }
    path = folder / "photos.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.mark.parametrize("tower", TOWERS)
def test_both_stages_train_on_photos_and_the_run_answers(tmp_path, tower):
    make, settings = TOWERS[tower]
    _photos(tmp_path / "photos")
    _llava_json(tmp_path / "data.json")
    recipe = load(str(_recipe(tmp_path, {"checkpoint": str(make(tmp_path / "tower")), **settings})))

    run = train(recipe, tmp_path / "run")

    losses = [json.loads(line)["loss"] for line in (run / "instruct/metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 8
    assert losses[-1] < 0.8 * losses[0]
    skipped = [json.loads(line) for line in (run / "instruct/ledger.jsonl").read_text().splitlines()]
    assert {line["reason"] for line in skipped} == {"truncated"}
    assert all("torn.jpg" in line["detail"] for line in skipped)
    session = modalink.load(run)
    answer = session.ask("What is this?", image=tmp_path / "photos/coffee.png", max_new_tokens=5)
    assert answer.conversation.turns[-1].role == "assistant"
    assert {group for group, members in session.system.model.trainable_groups().items() if members} >= {"llm"}
