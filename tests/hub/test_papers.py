"""Every file of a checkpoint's folder may be broken or hostile: it is refused in words, and nothing outside is opened."""

import builtins
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedConfig

from modalink import hub, zoo
from modalink.errors import ModalinkError, PartError
from modalink.hub.papers import check
from modalink.llms.pretrained import PretrainedLlmConfig

VALUES = [None, True, 0, -1, 2.5, "word", "/etc/passwd", [], ["word"], {}, {"a": 1}, 10**7, 10**18]
MORE = ["num_labels", "auto_map", "torch_dtype", "architectures", "layer_types", "quantization_config", "id2label"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole checkpoint, the zoo's LLM."""
    shutil.copytree(zoo.path("llm"), tmp_path / "llm")
    return tmp_path / "llm"


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Files that are opened by Python, and no question on the terminal."""
    names: list[str] = []
    real = io.open

    def watched(file: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(os.path.realpath(file) if isinstance(file, str | os.PathLike) else "")
        return real(file, *args, **kwargs)

    def asked(*words: object) -> str:
        raise AssertionError(f"asked at the terminal: {words}")

    monkeypatch.setattr(builtins, "open", watched)
    monkeypatch.setattr(io, "open", watched)
    monkeypatch.setattr(builtins, "input", asked)
    yield names
    assert os.path.realpath("/etc/passwd") not in names


def use(folder: Path) -> PreTrainedConfig:
    """All that a recipe asks of an LLM's checkpoint; gives the configuration that it is built by."""
    config = PretrainedLlmConfig(checkpoint=str(folder))
    architecture: PreTrainedConfig = config.architecture()
    config.tokenizer()
    config.build()
    return architecture


def change(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


CONFIG = json.loads((zoo.path("llm") / "config.json").read_text())


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_any_value_under_any_key_is_used_or_refused(folder: Path, number: int) -> None:
    """Each key meets each value over all parametrisations, each of these meets a few keys."""
    keys = [*CONFIG, *MORE]
    for at in range(number % 3, len(keys), 3):
        (folder / "config.json").write_text(json.dumps(CONFIG | {keys[at]: VALUES[number]}))
        try:
            use(folder)
        except ModalinkError as error:
            assert str(folder) in str(error), (keys[at], error)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_hidden_layers": 10**7}, "found num_hidden_layers 10000000, needed 1,000 at most"),
        ({"num_labels": 10**9}, "found num_labels 1000000000"),
        ({"vision_config": {"layers": [{"depth": 10**6}]}}, "found depth 1000000"),
        ({"vocab_size": 10**9}, "found vocab_size 1000000000"),
        ({"vocab_size": 2**23}, "asks for [0-9,]+ values, its weight files hold"),
        ({"max_position_embeddings": 10**18}, "found max_position_embeddings"),
        ({"num_attention_heads": 0}, "found num_attention_heads 0, needed 1 or more"),
        ({"num_hidden_layers": -4}, "found num_hidden_layers -4, needed 0 or more"),
        ({"hidden_size": 10**9}, "found hidden_size 1000000000, needed 262,144 at most"),
        ({"vision_config": {"patch_size": [16, 0]}}, "found patch_size 0, needed 1 or more"),
        ({"vision_config": {"image_size": 10**6}}, "found image_size 1000000, needed 16,384 at most"),
        ({"vision_config": {"depths": [2, 2, 10**5, 2]}}, "found depths 100000, needed 1,000 at most"),
        ({"backbone": {"depths": [900] * 900}}, "found depths of 810,000 together, needed 1,000 at most"),
        ({"model_args": {"layers": [999, 999]}}, "found layers of 1,998 together"),
        ({"encoder": [{"num_local_experts": 10**6}]}, "found num_local_experts 1000000, needed 65,536 at most"),
        ({"hidden_act": "os.system"}, "KeyError 'os.system'|cannot be read"),
        ({"dtype": "float7"}, "float7"),
        ({"model_type": "unheard"}, "unheard"),
        ({"model_type": "unheard", "auto_map": {"AutoConfig": "evil.Config"}}, "needs code that the checkpoint brings"),
    ],
)
def test_what_no_model_has_is_refused_before_it_is_built(folder: Path, settings: dict[str, Any], says: str) -> None:
    change(folder / "config.json", **settings)
    with pytest.raises(PartError, match=says):
        use(folder)


QUANTISED: list[tuple[Any, str]] = [
    ({"quant_method": "gptq", "bits": 4}, "'gptq'"),
    ({"load_in_4bit": True}, "of no known method"),
    ({}, "of no known method"),
    ("int8", "of no known method"),
]


@pytest.mark.parametrize(("value", "says"), QUANTISED)
@pytest.mark.parametrize("inner", [None, "text_config"])
def test_quantised_weights_are_refused_with_what_to_do(folder: Path, value: Any, says: str, inner: str | None) -> None:
    settings = {"quantization_config": value}
    change(folder / "config.json", **(settings if inner is None else {inner: settings}))
    with pytest.raises(PartError, match=rf"quantised weights .*{says}.* needed weights in float32.* choose the"):
        use(folder)


def test_what_large_models_have_is_read(folder: Path) -> None:
    """Numbers of Gemma 3n, of Llama 4 Scout and of deep models that list their layers; and nothing quantised."""
    change(
        folder / "config.json",
        quantization_config=None,
        vocab_size_per_layer_input=262_144,
        max_window=10_485_760,
        full_attention_layers=list(range(100)),
        num_experts=0,
        vision_feature_layer=-2,
    )
    read = use(folder)
    assert (read.vocab_size_per_layer_input, read.max_window, read.vision_feature_layer) == (262_144, 10_485_760, -2)
    assert read.full_attention_layers == list(range(100))


GARBAGE = [b"", b"[]", b"[1]", b"{", bytes(range(256)), b"[" * 100_000, "{}".encode("utf-16"), b'{"a":' * 9999]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_a_file_of_garbage_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(PartError) as caught:
        use(folder)
    assert str(folder) in str(caught.value)


OUTSIDE = ["../../../../../../etc/passwd", "/etc/passwd", "../llm/../../x", "inner/../../x", 3, None, ["a"], "x" * 5000]


@pytest.mark.parametrize("name", OUTSIDE, ids=range(len(OUTSIDE)))
def test_an_index_names_files_of_its_folder_only(folder: Path, name: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(weights, name)}))
    with pytest.raises(PartError, match=r"needed|no file can be called so"):
        use(folder)


@pytest.mark.parametrize("key", ["vocab_file", "tokenizer_file", "merges_file", "fast_tokenizer_files", "any_file"])
@pytest.mark.parametrize("name", OUTSIDE[:4])
def test_a_tokenizers_settings_name_files_of_its_folder_only(folder: Path, key: str, name: str) -> None:
    change(folder / "tokenizer_config.json", **{key: [name] if key.endswith("s") else name})
    with pytest.raises(PartError, match="needed the name of a file in it"):
        use(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "generation_config.json"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    shutil.move(folder / name, folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)
    with pytest.raises(PartError, match="this link leads out of its folder"):
        use(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)
    with pytest.raises(PartError):
        use(folder)


def test_a_link_deep_inside_is_refused(folder: Path) -> None:
    (folder / "a" / "b" / "c").mkdir(parents=True)
    (folder / "a" / "b" / "c" / "x.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(PartError, match="this link leads out of its folder"):
        use(folder)


def test_the_links_of_the_hubs_cache_are_followed(folder: Path) -> None:
    repo = folder.parent / "models--a--b"
    snapshot = repo / "snapshots" / "0a"
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, repo / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    use(snapshot)
    (snapshot / "extra.json").symlink_to(folder / "config.json")
    with pytest.raises(PartError, match="this link leads out"):
        check(snapshot, "a/b")


def test_adapters_are_no_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "/etc"}')
    with pytest.raises(PartError, match="found adapters of PEFT, needed a whole model"):
        use(folder)


def test_a_pickle_is_refused_in_our_words(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(folder / "pwned"),))

    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(
        PartError, match=r"its weight file is a pickle of more than plain tensors, which is never run"
    ) as caught:
        use(folder)
    assert "weights_only" not in str(caught.value)
    assert not (folder / "pwned").exists()


def test_plain_tensors_in_a_bin_file_are_read(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    built = PretrainedLlmConfig(checkpoint=str(folder)).build().state_dict()
    assert len(weights) > 10 and all(torch.equal(built[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 8, b"\xff" * 64, (2**63 - 1).to_bytes(8, "little") + b"{}", b"{}" * 99]
)
def test_broken_weights_are_named(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(PartError, match="cannot be read"):
        use(folder)
    (folder / "model.safetensors").write_bytes((zoo.path("llm") / "model.safetensors").read_bytes()[:-99])
    with pytest.raises(PartError, match="cannot be read"):
        use(folder)


def test_what_other_libraries_raise_is_an_error_of_the_room() -> None:
    class PanicException(BaseException):
        """As Rust's libraries raise it."""

    for error in (KeyError("x"), RecursionError(), MemoryError(), ZeroDivisionError("z"), PanicException("p")):
        with pytest.raises(PartError, match=r"^what: "), hub.foreign(PartError, "what"):
            raise error
    for error in (KeyboardInterrupt(), SystemExit()):
        with pytest.raises(type(error)), hub.foreign(PartError, "what"):
            raise error
