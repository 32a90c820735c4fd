"""The folder of a saved system, each of its files damaged in each way: it is refused in words that name the place."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from modalink.errors import CheckpointError, ModalinkError
from modalink.model import System
from tests.support.trees import with_value

GARBAGE = [b"", b"[]", b"{}", b"{", b"null", bytes(range(256)), b"[" * 100_000, "{}".encode("utf-16"), b'{"spec": 3}']
VALUES = [None, True, -1, 2.5, 10**9, "word", [], ["word"], {}, {"a": 1}, {"image": 10**9}, {"image": ["a"]}]
PLACES = [
    "config.json:spec", "config.json:spec.inputs", "config.json:spec.inputs.image", "config.json:spec.inputs.image.encoder",
    "config.json:spec.inputs.image.encoder.kind", "config.json:spec.inputs.image.projector.layers", "config.json:spec.llm",
    "config.json:spec.llm.checkpoint", "config.json:spec.prompt.template", "config.json:spec.outputs", "config.json:references",
    "config.json:references.llm", "config.json:references.llm.sha256", "config.json:references.llm.revision",
    "config.json:placeholders", "config.json:placeholders.image", "config.json:signals", "config.json:encoder_owners",
    "config.json:text_config", "config.json:text_config.model_type", "config.json:text_config.num_hidden_layers",
    "config.json:model_type", "config.json:auto_map", "config.json:dtype", "config.json:is_encoder_decoder",
    "processor_config.json:spec", "processor_config.json:spec.llm", "processor_config.json:encoder_decoder",
    "processor_config.json:processor_class", "processor_config.json:auto_map", "processor_config.json:spec.inputs.image.projector",
    "tokenizer_config.json:tokenizer_class", "tokenizer_config.json:eos_token", "tokenizer_config.json:auto_map",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def saved(make_system: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved system; its parts stay where they were made for all tests of this file."""
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail(f"asked at the terminal: {words}"))
    if not (whole / "saved").exists():
        system = make_system()
        system.save(whole / "saved")
        for part in ("llm", "vision"):
            shutil.copytree(tmp_path / part, whole / part)
        for file in (whole / "saved").glob("*.json"):
            file.write_text(file.read_text().replace(f"{tmp_path}/", f"{whole}/"))
    shutil.copytree(whole / "saved", tmp_path / "saved")
    return tmp_path / "saved"


def test_the_whole_is_read(saved: Path) -> None:
    system, written = System.load(saved), load_file(saved / "model.safetensors")
    held = system.model.state_dict()
    assert written and all(torch.equal(held[name], tensor) for name, tensor in written.items())
    assert system.spec.model_dump(mode="json") == json.loads((saved / "config.json").read_text())["spec"]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json", "model.safetensors"])
def test_a_file_of_garbage_is_refused(saved: Path, name: str, content: bytes) -> None:
    (saved / name).write_bytes(content)
    with pytest.raises(ModalinkError) as caught:
        System.load(saved)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize("place", PLACES)
def test_any_value_in_any_place_is_used_or_refused(saved: Path, place: str) -> None:
    """Each place meets a quarter of the values, each value a quarter of the places."""
    name, _, path = place.partition(":")
    data = json.loads((saved / name).read_text())
    for value in VALUES[PLACES.index(place) % 4 :: 4]:
        (saved / name).write_text(json.dumps(with_value(data, tuple(path.split(".")), value)))
        try:
            System.load(saved)
        except ModalinkError as error:
            assert len(str(error)) < 2500


def _with(saved: Path, change: Any) -> None:
    weights = load_file(saved / "model.safetensors")
    name = next(name for name, tensor in sorted(weights.items()) if tensor.ndim == 2)
    weights[name] = change(weights[name].clone())
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.to(torch.int8), "is int8, needed floating point"),
        (lambda t: t > 0, "is bool, needed floating point"),
        (lambda t: t.fill_(torch.nan), "holds values that are no finite numbers"),
        (lambda t: t.index_fill_(0, torch.tensor([0]), torch.inf), "holds values that are no finite numbers"),
        (lambda t: t[:-1].contiguous(), "has the shape"),
    ],
)
def test_weights_that_no_training_writes_are_refused(saved: Path, change: Any, says: str) -> None:
    _with(saved, change)
    with pytest.raises(CheckpointError, match=says):
        System.load(saved)


def test_weights_that_are_cut_off_or_a_link_out_are_refused(saved: Path) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read as safetensors: .*; restore it"):
        System.load(saved)
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(ModalinkError, match="this link leads out of its folder"):
        System.load(saved)


@pytest.mark.parametrize("name", ["../../../../../etc/passwd", "/etc/passwd", 3, None, [], "absent.safetensors"])
def test_an_index_names_files_of_the_folder_only(saved: Path, name: Any) -> None:
    weights = load_file(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    (saved / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(weights, name)}))
    with pytest.raises(ModalinkError, match=r"needed|there is no such file"):
        System.load(saved)


def test_a_tokenizer_of_another_system_is_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    config["placeholders"] = {"image": 3}
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="give the system's tokens different ids"):
        System.load(saved)
