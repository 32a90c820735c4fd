"""Every example does what it says, with tiny parts and a few steps."""

import configparser
import importlib
import io
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import modalink
from modalink import kinds, modalities
from modalink.data.source import Stream
from modalink.testing import check_input_projector, check_modality

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO = {"llm": {"checkpoint": "zoo:llm"}, "prompt": {"template": "chatml", "system": ""}}
VISION = {"kind": "vision", "checkpoint": "zoo:vision", "layer": -1}


@pytest.fixture
def example(monkeypatch):
    """An example by name, imported."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


@pytest.fixture
def installed(example, tmp_path, monkeypatch):
    """The examples' entry points, as `pip install -e examples` brings them."""
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "site" / "modalink_examples-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = configparser.ConfigParser(delimiters="=")
    points.read_dict(project["entry-points"])
    with (info / "entry_points.txt").open("w") as file:
        points.write(file)
    monkeypatch.syspath_prepend(info.parent)
    _forget()
    yield example
    monkeypatch.undo()
    _forget()


def _forget():
    for cached in (kinds.kinds, kinds.config_class, modalities.get, modalities.records):
        cached.cache_clear()


def _recipe(modality, part, data, **stage):
    groups = {f"inputs.{modality}.projector": {"lr": 3e-3}}
    learned = {"name": "pretrain", "train": groups, "objectives": [{"kind": "language"}], "data": [data]}
    stages = [learned | {"batch": 2, "steps": 2, "precision": "float32"} | stage]
    return modalink.Recipe.model_validate({"name": "example", "inputs": {modality: part}, "stages": stages, **DEMO})


def test_train_from_python(example, tmp_path, capsys):
    answer = example("train_from_python").main(tmp_path / "run", steps=10, batch=2)
    assert "pretrain, step 10 of 10: loss " in capsys.readouterr().out
    assert answer.conversation.turns[-1].text == answer.text


def test_own_loop(example):
    losses = example("own_loop").main(steps=6, batch=4)
    assert losses[-1] < losses[0]


def test_own_projector(installed, tmp_path):
    check_input_projector(installed("own_projector").PooledConfig(tokens=4))
    part = {"encoder": VISION, "projector": {"kind": "pooled", "tokens": 4}}
    recipe = _recipe("image", part, {"source": "tiny_world", "count": 8, "tasks": ["caption"]})
    session = modalink.load(modalink.train(recipe, tmp_path / "run"))
    inputs = session.system.processor([{"role": "user", "content": [{"type": "image", "image": _picture()}]}])
    assert (inputs["input_ids"] == session.system.processor.image_token_id).sum() == 4
    assert session.ask("what do you see?", image=_picture()).text is not None


def test_own_modality(installed, tmp_path):
    check_modality(installed("own_modality").RECORD)
    for number, (length, speed) in enumerate([(100, 9), (70, 2), (10, 9), (200, 2)]):
        np.save(tmp_path / f"{number}.npy", np.sin(np.arange(length) / speed).astype(np.float32))
        (tmp_path / f"{number}.txt").write_text("small" if speed == 2 else "large")
    part = {"encoder": {"kind": "spectrum"}, "projector": {"kind": "mlp"}}
    recipe = _recipe("series", part, {"source": "pairs", "path": str(tmp_path), "modality": "series"}, batch=4)
    session = modalink.load(modalink.train(recipe, tmp_path / "run"))
    counts = [session.system.processor.prompt_layout("series", layout).tokens for layout in _layouts(session, 70, 100)]
    assert counts == [3, 4]
    session.ask("How does the series move?", series=np.zeros(64, np.float32), max_new_tokens=2)


def _layouts(session, *lengths):
    reader, record = session.system.processor.readers["series"], modalities.get("series")
    return [reader.layout(record.open(np.zeros(length, np.float32))) for length in lengths]


def test_own_source(installed, tmp_path):
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE photos (picture BLOB, caption TEXT)")
        for caption in ("a red circle", None, "a blue star"):
            encoded = io.BytesIO()
            _picture().save(encoded, "PNG")
            database.execute("INSERT INTO photos VALUES (?, ?)", (encoded.getvalue(), caption))
        database.commit()
    source = kinds.parse("modalink.data.sources", {"source": "sqlite", "path": str(path)}, key="source").open()
    assert len(source) == 3 and not isinstance(source, Stream)
    assert source[2].turns[1].text == "a blue star"
    part = {"encoder": VISION, "projector": {"kind": "linear"}}
    run = modalink.train(_recipe("image", part, {"source": "sqlite", "path": str(path)}), tmp_path / "run")
    assert '"no_caption"' in (run / "pretrain" / "ledger.jsonl").read_text()


def test_own_source_without_its_table(installed, tmp_path):
    config = installed("own_source").SqliteConfig(path=str(tmp_path / "absent.db"))
    with pytest.raises(modalink.ModalinkError, match="found no table photos"):
        config.open()


def test_evaluate_and_compare(example, tmp_path, capsys):
    report = example("evaluate_and_compare").main(tmp_path, steps=2, batch=2, count=6)
    assert report.count == 6 and report.comparison is not None
    assert "difference " in capsys.readouterr().out


def _picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
