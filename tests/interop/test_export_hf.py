"""Runs as their own artefact: with parts by reference, or all in one folder."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from modalink.errors import CheckpointError
from modalink.interop.export import export
from modalink.interop.options import ExportOptions
from modalink.modalities.image import example
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama

CHAT = [{"role": "user", "content": [{"type": "image", "image": example(1)}, {"type": "text", "text": "what?"}]}]


@pytest.fixture
def run(tmp_path):
    """A saved system."""
    tiny_clip_vision(tmp_path / "parts/clip")
    tiny_llama(tmp_path / "parts/llm")
    spec = SystemSpec.model_validate(
        {
            "inputs": {
                "image": {
                    "encoder": {"kind": "vision", "checkpoint": str(tmp_path / "parts/clip")},
                    "projector": {"kind": "mlp"},
                }
            },
            "llm": {"checkpoint": str(tmp_path / "parts/llm"), "lora": {"rank": 2, "alpha": 4}},
            "prompt": {"template": "vicuna-v1.1"},
        }
    )
    compose(spec).save(tmp_path / "run/model")
    return tmp_path / "run"


@torch.no_grad()
def logits(folder):
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    return model(**processor(CHAT)).logits


def test_with_references_it_is_small_and_needs_its_parts(run, tmp_path):
    wanted = logits(run / "model")
    export(run, tmp_path / "out", to="hf")
    assert torch.equal(logits(tmp_path / "out"), wanted)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["references"]["llm"]["id"] == str(tmp_path / "parts/llm")
    assert not (tmp_path / "out/parts").exists()


def test_self_contained_it_goes_anywhere(run, tmp_path):
    wanted = logits(run / "model")
    export(run, tmp_path / "out", to="hf", options=ExportOptions(self_contained=True))
    shutil.rmtree(tmp_path / "parts")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    assert torch.equal(logits(tmp_path / "elsewhere"), wanted)
    assert str(tmp_path) not in (tmp_path / "elsewhere/config.json").read_text()
    again = System.load(tmp_path / "elsewhere")
    again.save(tmp_path / "again")  # beside it: its parts are still there
    assert torch.equal(logits(tmp_path / "again"), wanted)


def test_a_place_outside_the_folder_is_refused(run, tmp_path):
    export(run, tmp_path / "out", to="hf", options=ExportOptions(self_contained=True))
    path = tmp_path / "out/config.json"
    path.write_text(path.read_text().replace("here:parts/llm", "here:../parts/llm"))
    with pytest.raises(CheckpointError, match="needed the name of a file in it"):
        System.load(tmp_path / "out")
