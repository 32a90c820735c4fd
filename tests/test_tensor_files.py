"""Tensor files have the permissions of any other file, wherever the package writes them."""

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from modalink import tensor_files
from modalink.errors import CheckpointError


def test_a_file_holds_the_tensors_and_words_and_is_as_open_as_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weight = torch.randn(3, 4, requires_grad=True)
    tensor_files.save({"flat": weight.T, "one": torch.tensor(1, dtype=torch.int8)}, path, {"step": "7"})
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("flat"), weight.detach().T)
        assert file.get_tensor("one").dtype == torch.int8
        assert file.metadata() == {"step": "7"}
    neighbour = tmp_path / "neighbour"
    neighbour.write_text("")
    assert path.stat().st_mode == neighbour.stat().st_mode


BROKEN = [
    b"",
    b"{}",
    b"\0" * 64,
    bytes(range(256)),
    (2**63).to_bytes(8, "little") + b"{}",
    (2**20).to_bytes(8, "little"),
]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_tensor_file_is_named_with_its_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: cannot be read as safetensors: .*; restore it$"):
        tensor_files.read(tmp_path / "a.safetensors", CheckpointError, remedy="restore it")


def test_every_cut_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensor_files.save({"a": torch.ones(3), "b": torch.zeros(2, 2)}, path)
    whole = path.read_bytes()
    assert tensor_files.read(path, CheckpointError)["a"].tolist() == [1, 1, 1]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
            tensor_files.read(path, CheckpointError)
    for absent in (tmp_path, tmp_path / "absent.safetensors"):
        with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
            tensor_files.read(absent, CheckpointError)


def test_the_process_keeps_its_mask() -> None:
    mask = os.umask(0o022)
    os.umask(mask)
    assert mask == tensor_files._MASK


def test_the_digest_sees_names_types_shapes_and_values_and_no_order() -> None:
    tensors = {"a": torch.arange(6.0), "b": torch.tensor(1)}
    same = tensor_files.digest(dict(reversed(tensors.items())))
    changes = [
        {"b": torch.tensor(2)},
        {"a": torch.arange(6)},
        {"a": torch.arange(6.0).reshape(2, 3)},
        {"c": torch.tensor(1)},
    ]
    assert (
        len({same, tensor_files.digest(tensors), *(tensor_files.digest(tensors | change) for change in changes)}) == 5
    )
