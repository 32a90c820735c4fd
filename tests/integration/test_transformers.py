"""A saved system under the calls of transformers and PEFT, as people make them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
    BitsAndBytesConfig,
    pipeline,
)

from modalink import hub
from modalink.errors import PartError
from modalink.hub import files as hub_files
from modalink.llms import ATTENTION
from modalink.model import ModalinkConfig, ModalinkForConditionalGeneration, ModalinkProcessor

PICTURE = Image.new("RGB", (32, 32), (200, 10, 10))
CHAT = [{"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "what?"}]}]


@pytest.fixture(scope="module")
def folder(make_reader, tmp_path_factory):
    """A saved system: image in, text out."""
    parts = tmp_path_factory.mktemp("parts")
    make_reader(parts).save(parts / "saved")
    return parts / "saved"


@pytest.fixture(scope="module")
def inputs(folder):
    return AutoProcessor.from_pretrained(folder)(CHAT)


@pytest.fixture(scope="module")
def logits(folder, inputs):
    return _logits(AutoModelForImageTextToText.from_pretrained(folder), inputs)


@torch.no_grad()
def _logits(model, inputs):
    return model(**inputs).logits.float()


FIRST_MODALINK = """
import sys, modalink
assert not {"torch", "transformers", "modalink.model"} & sys.modules.keys()
from transformers import AutoConfig, AutoProcessor, AutoTokenizer
assert "modalink.model" not in sys.modules
"""
FIRST_TRANSFORMERS = """
from transformers import AutoConfig, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoProcessor
import sys, modalink
assert "modalink.model" not in sys.modules
"""


@pytest.mark.parametrize(
    ("start", "autos", "types"),
    [
        (FIRST_MODALINK, "AutoProcessor, AutoTokenizer, AutoConfig",
         ["ModalinkProcessor", "TokenizersBackend", "ModalinkConfig"]),
        (FIRST_TRANSFORMERS, "AutoModelForMultimodalLM, AutoModelForImageTextToText, AutoProcessor",
         ["ModalinkForConditionalGeneration"] * 2 + ["ModalinkProcessor"]),
    ],
)  # fmt: skip
def test_import_modalink_is_enough_and_imports_nothing_heavy(folder, start, autos, types):
    code = f"{start}\nfor auto in ({autos}):\n    print(type(auto.from_pretrained({str(folder)!r})).__name__)"
    done = subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == types


def test_every_auto_class_loads_it(folder):
    assert type(AutoConfig.from_pretrained(folder)) is ModalinkConfig
    assert type(AutoProcessor.from_pretrained(folder)) is ModalinkProcessor
    assert AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<image>") is not None
    for auto in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
        assert type(auto.from_pretrained(folder)) is ModalinkForConditionalGeneration


@pytest.mark.parametrize(
    "options",
    [{}, {"device_map": "auto", "dtype": "float32", "token": False, "trust_remote_code": False, "revision": "main",
          "model_kwargs": {"low_cpu_mem_usage": True, "cache_dir": "elsewhere"}}],
)  # fmt: skip
def test_a_pipeline_answers_as_generate_does(folder, inputs, options):
    model = AutoModelForImageTextToText.from_pretrained(folder)
    ids = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    wanted = AutoTokenizer.from_pretrained(folder).decode(ids[0, inputs["input_ids"].shape[1] :], True)
    ask = pipeline("image-text-to-text", model=str(folder), **options)
    (answer,) = ask(CHAT, generate_kwargs={"max_new_tokens": 5, "do_sample": False}, return_full_text=False)
    assert answer["generated_text"] == wanted


HARMLESS = [
    {"dtype": "auto"}, {"dtype": "float32"}, {"dtype": torch.float32}, {"attn_implementation": "eager"},
    {"attn_implementation": "sdpa"}, {"trust_remote_code": False}, {"quantization_config": None}, {"revision": "main"},
    {"local_files_only": True, "token": "hf_x", "cache_dir": "elsewhere", "force_download": True}, {"subfolder": ""},
    {"low_cpu_mem_usage": True}, {"use_safetensors": True}, {"weights_only": True}, {"device_map": "cpu"},
    {"device_map": "auto"}, {"device_map": "balanced", "max_memory": {"cpu": "1GB"}}, {"device_map": {"": "cpu"}},
    {"device_map": torch.device("cpu")}, {"device_map": "sequential", "offload_folder": "offloaded"},
]  # fmt: skip


TOGETHER = {name: value for options in HARMLESS for name, value in options.items() if name != "force_download"}


@pytest.mark.parametrize(
    ("load", "options"),
    [(AutoModelForImageTextToText, TOGETHER), *((ModalinkForConditionalGeneration, one) for one in HARMLESS)],
    ids=str,
)
def test_options_of_loading_keep_the_answers(folder, inputs, logits, load, options):
    model = load.from_pretrained(folder, **options)
    assert torch.allclose(_logits(model, inputs), logits, atol=1e-4)
    if "device_map" in options:
        assert {str(place) for place in model.hf_device_map.values()} == {"cpu"}


@pytest.mark.parametrize("dtype", ["bfloat16", "torch.float16", torch.float64])
def test_the_precision_can_be_chosen_and_changed_later(folder, inputs, logits, dtype):
    wanted = getattr(torch, str(dtype).removeprefix("torch."))
    load = ModalinkForConditionalGeneration.from_pretrained
    for model in (load(folder, dtype=dtype), load(folder).to(wanted)):
        assert {p.dtype for p in model.parameters()} == {wanted}
        assert torch.allclose(_logits(model, inputs), logits, atol=1)
        assert model.generate(**inputs, max_new_tokens=2).shape[1] > inputs["input_ids"].shape[1]
    again = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder), dtype=wanted)
    assert again.dtype == wanted


def test_another_attention_is_the_llms_and_does_not_pack(folder):
    for load in (AutoModelForImageTextToText, ModalinkForConditionalGeneration):
        own, eager = load.from_pretrained(folder), load.from_pretrained(folder, attn_implementation="eager")
        assert (own.language_model.config._attn_implementation, own.packs) == (ATTENTION, True)
        assert (eager.language_model.config._attn_implementation, eager.packs) == ("eager", False)
    again = load.from_pretrained(folder, config=own.config)
    assert again.packs


def test_a_subfolder_and_the_loading_info(folder, inputs, logits):
    model, info = AutoModelForImageTextToText.from_pretrained(
        folder.parent, subfolder=folder.name, output_loading_info=True
    )
    assert torch.equal(_logits(model, inputs), logits)
    assert not any(info.values()) and "missing_keys" in info
    assert type(AutoProcessor.from_pretrained(folder.parent, subfolder=folder.name)) is ModalinkProcessor


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"trust_remote_code": True}, "never runs code that a checkpoint brings"),
        ({"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}, "in the precision that their checkpoints have"),
        ({"revision": "v1"}, "only hub checkpoints have a revision, found 'v1'"),
        ({"dtype": "float7"}, "found 'float7', needed `auto` or a precision"),
        ({"dtype": torch.int8}, "needed `auto` or a precision"),
        ({"device_map": "nowhere"}, "device_map='nowhere': "),
        ({"device_map": {"lm_head": "cpu"}}, "device_map={'lm_head': 'cpu'}: "),
        ({"gguf_file": "a.gguf"}, "gguf_file='a.gguf': no option of this name is known"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:The following device_map keys")
def test_what_is_not_there_is_refused_in_a_line(folder, options, text):
    with pytest.raises(PartError) as caught:
        ModalinkForConditionalGeneration.from_pretrained(folder, **options)
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_options_of_the_hub_reach_it_for_the_system_and_its_parts(folder, monkeypatch):
    asked = []

    def snapshot(repo, **given):
        asked.append(
            (repo, given["revision"], given.get("token"), given.get("cache_dir"), given.get("local_files_only"))
        )
        return str(folder)

    monkeypatch.setattr(hub_files, "snapshot_download", snapshot)
    hub_files._snapshot.cache_clear()
    load = ModalinkForConditionalGeneration.from_pretrained
    load("me/system", revision="v2", token="hf_x", cache_dir="here", local_files_only=True)
    assert set(asked) == {("me/system", "v2", "hf_x", "here", True)}
    with hub.fetching(token="hf_y"):
        hub_files.locate("you/part")
    assert asked[-1] == ("you/part", None, "hf_y", None, None)
    count = len(asked)
    load("me/system", revision="v2", force_download=True)
    assert len(asked) > count
    hub_files._snapshot.cache_clear()


class _Uploads:
    """A hub that keeps what is sent."""

    def __init__(self, monkeypatch, folder):
        self.folder = folder
        monkeypatch.setattr(HfApi, "create_repo", lambda api, repo_id, **given: type("Repo", (), {"repo_id": repo_id}))
        monkeypatch.setattr(HfApi, "create_commit", self.commit)
        monkeypatch.setattr("transformers.utils.hub.create_and_tag_model_card", lambda *given, **more: self)

    def save(self, path):
        Path(path).write_text("---\n---\n")

    def commit(self, *, repo_id, operations, **given):
        for one in operations:
            target = self.folder / repo_id / one.path_in_repo
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(Path(one.path_or_fileobj).read_bytes())


def test_what_is_pushed_to_the_hub_can_be_loaded(folder, inputs, logits, monkeypatch, tmp_path):
    _Uploads(monkeypatch, tmp_path)
    AutoModelForImageTextToText.from_pretrained(folder).push_to_hub("me/system")
    AutoProcessor.from_pretrained(folder).push_to_hub("me/system")
    sent = tmp_path / "me/system"
    assert torch.equal(_logits(AutoModelForImageTextToText.from_pretrained(sent), inputs), logits)
    assert torch.equal(AutoProcessor.from_pretrained(sent)(CHAT)["pixel_values"], inputs["pixel_values"])


TARGETS = ["all-linear", ["q_proj", "v_proj"], r".*language_model.*up_proj"]


@pytest.mark.parametrize("targets", TARGETS, ids=str)
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_peft_on_top_trains_saves_loads_and_merges(folder, inputs, logits, tmp_path, targets):
    load = AutoModelForImageTextToText.from_pretrained
    model = get_peft_model(load(folder), LoraConfig(r=2, target_modules=targets)).eval()
    assert torch.equal(_logits(model, inputs), logits)
    model(**inputs, labels=inputs["input_ids"].clamp(max=5)).loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert gradients and all("lora_" in name for name in gradients)
    assert any(grad is not None and grad.abs().sum() > 0 for grad in gradients.values())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    adapted = _logits(model, inputs)
    assert not torch.allclose(adapted, logits)
    model.save_pretrained(tmp_path / "adapter")
    assert torch.equal(_logits(PeftModel.from_pretrained(load(folder), tmp_path / "adapter"), inputs), adapted)
    assert torch.equal(_logits(load(tmp_path / "adapter"), inputs), adapted)  # finds the system by the adapter's file
    merged = model.merge_and_unload()
    assert torch.allclose(_logits(merged, inputs), adapted, atol=1e-3)
    merged.save_pretrained(tmp_path / "merged")
    assert torch.equal(_logits(load(tmp_path / "merged"), inputs), _logits(merged, inputs))


def test_adapters_of_another_system_are_refused(folder, tmp_path):
    model = get_peft_model(AutoModelForImageTextToText.from_pretrained(folder), LoraConfig(target_modules=["q_proj"]))
    model.save_pretrained(tmp_path)
    config = (tmp_path / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(config.replace('"q_proj"', '"k_proj"'))
    with pytest.raises(PartError, match="these adapters do not fit the system"):
        AutoModelForImageTextToText.from_pretrained(tmp_path)
