import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig

from modalink.errors import CheckpointError, PartError
from modalink.model import System, compose
from modalink.model.groups import group_of
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_llm, tiny_qwen2, tiny_t5

LINKS = {"inputs.image.projector", "llm.lora", "llm.new_tokens", "outputs.image.projector"}


def _groups(folder):
    return {group_of(name) for name in load_file(folder / "model.safetensors")}


def _same(one, other):
    state, loaded = one.model.state_dict(), other.model.state_dict()
    assert state.keys() == loaded.keys()
    assert all(torch.equal(state[name], loaded[name]) for name in state)


def test_untouched_parts_are_saved_by_reference(make_system, tmp_path):
    system = make_system(lora=True, draws=True)
    system.save(tmp_path / "saved")
    assert _groups(tmp_path / "saved") == LINKS
    references = json.loads((tmp_path / "saved/config.json").read_text())["references"]
    assert references.keys() == {"llm", "inputs.image.encoder"}
    assert len(references["llm"]["sha256"]) == 64
    _same(System.load(tmp_path / "saved"), system)


@pytest.mark.parametrize("part", ["llm", "inputs.image.encoder"])
@pytest.mark.parametrize("frozen_again", [True, False])
def test_a_trained_part_is_saved_whole(make_system, tmp_path, part, frozen_again):
    system = make_system(lora=True)
    parameters = [p for _, p in system.model.trainable_groups()[part]]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for parameter in parameters:
        parameter.requires_grad_(True)
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for parameter in parameters:
        parameter.requires_grad_(not frozen_again)
    system.save(tmp_path / "saved")
    assert part in _groups(tmp_path / "saved")
    loaded = System.load(tmp_path / "saved")
    _same(loaded, system)
    loaded.save(tmp_path / "again")
    assert part in _groups(tmp_path / "again")


def test_logits_are_the_same_after_loading(make_system, tmp_path, talk, picture):
    system = make_system(lora=True, draws=True)
    for name, parameter in system.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    system.save(tmp_path / "saved")
    loaded = System.load(tmp_path / "saved")
    question = talk(("user", ["what is ", picture(1)]))
    inputs, again = system.processor(question), loaded.processor(question)
    assert torch.equal(inputs["input_ids"], again["input_ids"])
    assert torch.equal(inputs["pixel_values"], again["pixel_values"])
    with torch.no_grad():
        assert torch.equal(system.model(**inputs).logits, loaded.model(**again).logits)
    assert loaded.processor.template == system.processor.template


def test_signal_tokens_keep_their_rows_whatever_order_the_outputs_are_told_in(make_spec, tmp_path):
    """A saved configuration tells them by the alphabet."""
    data = make_spec(draws=True).model_dump(mode="json")
    solids = {"kind": "shap_e", "checkpoint": "zoo:solid_diffusion"}
    data["outputs"] = {"points": {"signal_tokens": 1, "projector": {"kind": "mlp"}, "generator": solids}} | data[
        "outputs"
    ]
    system = compose(SystemSpec.model_validate(data))
    rows = dict(system.model.trainable_groups()["llm.new_tokens"])
    for values in rows.values():
        values.data = torch.arange(values.numel(), dtype=values.dtype).view_as(values)
    system.save(tmp_path / "saved")
    loaded = System.load(tmp_path / "saved")
    assert [*system.spec.outputs] == ["points", "image"] and [*loaded.spec.outputs] == ["image", "points"]
    for modality, ids in system.model.config.signals.items():
        read, again = (each.model.get_input_embeddings()(torch.tensor(ids)) for each in (system, loaded))
        assert torch.equal(read, again) and loaded.model.config.signals[modality] == ids
    hidden = torch.randn(3, 32)
    assert torch.equal(system.model.get_output_embeddings()(hidden), loaded.model.get_output_embeddings()(hidden))


def _bart(folder):
    sizes = {"layers": 2, "attention_heads": 4, "ffn_dim": 48}
    sides = {f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in sizes.items()}
    return tiny_llm(folder, BartConfig(d_model=32, **sides))


SHARING = {
    "one table, and a head of its own": tiny_t5,
    "one table, also the head's": lambda folder: tiny_t5(folder, own_head=False),
    "one table, also the scaled head's": lambda folder: tiny_t5(folder, own_head=False, tie_word_embeddings=True),
    "one table of other names": _bart,
    "a decoder's table and head": tiny_qwen2,
}


@pytest.mark.parametrize("llm", SHARING.values(), ids=SHARING.keys())
@pytest.mark.parametrize("whole", [False, True])
def test_weights_with_several_names_are_saved_once_and_found_under_all(make_system, tmp_path, llm, whole):
    system = make_system(llm=llm(tmp_path / "llm"), draws=True, template="plain")
    with torch.no_grad():
        for group, parameters in system.model.trainable_groups().items():
            for _, parameter in parameters if group in LINKS or (whole and group == "llm") else ():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    system.save(tmp_path / "saved")
    saved = load_file(tmp_path / "saved/model.safetensors")
    assert len([name for name in saved if name.endswith("new_rows")]) == 2  # of the table and of the head
    loaded = System.load(tmp_path / "saved")
    _same(loaded, system)
    run = torch.tensor([[5, *system.model.config.signals["image"], 7]])
    ids = torch.tensor([[6, 7, 8, 9]]) if system.model.config.is_encoder_decoder else run
    spoken = {"decoder_input_ids": run} if system.model.config.is_encoder_decoder else {}
    with torch.no_grad():
        first, again = (one.model(input_ids=ids, **spoken, return_conditions=True) for one in (system, loaded))
    assert torch.equal(first.logits, again.logits)
    tensors = again.conditions["image"].tensors
    assert all(torch.equal(own, tensors[name]) for name, own in first.conditions["image"].tensors.items())
    loaded.save(tmp_path / "again")
    assert load_file(tmp_path / "again/model.safetensors").keys() == saved.keys()


def test_large_systems_are_saved_in_shards(make_system, tmp_path):
    system = make_system(lora=True, draws=True)
    system.model.save_pretrained(tmp_path / "saved", max_shard_size="10KB")
    system.processor.save_pretrained(tmp_path / "saved")
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) > 1
    assert len({file.stat().st_mode for file in (tmp_path / "saved").iterdir()}) == 1
    _same(System.load(tmp_path / "saved"), system)


def test_a_reference_that_changed_is_refused(make_system, tmp_path):
    make_system().save(tmp_path / "saved")
    file = tmp_path / "llm/model.safetensors"
    weights = load_file(file)
    save_file({name: value + 1 for name, value in weights.items()}, file, metadata={"format": "pt"})
    with pytest.raises(PartError, match=r"^llm: .* weights of hash"):
        System.load(tmp_path / "saved")


def test_a_missing_weight_is_named(make_system, tmp_path):
    make_system().save(tmp_path / "saved")
    file = tmp_path / "saved/model.safetensors"
    weights = load_file(file)
    gone = sorted(weights)[0]
    save_file({name: value for name, value in weights.items() if name != gone}, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=gone):
        System.load(tmp_path / "saved")


def test_a_folder_without_weights_is_refused(make_system, tmp_path):
    make_system().save(tmp_path / "saved")
    (tmp_path / "saved/model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"found no model\.safetensors"):
        System.load(tmp_path / "saved")
