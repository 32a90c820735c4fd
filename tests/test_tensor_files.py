"""Tensor files have the permissions of any other file, wherever the package writes them."""

import os
from pathlib import Path

import torch
from safetensors import safe_open

from modalink import tensor_files


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
