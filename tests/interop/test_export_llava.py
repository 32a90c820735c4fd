"""Runs as LLaVA: what transformers alone makes of the folder is what the run says."""

import json
import subprocess
import sys

import pytest
import torch
from peft import PeftModel
from PIL import Image
from tokenizers import pre_tokenizers
from transformers import AutoModelForImageTextToText, AutoProcessor

from modalink.errors import CheckpointError, OptionError, PartError, PromptError
from modalink.inference import Session
from modalink.interop import _proof
from modalink.interop.export import export
from modalink.interop.options import ExportOptions
from modalink.modalities.image import example
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import (
    tiny_clip_vision,
    tiny_llama,
    tiny_opt,
    tiny_qwen2,
    tiny_siglip_vision,
    tiny_t5,
)
from modalink.testing.tokenizers import tiny_tokenizer

WIDE, ROUND = example(3), Image.new("L", (31, 32), 90)


def user(*content):
    return {"role": "user", "content": [_block(piece) for piece in content]}


def _block(piece):
    return {"type": "text", "text": piece} if isinstance(piece, str) else {"type": "image", "image": piece}


TALK = [
    user(WIDE, "What is in the image?"),
    {"role": "assistant", "content": [_block("a red cube")]},
    user("Between", ROUND, "and", WIDE, "which is left?"),
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    tiny_clip_vision(folder / "clip")
    tiny_siglip_vision(folder / "siglip")
    tiny_llama(folder / "llama")
    return folder


@pytest.fixture
def parts(checkpoints, tmp_path):
    for path in checkpoints.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def spec_of(parts, *, encoder=None, projector=None, llm=None, template="vicuna-v1.1", prompt=None, **image):
    return SystemSpec.model_validate(
        {
            "inputs": {
                "image": {
                    "encoder": {"kind": "vision", "checkpoint": str(parts / "clip")} | (encoder or {}),
                    "projector": {"kind": "mlp"} | (projector or {}),
                    **image,
                }
            },
            "llm": {"checkpoint": str(parts / "llama")} | (llm or {}),
            "prompt": {"template": template} | (prompt or {}),
        }
    )


def saved(spec, folder):
    """A system with nothing at its start value, and where it lies."""
    system = compose(spec)
    for name, parameter in system.model.named_parameters():
        if "lora_B" in name or "new_rows" in name:
            parameter.data.normal_()
    system.save(folder / "model")
    return system


class Theirs:
    """What transformers alone makes of a folder."""

    def __init__(self, folder, *, adapter=False):
        model = AutoModelForImageTextToText.from_pretrained(folder).eval()
        self.processor = AutoProcessor.from_pretrained(folder, backend="pil")
        self.model = PeftModel.from_pretrained(model, folder / "adapter") if adapter else model

    def inputs(self, messages):
        return self.processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )

    @torch.no_grad()
    def logits(self, messages):
        return self.model(**self.inputs(messages)).logits

    def answer(self, messages):
        inputs = self.inputs(messages)
        ids = self.model.generate(**inputs, max_new_tokens=8, do_sample=False)
        return self.processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


@torch.no_grad()
def ours(system: System, messages):
    inputs = system.processor(messages)
    return inputs, system.model(**inputs).logits


def assert_equal(system, folder, *, adapter=False):
    theirs = Theirs(folder, adapter=adapter)
    for messages in (TALK, TALK[:1], [user("no picture")]):
        given, logits = ours(system, messages)
        assert theirs.inputs(messages)["input_ids"].tolist() == given["input_ids"].tolist()
        found = theirs.logits(messages)
        assert (found[..., : logits.shape[-1]] - logits).abs().max() <= 1e-5 * max(1, logits.abs().max())
        # Rows that the run has not are never the likeliest.
        assert (found.argmax(-1) < logits.shape[-1]).all()
    # A session leaves out the bytes of a character that is not complete.
    answer = theirs.answer(TALK).rstrip("\ufffd").strip()
    assert answer == Session(system).chat(TALK, max_new_tokens=8).text.strip()


UNCHECKED = ExportOptions(check=False)
SYSTEMS = {
    "as LLaVA-1.5": {"encoder": {"pad_to_square": True}},
    "with the class token": {"encoder": {"keep_cls": True, "layer": 1}},
    "SigLIP": {"encoder": {"checkpoint": "siglip", "layer": -1}, "projector": {"activation": "silu"}},
    "CLIP's output": {"encoder": {"layer": "output"}},
    "two layers": {"encoder": {"layer": [-2, 1]}},
    "one map": {"projector": {"kind": "linear"}, "template": "vicuna-v0"},
    "an MLP of one layer": {"projector": {"layers": 1}, "template": "plain"},
    "words around images": {"template": "llama-2", "marks": {"begin": "[", "end": "]"}},
    "new tokens": {"template": "chatml", "prompt": {"add_tokens": True}},
    "a system message": {"prompt": {"system": "Answer in rhymes."}, "template": "question-answer"},
}


@pytest.mark.parametrize("changes", SYSTEMS.values(), ids=SYSTEMS)
def test_transformers_alone_says_what_the_run_says(parts, changes):
    if changes.get("encoder", {}).get("checkpoint") == "siglip":
        changes = changes | {"encoder": changes["encoder"] | {"checkpoint": str(parts / "siglip")}}
    system = saved(spec_of(parts, **changes), parts / "run")
    export(parts / "run", parts / "out", options=UNCHECKED)
    assert_equal(system, parts / "out")


def test_another_family_with_a_tied_table(parts):
    tiny_qwen2(parts / "other")
    system = saved(spec_of(parts, llm={"checkpoint": str(parts / "other")}, template="llm"), parts / "run")
    assert system.model.language_model.config.tie_word_embeddings
    export(parts / "run", parts / "out")
    assert json.loads((parts / "out/config.json").read_text())["tie_word_embeddings"]
    assert_equal(system, parts / "out")


def tiles(parts, **tiles):
    grids = {"grids": [[1, 2], [2, 1], [2, 2]]}
    encoder = {"kind": "vision", "checkpoint": str(parts / "clip")}
    return {"kind": "tiles", "checkpoint": "none", "encoder": encoder, "merge": "spatial_unpad", "tiles": grids | tiles}


def test_tiles_are_llava_next(parts):
    system = saved(spec_of(parts, encoder=tiles(parts), projector={"newline": "row"}), parts / "run")
    export(parts / "run", parts / "out")
    config = json.loads((parts / "out/config.json").read_text())
    assert config["architectures"] == ["LlavaNextForConditionalGeneration"]
    assert config["image_grid_pinpoints"] == [[32, 64], [64, 32], [64, 64]]
    assert_equal(system, parts / "out")


LORA = {"rank": 2, "alpha": 4, "targets": ["q_proj", "down_proj"]}


def test_lora_merged_and_beside_are_the_run(parts):
    system = saved(spec_of(parts, llm={"lora": LORA}), parts / "run")
    export(parts / "run", parts / "merged")
    export(parts / "run", parts / "beside", options=ExportOptions(lora="beside"))
    assert_equal(system, parts / "merged")
    assert_equal(system, parts / "beside", adapter=True)
    bare = Theirs(parts / "beside").logits(TALK)
    assert (bare[..., :-1] - ours(system, TALK)[1]).abs().max() > 1e-2
    assert {path.name for path in (parts / "beside/adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_lora_of_the_tower_is_merged_or_refused(parts):
    system = saved(spec_of(parts, encoder={"lora": {"rank": 2, "alpha": 4}}, llm={"lora": LORA}), parts / "run")
    export(parts / "run", parts / "merged")
    assert_equal(system, parts / "merged")
    with pytest.raises(PartError, match=r"inputs\.image\.encoder\.lora: only the LLM's can stand beside"):
        export(parts / "run", parts / "beside", options=ExportOptions(lora="beside"))
    tower = {"kind": "vision", "checkpoint": str(parts / "clip")}
    windows = {"kind": "tiles", "encoder": tower, "tiles": {"grids": [[1, 2]]}, "checkpoint": "none"}
    saved(spec_of(parts, encoder=windows | {"lora": {"rank": 2, "alpha": 4, "per_window": True}}), parts / "monkey")
    with pytest.raises(PartError, match="found adapters for each window, and LLaVA's tower is one for all"):
        export(parts / "monkey", parts / "out")


def test_other_adapters_are_merged_or_refused(parts):
    system = saved(spec_of(parts, llm={"peft": {"kind": "ia3"}}), parts / "run")
    for name, parameter in system.model.named_parameters():
        if ".ia3_" in name:
            parameter.data.normal_()
    system.save(parts / "run/model")
    export(parts / "run", parts / "out")
    assert_equal(system, parts / "out")
    with pytest.raises(PartError, match="only LoRA can stand beside"):
        export(parts / "run", parts / "beside", options=ExportOptions(lora="beside"))
    saved(spec_of(parts, llm={"peft": {"kind": "prefix", "tokens": 2}}), parts / "prefixed")
    with pytest.raises(PartError, match="compute something that no weight"):
        export(parts / "prefixed", parts / "prefix")


def test_a_begin_token_does_not_change_the_first_word(parts):
    """A tokenizer that puts a space before a text, and none behind a spelled-out `<s>`, as LLaMA's newer form."""
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tiny_llama(parts / "spaced", tokenizer=tokenizer)
    system = saved(spec_of(parts, llm={"checkpoint": str(parts / "spaced")}), parts / "run")
    export(parts / "run", parts / "out")
    assert "'<s> '" in (parts / "out/chat_template.jinja").read_text().replace('"', "'")
    assert_equal(system, parts / "out")


def test_it_needs_no_modalink_and_can_lie_in_pieces(parts):
    system = saved(spec_of(parts), parts / "run")
    export(parts / "run", parts / "out", options=ExportOptions(shard="20KB"))
    assert len([*(parts / "out").glob("model-*.safetensors")]) > 3
    code = """
import sys
from transformers import AutoModelForImageTextToText, AutoProcessor
from PIL import Image
folder = sys.argv[1]
model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder, backend="pil")
chat = [{"role": "user", "content": [{"type": "image", "image": Image.new("RGB", (40, 30), (9, 99, 200))}]}]
inputs = processor.apply_chat_template(chat, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True)
print(model(**inputs).logits[0, -1, :5].tolist())
assert not [name for name in sys.modules if name.startswith("modalink")]
"""
    done = subprocess.run([sys.executable, "-c", code, str(parts / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chat = [user(Image.new("RGB", (40, 30), (9, 99, 200)))]
    wanted = ours(system, chat)[1][0, -1, :5]
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), wanted, atol=1e-5)


def test_names_and_weights_are_those_of_released_checkpoints(parts):
    from modalink import tensor_files

    system = saved(spec_of(parts), parts / "run")
    export(parts / "run", parts / "out")
    held = tensor_files.read(parts / "out/model.safetensors", ValueError)
    state = system.model.state_dict()
    pairs = {
        "vision_tower.vision_model.pre_layrnorm.weight": "model.encoders.image.tower.pre_layrnorm.weight",
        "multi_modal_projector.linear_1.weight": "model.input_projectors.image.layers.0.weight",
        "multi_modal_projector.linear_2.bias": "model.input_projectors.image.layers.2.bias",
        "language_model.model.layers.1.mlp.up_proj.weight": "model.language_model.model.layers.1.mlp.up_proj.weight",
    }
    assert all(torch.equal(held[name], state[own]) for name, own in pairs.items())
    table = state["model.language_model.lm_head.weight"]
    assert torch.equal(held["language_model.lm_head.weight"][: len(table)], table)
    config = (parts / "out/config.json").read_text() + (parts / "out/README.md").read_text()
    assert str(parts) not in config


def test_a_placeholder_with_a_row_of_its_own_is_never_said(parts):
    tiny_llama(parts / "roomy", vocab_size=400)
    saved(spec_of(parts, llm={"checkpoint": str(parts / "roomy")}), parts / "run")
    export(parts / "run", parts / "out")
    config = json.loads((parts / "out/config.json").read_text())
    assert config["text_config"]["vocab_size"] == 400
    generation = json.loads((parts / "out/generation_config.json").read_text())
    assert generation["suppress_tokens"] == [config["image_token_index"]]


UNFIT = {
    "inputs.image.projector: found kind q_former, needed mlp of two layers, or linear": {
        "projector": {"kind": "q_former", "layers": 2, "width": 32, "heads": 2, "feed_forward": 32}
    },
    "inputs.image.projector: found 3 layers, needed 1 or 2": {"projector": {"layers": 3}},
    "found join:": {"projector": {"join": {"tokens": 4}}},
    "found norm: True, needed False": {"projector": {"norm": True}},
    "found maps to widths 16 and 32, needed the LLM's in both": {"projector": {"width": 16}},
    "found newline: row, needed none": {"projector": {"newline": "row"}},
    "needed plain `splice`": {"llm": {"join": {"kind": "splice", "end": True}}},
    "needed merge: spatial_unpad": {"encoder": {"merge": "flat"}, "projector": {"newline": "row"}},
    "marks.between_rows: found a mark between prompt tokens": {"marks": {"between_rows": "/"}},
    "found image_size 48, and positions of images of 32 px": {"encoder": {"image_size": 48}},
    "behind the tower's final norm; LLaVA reads a hidden state: layer: -1": {"encoder": {"layer": "output"}},
    "llm.prefix_lm: found a prompt whose tokens see each other both ways": {"llm": {"prefix_lm": True}},
    "found the encoder-decoder": {"llm": {"checkpoint": tiny_t5}, "template": "plain"},
    "found a OPTForCausalLM, whose table and head are one": {"llm": {"checkpoint": tiny_opt}},
}


@pytest.mark.parametrize(("text", "changes"), UNFIT.items(), ids=UNFIT)
def test_what_llava_cannot_hold_is_refused_with_the_part(parts, text, changes):
    if "merge" in changes.get("encoder", {}):
        changes = changes | {"encoder": tiles(parts) | changes["encoder"]}
    if changes.get("encoder") == {"layer": "output"}:
        changes = {"encoder": {"layer": "output", "checkpoint": str(parts / "siglip")}}
    if make := changes.get("llm", {}).get("checkpoint"):
        changes = changes | {"llm": {"checkpoint": str(make(parts / "other"))}}
    saved(spec_of(parts, **changes), parts / "run")
    with pytest.raises(PartError) as caught:
        export(parts / "run", parts / "out")
    assert "LLaVA cannot hold this system" in str(caught.value) and text in str(caught.value)
    assert not (parts / "out").exists()


def test_words_that_the_tokenizer_would_join_are_refused(parts, monkeypatch):
    saved(spec_of(parts), parts / "run")
    of = _proof.Proof.of.__func__

    def shifted(cls, *given, **options):
        proof = of(cls, *given, **options)
        proof.ids = [ids[:3] + ids[4:] for ids in proof.ids]
        return proof

    monkeypatch.setattr(_proof.Proof, "of", classmethod(shifted))
    with pytest.raises(PromptError, match="other tokens than the run does: token 3 is"):
        export(parts / "run", parts / "out")


def test_other_logits_leave_nothing_behind(parts, monkeypatch):
    saved(spec_of(parts), parts / "run")
    of = _proof.Proof.of.__func__

    def shifted(cls, *given, **options):
        proof = of(cls, *given, **options)
        proof.logits[..., 0] += 1
        return proof

    monkeypatch.setattr(_proof.Proof, "of", classmethod(shifted))
    with pytest.raises(CheckpointError, match="gives other logits than the run"):
        export(parts / "run", parts / "out")
    assert not (parts / "out").exists() and not [*parts.glob(".out*")]


def test_options_that_cannot_be(parts):
    saved(spec_of(parts), parts / "run")
    (parts / "full").mkdir()
    (parts / "full/file").touch()
    for out, options, text in (
        ("full", {}, "found files there"),
        ("full/file", {}, "found a file there"),
        ("out", {"self_contained": True}, "self-contained goes with `--to hf`"),
        ("out", {"shard": "much"}, "shard: found 'much', needed a size"),
    ):
        with pytest.raises(OptionError, match=text):
            export(parts / "run", parts / out, options=ExportOptions(**options))
