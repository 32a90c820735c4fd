"""Questions about shapes and pictures beside them: data, training, a run, answers; bad shapes stand in the ledger."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

import modalink
from modalink.modalities import points
from modalink.training.train import train
from tests.support.little_recipes import Block, ledger, metrics, read_by, recipe_of, record, write_records


def _records(folder: Path) -> list[Block]:
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
        if number % 2:
            asked, media = (
                "<image>\n<points>\nWhich picture shows the shape?",
                {"points": [name], "images": ["red.png"]},
            )
        else:
            asked, media = "<points>\nWhat is it?", {"pointclouds": [name]}
        records.append(record(said, asked, said, **media))
    return records


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_records(folder, _records(folder))
    train(recipe_of(folder, read_by(folder, "image", "points")), folder / "run")
    return folder


def test_it_trains_and_names_what_it_could_not_read(run: Path) -> None:
    assert len(metrics(run / "run")) == 2
    found = {(line["sample"], line["reason"]) for line in ledger(run / "run")}
    assert found == {("holes", "not_finite"), ("cut", "truncated")}


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
