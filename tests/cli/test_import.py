"""`modalink import`: a run that the other commands take like any other."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from modalink.cli.main import app
from modalink.modalities import video
from modalink.model import System
from modalink.recipe import Recipe
from modalink.runs.saved_weights import find
from modalink.testing.released import tiny_llava, tiny_llava_onevision
from modalink.testing.released_blip import tiny_blip
from modalink.testing.released_idefics import tiny_idefics
from modalink.testing.released_open_flamingo import tiny_open_flamingo


@pytest.fixture
def call():
    """Run a command; its result."""
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


def test_a_checkpoint_becomes_a_run(call, tmp_path):
    source, run = tiny_llava(tmp_path / "llava"), tmp_path / "run"
    (source / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    first = call("import", source, "--run", run)
    assert first.exit_code == 0, first.output
    assert "inputs.image.encoder     vision " in first.stdout and "licence: permissive" in first.stdout
    found = json.loads(call("import", source, "--run", run, "--json").stdout)
    assert {part["id"] for part in found["parts"] if "id" in part} == {str(source)}
    assert len({part["sha256"] for part in found["parts"] if "id" in part}) == 1
    assert not list((run / "model").glob("*.safetensors"))
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    asked = call("ask", run, "What is it?", "--image", tmp_path / "a.png", "--max-new-tokens", 4, "--json")
    assert asked.exit_code == 0 and not json.loads(asked.stdout)["complete"], asked.output


@pytest.mark.parametrize(
    ("make", "media"),
    [
        (tiny_llava_onevision, ("image", "video")),
        (tiny_idefics, ("image", "image")),
        (lambda folder: tiny_blip(folder, llm="llama", video=True), ("video",)),
    ],
    ids=["llava_onevision", "idefics", "instruct_blip_video"],
)
def test_other_families_answer_too(call, tmp_path, make, media):
    source, run = make(tmp_path / "source"), tmp_path / "run"
    told = call("import", source, "--run", run)
    assert told.exit_code == 0, told.output
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    video.write(video.example(0), tmp_path / "a.mp4")
    files = {"image": tmp_path / "a.png", "video": tmp_path / "a.mp4"}
    shown = [word for medium in media for word in (f"--{medium}", files[medium])]
    asked = call("ask", run, "What is it?", *shown, "--max-new-tokens", 3, "--json")
    assert asked.exit_code == 0 and "complete" in json.loads(asked.stdout), asked.output


def test_an_imported_run_lends_all_its_weights(call, tmp_path):
    source, run = tiny_llava(tmp_path / "llava"), tmp_path / "run"
    assert call("import", source, "--run", run).exit_code == 0
    other = Recipe.model_validate(
        {**System.load(run / "model").spec.to_dict(), "name": "n", "init": {"from": str(run)}}
    )
    lent = find(other.init, lambda _: None)
    whole = System.load(run / "model").model
    assert lent.tensors().keys() == dict(whole.named_parameters()).keys()
    assert all(torch.equal(tensor, whole.get_parameter(name)) for name, tensor in lent.tensors().items())
    assert lent.lineage()["sha256"].keys() >= {"llm", "inputs.image.encoder"}


def test_what_cannot_be_imported_is_told_in_words(call, tmp_path):
    source = tiny_llava(tmp_path / "llava")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    occupied = call("import", source, "--run", tmp_path / "full")
    assert occupied.exit_code == 1 and "found 1 files (notes.txt) and no recipe.yaml" in occupied.stderr
    absent = call("import", tmp_path / "a" / "b", "--run", tmp_path / "run")
    assert absent.exit_code == 1 and "no such folder" in absent.stderr and not (tmp_path / "run").exists()
    template = call("import", source, "--run", tmp_path / "run", "--template", "vicuna")
    assert template.exit_code == 2 and "did you mean 'vicuna-v" in template.stderr


def test_what_authors_trained_becomes_a_run_beside_its_llm(call, tmp_path):
    found, run = tiny_open_flamingo(tmp_path), tmp_path / "run"
    refused = call("import", found.checkpoint, "--run", run)
    assert refused.exit_code == 1 and "say it by --llm" in refused.stderr and not run.exists()
    told = call("import", found.checkpoint, "--llm", found.llm, "--encoder", found.encoder, "--run", run)
    assert told.exit_code == 0, told.output
    assert "prompt template open-flamingo" in told.stdout and "gated_cross_attention" in told.stdout
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    asked = call("ask", run, "What is it?", "--image", tmp_path / "a.png", "--max-new-tokens", 3, "--json")
    assert asked.exit_code == 0 and "complete" in json.loads(asked.stdout), asked.output
