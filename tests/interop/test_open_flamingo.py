"""OpenFlamingo imported: what its authors trained, in an LLM and behind a tower of others.

That its logits are those of their code, `docs/tools/parity/originals/open_flamingo.py` holds.
"""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from modalink.errors import PartError
from modalink.interop.export_hf import write_hf
from modalink.interop.importing import recipe_of
from modalink.interop.options import ExportOptions
from modalink.model import System, compose
from modalink.testing.checkpoints import tiny_llama
from modalink.testing.released import tiny_llava
from modalink.testing.released_open_flamingo import pictures, tiny_open_flamingo

BLOCK = "lang_encoder.gpt_neox.layers.{}.gated_cross_attn_layer."


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return tiny_open_flamingo(tmp_path_factory.mktemp("released"))


def imported(found, **options):
    return recipe_of(str(found.checkpoint), llm=str(found.llm), encoder=str(found.encoder), **options)


def test_each_tensor_has_its_place(released):
    recipe = imported(released)
    model, held = compose(recipe).model.model, torch.load(released.checkpoint / "checkpoint.pt")
    assert recipe.name == "checkpoint" and recipe.prompt.template == "open-flamingo"
    blocks = {3: model.join.blocks[1], 1: model.join.blocks[0]}
    for layer, block in blocks.items():
        theirs = {name.removeprefix(BLOCK.format(layer)): t for name, t in held.items() if BLOCK.format(layer) in name}
        assert torch.equal(torch.cat([block.key.weight, block.value.weight]), theirs["attn.to_kv.weight"])
        assert torch.equal(block.query.weight, theirs["attn.to_q.weight"])
        assert torch.equal(block.up.weight, theirs["ff.1.weight"]) and torch.equal(
            block.down.weight, theirs["ff.3.weight"]
        )
        assert torch.equal(block.attention_gate, theirs["attn_gate"])
    table = held["lang_encoder.gpt_neox.embed_in.weight"]
    assert torch.equal(model.language_model.get_input_embeddings().weight, table)
    assert torch.equal(model.join.tokens.weight, table[-1:])
    projector = model.input_projectors["image"]
    assert torch.equal(projector.queries, held["perceiver.latents"])
    assert torch.equal(projector.layers[5].feed_forward[3].weight, held["perceiver.layers.5.1.3.weight"])
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_an_answer_ends_at_its_token_and_a_prompt_begins_as_the_tokenizer_begins(released, tmp_path):
    turns = [
        {"role": "user", "content": [{"type": "image", "image": pictures()[0]}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A cube."}]},
        {"role": "user", "content": [{"type": "image", "image": pictures()[1]}, {"type": "text", "text": "And this?"}]},
    ]
    text = "<image>Question:What? Short answer:A cube.<|endofchunk|><image>Question:And this? Short answer:"
    for found, before in ((released, ""), (tiny_open_flamingo(tmp_path, "opt"), "<s>")):
        system = compose(imported(found))
        ids = system.processor(turns)["input_ids"][0]
        assert system.processor.tokenizer.decode(ids) == before + text
        assert system.processor.template.stop == ("<|endofchunk|>",)


def test_it_is_saved_by_reference_and_trained_blocks_in_full(released, tmp_path):
    system = compose(imported(released))
    system.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("*.safetensors"))
    assert "llm.join" in json.loads((tmp_path / "saved/config.json").read_text())["references"]
    again = System.load(tmp_path / "saved")
    inputs = again.processor(text=["<image>Question:What?"], images=pictures()[:1], return_tensors="pt")
    before = system.model(**inputs).logits
    assert torch.equal(again.model(**inputs).logits, before)
    with torch.no_grad():
        system.model.model.join.blocks[0].out.weight.add_(1.0)
    system.save(tmp_path / "trained")
    assert all(name.startswith("model.join.") for name in load_file(tmp_path / "trained/model.safetensors"))
    after = System.load(tmp_path / "trained").model(**inputs).logits
    assert torch.equal(after, system.model(**inputs).logits) and not torch.equal(after, before)


def test_what_the_authors_trainer_saves_is_read_too(tmp_path):
    """Beside the state of its optimizer, and under the names of a model that was trained by several processes."""
    found = tiny_open_flamingo(tmp_path)
    file = found.checkpoint / "checkpoint.pt"
    held = torch.load(file)
    torch.save({"epoch": 3, "model_state_dict": {f"module.{name}": t for name, t in held.items()}}, file)
    model = compose(imported(found)).model.model
    assert torch.equal(model.input_projectors["image"].queries, held["perceiver.latents"])
    assert torch.equal(model.join.blocks[1].up.weight, held[f"{BLOCK.format(3)}ff.1.weight"])
    table = held["lang_encoder.gpt_neox.embed_in.weight"]
    assert torch.equal(model.language_model.get_input_embeddings().weight, table)


def test_self_contained_it_goes_anywhere(tmp_path):
    found = tiny_open_flamingo(tmp_path / "released")
    system = compose(imported(found))
    inputs = system.processor(text=["<image>Question:What?"], images=pictures()[:1], return_tensors="pt")
    (tmp_path / "out").mkdir()
    write_hf(system, tmp_path / "out", ExportOptions(self_contained=True))
    shutil.rmtree(tmp_path / "released")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    again = System.load(tmp_path / "elsewhere")
    assert torch.equal(again.model(**inputs).logits, system.model(**inputs).logits)
    assert len(list((tmp_path / "elsewhere/parts").iterdir())) == 3


def test_gradients_reach_exactly_what_its_authors_trained(released):
    system = compose(imported(released))
    model, trained = system.model, ("model.join.", "model.input_projectors.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    text = ["No picture.<image>Question:What?"]
    inputs = system.processor(text=text, images=pictures()[:1], return_tensors="pt")
    model(**inputs).logits.square().sum().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached == {name for name, _ in model.named_parameters() if name.startswith(trained)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"perceiver.frame_embs": torch.ones(3, 24)}, r"1 of its weights have no place here \(perceiver.frame_embs\)"),
        (
            {"lang_encoder.gpt_neox.layers.0.decoder_layer.mlp.dense_h_to_4h.bias": torch.ones(64)},
            r"no place here \(lang_encoder.gpt_neox.layers.0.decoder_layer.* form of OpenFlamingo cannot be imported",
        ),
        (
            {f"{BLOCK.format(2)}ff_gate": torch.ones(1)},
            r"found gated blocks before the layers 1, 2, 3, needed one before every 2th of the 4 layers",
        ),
        (
            {"lang_encoder.gpt_neox.embed_in.weight": torch.ones(390, 32)},
            r"found embeddings of 390 tokens, needed 386, those of .*gpt_neox and <\|endofchunk\|>, <image>",
        ),
        ({"perceiver.latents": None}, r"found no shapes of \(\?:module.\)\?perceiver.latents, needed one"),
    ],
)
def test_other_forms_are_refused(tmp_path, changes, says):
    with pytest.raises(PartError, match=says):
        imported(tiny_open_flamingo(tmp_path, **changes))


def test_what_lacks_a_weight_is_refused_when_it_is_built(tmp_path):
    found = tiny_open_flamingo(tmp_path, **{f"{BLOCK.format(3)}ff.1.weight": None})
    with pytest.raises(
        PartError, match=r"the join: the checkpoint lacks parameters that are needed: blocks.1.up.weight"
    ):
        compose(imported(found))


def test_the_llm_must_be_the_one_that_it_was_trained_in(released, tmp_path):
    with pytest.raises(PartError, match=r"found an OpenFlamingo, which holds no LLM, needed the one .* by --llm"):
        recipe_of(str(released.checkpoint), encoder=str(released.encoder))
    with pytest.raises(PartError, match=r"found embeddings of 386 tokens, needed \d+, those of zoo:llm"):
        recipe_of(str(released.checkpoint), llm="zoo:llm", encoder=str(released.encoder))
    with pytest.raises(PartError, match="absent: no such folder"):
        recipe_of(str(released.checkpoint), llm=str(tmp_path / "absent"))
    with pytest.raises(PartError, match=r"MosaicGPT.*no class; take OpenFlamingo-4B-vitl-rpj3b or -9B-vitl-mpt7b"):
        recipe_of(str(released.checkpoint), llm="anas-awadalla/mpt-1b-redpajama-200b-dolly")


def test_a_whole_checkpoint_needs_no_other_llm(tmp_path):
    with pytest.raises(PartError, match="found 'zoo:llm' for a part of it, and it holds all its parts; leave that out"):
        recipe_of(str(tiny_llava(tmp_path / "llava")), llm="zoo:llm")


def test_a_file_is_refused_for_its_folder(released):
    with pytest.raises(PartError, match=r"checkpoint.pt: found a file, needed the folder that holds it"):
        recipe_of(str(released.checkpoint / "checkpoint.pt"), llm=str(released.llm))


def test_weights_of_no_known_system_are_named(tmp_path):
    folder = tiny_llama(tmp_path / "llm")
    (folder / "config.json").unlink()
    with pytest.raises(
        PartError, match=r"found no config.json .* weights named as lm_head.weight.* or one of OpenFlamingo"
    ):
        recipe_of(str(folder))
