"""Point-BERT: released files, points of any number, in a batch as alone.

That its numbers are the authors', `docs/tools/parity/encoders/point_bert.py` holds.
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from modalink.encoders._point_groups import farthest, groups, neighbours
from modalink.encoders.point_bert import PointBertConfig
from modalink.errors import PartError
from modalink.kinds import parse
from modalink.modalities import points
from modalink.modalities.points import Cloud
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_point_bert

PREFIX = "module.point_encoder."


def cloud(count: int, channels: int, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def released(folder: Path, prefix: str, **more: Tensor) -> PointBertConfig:
    """A file as training of ULIP writes it, and the settings that read it."""
    config = PointBertConfig.model_validate(tiny_point_bert(folder)[1])
    state = load_file(folder / "model.safetensors")
    named = {prefix + name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": named | more, "epoch": "last", "args": Namespace(lr=1)}, folder / "ulip.pt")
    return config


def items(*clouds: Tensor) -> Ragged:
    return Ragged.of(list(clouds), [Layout(len(one), (len(one),)) for one in clouds])


@pytest.mark.parametrize("settings", [{}, {"features": "pooled"}, {"colors": False}])
def test_it_keeps_the_promises_of_its_role(tmp_path: Path, settings: dict[str, Any]) -> None:
    check_encoder(PointBertConfig.model_validate(tiny_point_bert(tmp_path, **settings)[1]))


@pytest.mark.parametrize("prefix", [PREFIX, "model.point_backbone.", "point_backbone."])
def test_files_of_ulip_and_pointllm_are_read_and_others_refused(tmp_path: Path, prefix: str) -> None:
    config = released(tmp_path, prefix, **{"lm_head.weight": torch.zeros(1), "module.pc_projection": torch.zeros(1)})
    assert config.build().tower.class_token.shape == (1, 1, 32)
    with pytest.raises(PartError, match=r"lacks parameters that the model needs: blocks\.2"):
        config.replace(depth=3).build()
    with pytest.raises(PartError, match=r"holds tensors that the model has not: blocks\.1"):
        config.replace(depth=1).build()
    with pytest.raises(PartError, match=r"has the shape \(128, 6, 1\), needed \(128, 3, 1\)"):
        config.replace(colors=False).build()
    with pytest.raises(ValueError, match="needed a width that the heads divide"):
        config.replace(heads=5)


@pytest.mark.parametrize(("depth", "colors", "parameters"), [(12, False, 21_858_816), (12, True, 21_859_200), (18, True, 32_499_072)])  # fmt: skip
def test_the_full_sizes_are_the_published_ones(depth: int, colors: bool, parameters: int) -> None:
    """ULIP, PointLLM, and ULIP-2, whose authors say 32.5 million."""
    config: Any = parse(
        "modalink.encoders", {"kind": "point_bert", "checkpoint": "x", "depth": depth, "colors": colors}
    )
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
    assert config.layout(Layout(8192, (8192,))).blocks == (513,)
    assert config.replace(features="pooled").layout(Layout(8192, (8192,))).blocks == (1,)


def test_clouds_of_any_number_of_points_are_read_together_as_alone(tmp_path: Path) -> None:
    encoder = PointBertConfig.model_validate(tiny_point_bert(tmp_path)[1]).build()
    clouds = [cloud(count, 6, seed) for seed, count in enumerate((100, 2, 9, 64, 100))]
    with torch.no_grad():
        together = list(encoder(items(*clouds)))
        for one, expected in zip(clouds, together, strict=True):
            torch.testing.assert_close(encoder(items(one)).values, expected, atol=1e-5, rtol=1e-5)


def test_batch_norms_keep_their_statistics_in_training(tmp_path: Path) -> None:
    encoder = PointBertConfig.model_validate(tiny_point_bert(tmp_path)[1]).build()
    before = encoder(items(cloud(40, 6))).values
    encoder.train()
    assert torch.equal(encoder(items(cloud(40, 6))).values, before)


def test_far_and_near_points_by_eye() -> None:
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [10, 0, 0]])
    assert farthest(line, 3).tolist() == [0, 4, 3]
    assert farthest(line[:2], 4).tolist() == [0, 1, 0, 0]
    assert neighbours(line, line[[0, 4]], 3).sort(1).values.tolist() == [[0, 1, 2], [2, 3, 4]]
    assert neighbours(line[:2], line[[1]], 4).tolist() == [[1, 0, 1, 1]]
    members, centres = groups(torch.cat([line, torch.arange(5.0)[:, None]], dim=1), 2, 2)
    assert centres.tolist() == [[0, 0, 0], [10, 0, 0]]
    assert members.tolist() == [[[0, 0, 0, 0], [1, 0, 0, 1]], [[0, 0, 0, 4], [-7, 0, 0, 3]]]


def test_media_become_points_in_the_unit_ball() -> None:
    preprocess = PointBertConfig(checkpoint="x", points=50, missing_color=0.25).preprocessor()
    for far in (1e-30, 1.0, 1e17):
        few = Cloud(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]]) * far + far)
        assert preprocess.layout(few) == Layout(3, (3,))
        torch.testing.assert_close(preprocess(few), torch.tensor([[x, 0, 0, 0.25, 0.25, 0.25] for x in (-1.0, 0, 1)]))
    mesh = points.example(1)
    assert preprocess.layout(mesh) == Layout(50, (50,)) and preprocess(mesh).shape == (50, 6)
    assert torch.equal(preprocess(mesh), preprocess(points.open_points(mesh)))
    assert preprocess(mesh)[:, :3].norm(dim=1).max() == pytest.approx(1)
    assert preprocess(mesh)[:, 3:].min() >= 0 and preprocess(mesh)[:, 3:].std() > 0.1
