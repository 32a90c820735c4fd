"""Checkpoints in their authors' own format: strictly, by a name map, and never more than tensors."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from modalink import hub
from modalink.errors import PartError

NAMES = {r"^module\.": "", r"^encoder\.(\d+)\.w": r"layers.\1.w", r"^encoder\.(\d+)\.b": r"layers.\1.b"}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        f"module.encoder.{i}.{kind}": size for i in range(2) for kind, size in (("weight", (3, 3)), ("bias", (3,)))
    }
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def load(folder: Path, **options: Any) -> Network:
    return hub.load_original(Network, str(folder), names=NAMES, **options)


@pytest.mark.parametrize(
    ("name", "wrap", "within"),
    [
        ("a.pth", dict, ()),
        ("a.pt", lambda state: {"model": state, "cfg": {"layers": 2}}, ("model",)),
        ("a.bin", lambda state: {"state_dict": state}, ("model", "state_dict")),
    ],
)
def test_names_are_mapped_wherever_the_tensors_lie(
    tmp_path: Path, name: str, wrap: Any, within: tuple[str, ...]
) -> None:
    torch.save(wrap(weights()), tmp_path / name)
    network = load(tmp_path, within=within)
    assert torch.equal(network.layers[1].weight, weights()["module.encoder.1.weight"])
    assert not network.training and all(p.requires_grad and not p.is_meta for p in network.parameters())
    assert len(hub.identity(str(tmp_path)).sha256) == 64


def test_safetensors_and_old_archives_are_read_too(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path / "old"):
        folder.mkdir()
    save_file(weights(), tmp_path / "new" / "model.safetensors")
    torch.save(weights(), tmp_path / "old" / "a.pth", _use_new_zipfile_serialization=False)
    for folder in ("new", "old"):
        assert torch.equal(load(tmp_path / folder).layers[0].bias, weights()["module.encoder.0.bias"])


def test_the_precision_is_that_of_the_file_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    torch.save(weights(torch.float16), tmp_path / "a.pth")
    assert load(tmp_path).layers[0].weight.dtype == torch.float16
    assert load(tmp_path, dtype="bfloat16").layers[0].weight.dtype == torch.bfloat16


def without(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in weights().items() if key != name}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (without("module.encoder.1.bias"), "lacks parameters that the model needs: layers.1.bias"),
        (weights() | {"head": torch.zeros(1)}, "holds tensors that the model has not: head"),
        (weights() | {"encoder.1.bias": torch.zeros(3)}, "several tensors that are layers.1.bias here"),
        (weights() | {"module.encoder.1.bias": torch.zeros(4)}, r"layers.1.bias has the shape \(4,\), needed \(3,\)"),
        (weights() | {"module.encoder.1.bias": torch.full((3,), torch.inf)}, "no finite numbers"),
        (weights() | {"args": Namespace(lr=1)}, "a pickle of more than plain tensors, which is never run"),
        ({"model": weights()}, "found model, needed named tensors"),
        ([torch.zeros(1)], "found list, needed named tensors"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path: Path, state: Any, says: str) -> None:
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(PartError, match=says) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_plain_data_beside_the_tensors_may_be_named(tmp_path: Path) -> None:
    torch.save({"state_dict": weights(), "args": Namespace(lr=1)}, tmp_path / "a.pt")
    with pytest.raises(PartError, match="more than plain tensors"):
        load(tmp_path, within=("state_dict",))
    assert load(tmp_path, within=("state_dict",), beside=(Namespace,)).layers[0].bias.shape == (3,)
    with pytest.raises(PartError, match="more than plain tensors"):
        load(tmp_path, within=("state_dict",))


def test_tensors_that_nothing_needs_may_be_named(tmp_path: Path) -> None:
    torch.save(weights() | {"head.0": torch.zeros(1)}, tmp_path / "a.pth")
    assert load(tmp_path, allow_unexpected=(r"^head\.",)).layers[0].weight.shape == (3, 3)


def test_a_folder_holds_one_weight_file(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"found the weight files none in .*, needed one"):
        load(tmp_path)
    for name in ("a.pth", "b.pth"):
        torch.save(weights(), tmp_path / name)
    with pytest.raises(PartError, match=r"found the weight files a.pth, b.pth in"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_damaged_file_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(PartError, match="its weights cannot be read"):
        load(tmp_path)
