"""Questions about shapes and pictures beside them: data, training, a run, answers; bad shapes stand in the ledger."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image

import modalink
from modalink.modalities import points
from modalink.recipe import load
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_point_bert
from modalink.training.train import train


def _records(folder: Path) -> list[dict[str, object]]:
    """Meshes and clouds of different sizes, with pictures or without, and two that cannot be read."""
    shapes = {
        "box.glb": trimesh.Scene([trimesh.creation.box(), trimesh.creation.box().apply_translation((3, 0, 0))]),
        "ball.ply": trimesh.creation.icosphere(subdivisions=1),
        "cone.stl": trimesh.creation.cone(1, 2),
    }
    for name, shape in shapes.items():
        shape.export(folder / name)
    np.save(folder / "cloud.npy", np.random.default_rng(0).random((20, 6)))
    np.save(folder / "holes.npy", np.full((9, 3), np.nan))
    (folder / "cut.glb").write_bytes((folder / "box.glb").read_bytes()[:300])
    Image.new("RGB", (40, 30), (200, 0, 0)).save(folder / "red.png")
    records = []
    for number, name in enumerate([*shapes, "cloud.npy", "holes.npy", "cut.glb"]):
        said = name.partition(".")[0]
        asked = "<image>\n<points>\nWhich picture shows the shape?" if number % 2 else "<points>\nWhat is it?"
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        column = "points" if number % 2 else "pointclouds"
        records.append(
            {"id": said, "messages": messages, column: [name]} | ({"images": ["red.png"]} if number % 2 else {})
        )
    return records


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in _records(folder)))
    stage = {
        "name": "look",
        "train": {"inputs.points.projector": {"lr": 1e-2}, "inputs.image.projector": {"lr": 1e-2}},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(folder / "data.jsonl")}],
        "batch": 4,
        "steps": 2,
        "precision": "float32",
    }
    projector = {"kind": "mlp", "layers": 2}
    vision = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
    recipe = {
        "name": "shapes",
        "inputs": {
            "image": {"encoder": vision, "projector": projector},
            "points": {"encoder": tiny_point_bert(folder / "points")[1], "projector": projector},
        },
        "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
        "stages": [stage],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    train(load(folder / "recipe.yaml"), folder / "run")
    return folder


def test_it_trains_and_names_what_it_could_not_read(run: Path) -> None:
    assert len((run / "run" / "look" / "metrics.jsonl").read_text().splitlines()) == 2
    lines = [json.loads(line) for line in (run / "run" / "look" / "ledger.jsonl").read_text().splitlines()]
    assert {(line["sample"], line["reason"]) for line in lines} == {("holes", "not_finite"), ("cut", "truncated")}


def test_a_loaded_run_answers_about_shapes_and_pictures(run: Path) -> None:
    loaded = modalink.load(run / "run")
    picture = run / "red.png"
    for source in (
        run / "box.glb",
        run / "cloud.npy",
        points.read(run / "cone.stl"),
        np.random.default_rng(1).random((30, 3)),
    ):
        answer = loaded.ask("Which picture shows the shape?", points=source, image=picture, max_new_tokens=2)
        assert isinstance(answer.text, str)
