"""IDEFICS by transformers and imported: blocks between LLaMA's layers, rows beside its table, images outside the text."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.idefics.modeling_idefics import IdeficsRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from modalink.errors import PartError
from modalink.interop.importing import family_of, read_source, recipe_of
from modalink.model import System
from modalink.testing.released_idefics import tiny_idefics


def normed(norm, states):
    """RMSNorm in the precision of what comes in."""
    return norm.weight * states * torch.rsqrt(states.square().mean(-1, keepdim=True) + norm.variance_epsilon)


@pytest.fixture(autouse=True)
def exact_norms(monkeypatch):
    """Both classes compute in float32, in different orders; in float64 they are the same, and so must be all else."""
    for kind in (IdeficsRMSNorm, LlamaRMSNorm):
        monkeypatch.setattr(kind, "forward", normed)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"resampler": False, "cross_layer_interval": 2},
        {"qk_layer_norms": True, "alpha_type": "vector", "rms_norm_eps": 1e-5, "tie_word_embeddings": True},
    ],
    ids=str,
)
def test_inputs_logits_and_words_are_those_of_transformers(tmp_path, pair, pictures, settings):
    both = pair(tiny_idefics(tmp_path, **settings))
    theirs, ours = both.inputs(["User:<image>What is it?\nAssistant:"], images=[pictures[1:2]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert torch.equal(theirs["pixel_values"][0], ours["pixel_values"])
    assert both.difference(theirs, ours) <= 1e-9
    texts = ["No picture yet.<image>And then one.", "User:<image>This.\nAssistant: A cube.\nUser:<image>Which?"]
    theirs, ours = both.inputs(texts, images=[pictures[:1], pictures[1:]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert both.difference(theirs, ours) <= 1e-9
    found, needed = both.generated(theirs, ours)
    assert found == needed and found[0] != found[1]


def test_text_alone_passes_the_blocks(tmp_path, pair):
    both = pair(tiny_idefics(tmp_path))
    theirs, ours = both.inputs(["No picture at all."])
    assert torch.equal(theirs["input_ids"], ours["input_ids"]) and both.difference(theirs, ours) <= 1e-9


def test_each_weight_is_theirs(tmp_path, pair):
    both = pair(tiny_idefics(tmp_path))
    source = read_source(str(tmp_path))
    names, theirs, ours = family_of(source).names(source), both.native.state_dict(), both.system.model.state_dict()
    assert {names.here(name) for name in theirs} | names.rows.keys() == ours.keys()
    assert all(torch.equal(tensor, names.value(name, theirs)) for name, tensor in ours.items())
    assert torch.equal(ours["model.join.tokens.weight"], ours["model.language_model.model.embed_tokens.weight"][-1:])


def test_it_is_saved_by_reference_and_trained_blocks_in_full(tmp_path, pair, pictures):
    both = pair(tiny_idefics(tmp_path / "source"))
    model = both.system.model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    both.system.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("*.safetensors"))
    assert "llm.join" in json.loads((tmp_path / "saved/config.json").read_text())["references"]
    again = System.load(tmp_path / "saved")
    inputs = again.processor(text=["User:<image>What?"], images=pictures[:1], return_tensors="pt")
    assert torch.equal(again.model(**inputs).logits, model(**inputs).logits)
    with torch.no_grad():
        model.model.join.blocks[0].out.weight.add_(1.0)
    both.system.save(tmp_path / "trained")
    held = load_file(tmp_path / "trained/model.safetensors")
    assert held and all(name.startswith("model.join.") for name in held)
    assert torch.equal(System.load(tmp_path / "trained").model(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"additional_vocab_size": 0}, "found additional_vocab_size 0 .*needed <fake_token_around_image> and <image>"),
        ({"hidden_act": "relu"}, "found hidden_act 'relu' .*needed 'silu' or 'gelu'"),
    ],
)
def test_forms_without_parts_here_are_refused(tmp_path, settings, says):
    with pytest.raises(PartError, match=says):
        recipe_of(str(tiny_idefics(tmp_path, **settings)))
