"""LLMs of 4 and 8 bits: what is refused, and what they take; and, where bitsandbytes is, what they say and learn."""

import numpy as np
import pytest
import torch
from PIL import Image

import modalink
from modalink.errors import MissingExtraError, PartError
from modalink.interop.export import export
from modalink.llms import bytes_of, weights_in
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.model import compose
from modalink.planning.doctor import examine
from modalink.recipe import Recipe
from modalink.recipe.tiny import tiny_form
from modalink.testing.checkpoints import tiny_llama
from modalink.training.events import StepDone
from modalink.training.train import train
from tests.support.little_recipes import metrics, read_by, recipe_of, record, write_records

LORA = {"rank": 2, "alpha": 4}
KINDS = ["nf4", "int8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path / "a.png")
    write_records(path, [record(str(n), "<image>What is it?", "a cube", images=["a.png"]) for n in range(4)])
    tiny_llama(path / "llm")
    return path


def plain(folder, kind, **stage):
    data = recipe_of(folder, read_by(folder, "image"), batch=2, steps=4, checkpoint_every=2, **stage).to_dict()
    data["llm"] |= {"quantize": kind, "lora": LORA}
    data["stages"][0]["train"]["llm.lora"] = {"lr": 1e-2}
    return data


def test_without_the_package_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr("modalink.llms._quantized.find_spec", lambda name: None)
    config = PretrainedLlmConfig(checkpoint=str(folder / "llm"), quantize="nf4")
    with pytest.raises(MissingExtraError, match=r"llm.quantize: nf4 needs .*'bitsandbytes'.*modalink\[quantize\]"):
        config.build()
    assert weights_in(next(config.build(weights=False).parameters())) > 0


def test_rounded_weights_cannot_learn_and_the_error_says_what_can(folder):
    data = plain(folder, "nf4")
    data["stages"][0]["train"]["llm"] = {"lr": 1e-4}
    with pytest.raises(ValueError, match=r"rounded to nf4, and only what stands beside it learns: train llm.lora, or"):
        Recipe.model_validate(data)
    with pytest.raises(ValueError, match="found quantize and delta"):
        PretrainedLlmConfig(checkpoint=str(folder / "llm"), delta=str(folder / "llm"), quantize="nf4")
    with pytest.raises(ValueError, match="quantize"):
        PretrainedLlmConfig(checkpoint=str(folder / "llm"), quantize="int4")


def test_the_tiny_form_is_whole(folder):
    tiny = Recipe.model_validate(tiny_form(Recipe.model_validate(plain(folder, "nf4"))))
    assert tiny.llm.quantised is None


def test_what_it_takes_is_known_without_weights_and_without_the_package(folder):
    """Of LLaMA's layers all but the table and the head are rounded; norms stay."""
    config = PretrainedLlmConfig(checkpoint=str(folder / "llm"), quantize="nf4")
    with torch.device("meta"):
        llm = config.build(weights=False)
    linear = sum(p.numel() for n, p in llm.named_parameters() if "_proj" in n)
    rest = sum(p.numel() for p in llm.parameters()) - linear
    assert bytes_of(llm, None, torch.bfloat16) == 2 * (linear + rest)
    assert bytes_of(llm, "int8", torch.bfloat16) == linear + 2 * rest
    assert bytes_of(llm, "nf4", torch.bfloat16) == pytest.approx(linear * (4 + 8 / 64 + 32 / 64 / 256) / 8 + 2 * rest)


def test_the_doctor_says_what_it_takes(folder, monkeypatch):
    monkeypatch.setattr("modalink.llms._quantized.find_spec", lambda name: None)
    findings = {finding.topic: finding for finding in examine(Recipe.model_validate(plain(folder, "nf4")))}
    assert "pip install 'modalink[quantize]'" in findings["weights"].lines[0]
    assert any("as nf4, in the place of" in line for line in findings["parts"].lines)


class Killed(Exception):
    """Nothing in training knows it, so nothing is saved."""


def test_of_four_bits_it_says_what_the_dequantised_one_says(folder):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    ids = torch.arange(5, 25)[None]
    rounded = PretrainedLlmConfig(checkpoint=str(folder / "llm"), quantize="nf4").build()
    whole = PretrainedLlmConfig(checkpoint=str(folder / "llm"), dtype="float32").build()
    changed = 0
    with torch.no_grad():
        for name, parameter in rounded.named_parameters():
            if (state := getattr(parameter, "quant_state", None)) is not None:
                own = whole.get_parameter(name)
                own.copy_(bitsandbytes.functional.dequantize_4bit(parameter, state))
                changed += 1
        assert changed == 14
        expected, found = (llm(ids).logits.float() for llm in (whole, rounded))
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_of_eight_bits_it_says_nearly_what_the_whole_one_says(folder):
    """States are rounded, too, so that nothing can be compared exactly."""
    pytest.importorskip("bitsandbytes")
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        whole, rounded = (
            PretrainedLlmConfig(checkpoint=str(folder / "llm"), quantize=kind).build()(ids).logits
            for kind in (None, "int8")
        )
    assert 1e-4 < (rounded - whole).norm() / whole.norm() < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_learns_beside_it_is_saved_by_reference_and_resumes_to_the_bit(folder, kind, tmp_path):
    """It is evaluated in between, after which weights must still let gradients through."""
    pytest.importorskip("bitsandbytes")
    data = plain(folder, kind)
    data["stages"][0]["evaluate"] = {"every": 1, "data": data["stages"][0]["data"], "samples": 2}
    recipe = Recipe.model_validate(data)
    first = compose(recipe, seed=recipe.seed).model
    run = train(recipe, tmp_path / "run")
    loaded = modalink.load(run)
    model = loaded.system.model
    assert "llm" in model.config.references
    learned = dict(model.trainable_groups()["llm.lora"])
    starts = first.trainable_groups()["llm.lora"]
    assert [name for name, start in starts if torch.equal(start, learned[name])] == []
    assert isinstance(loaded.ask("What is it?", image=folder / "a.png", max_new_tokens=2).text, str)
    whole = compose(Recipe.model_validate(plain(folder, None))).model
    counts = [sum(map(weights_in, (p for _, p in m.trainable_groups()["llm"]))) for m in (whole, model)]
    assert counts[0] == counts[1]

    def kill(event):
        if isinstance(event, StepDone) and event.step == 3:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, tmp_path / "broken", on_event=kill)
    broken = train(recipe, tmp_path / "broken")
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (run, broken)]
    assert weights[0] == weights[1]
    numbers = [[line["losses"] for line in metrics(folder) if "losses" in line] for folder in (run, broken)]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 4
    with pytest.raises(PartError, match=r"llm.quantize: found an LLM that is rounded"):
        export(run, tmp_path / "out")
    with pytest.raises(PartError, match="the weights of LlamaForCausalLM are rounded"):
        modalink.adapters.merge_adapters(model.language_model)


def test_a_join_that_copies_layers_refuses_rounded_ones(folder):
    pytest.importorskip("bitsandbytes")
    data = plain(folder, "nf4")
    data["llm"]["join"] = "visual_expert"
    with pytest.raises(PartError, match="visual_expert learns in copies of the LLM's layers, and rounded ones cannot"):
        compose(Recipe.model_validate(data))
