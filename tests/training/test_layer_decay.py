"""Blocks near the input learn less."""

import pytest
import torch
from torch import nn

from modalink.errors import TrainingError
from modalink.recipe import TrainGroup
from modalink.training.freezing import optimizer_groups
from modalink.training.layer_decay import by_depth
from modalink.training.optimization import set_lr

ENCODER = "inputs.image.encoder"


class Tower(nn.Module):
    """An embedding, three blocks of two maps each, a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(2, 2)
        self.blocks = nn.ModuleList(nn.ModuleDict({"mlp": nn.ModuleList([nn.Linear(2, 2)] * 2)}) for _ in range(3))
        self.norm = nn.LayerNorm(2)

    def members(self) -> list[tuple[str, nn.Parameter]]:
        return [(f"model.encoders.image.{name}", parameter) for name, parameter in self.named_parameters()]


def test_each_block_has_its_share_of_the_rate() -> None:
    found = by_depth(ENCODER, Tower().members(), 0.5)
    places = [{name.removeprefix("model.encoders.image.").rpartition(".")[0] for name, _ in own} for _, own in found]
    assert [share for share, _ in found] == [0.0625, 0.125, 0.25, 0.5, 1.0]
    assert places == [{"patches"}, *({f"blocks.{i}.mlp.0"} for i in range(3)), {"norm"}]


def test_blocks_alone_have_less_than_the_whole_rate() -> None:
    """As of an encoder whose last norm nothing reads."""
    members = [member for member in Tower().members() if "norm" not in member[0]]
    assert [share for share, _ in by_depth(ENCODER, members, 0.5)] == [0.0625, 0.125, 0.25, 0.5]


def test_the_optimizer_follows_it_and_the_group_reports_its_largest_rate() -> None:
    train = {ENCODER: TrainGroup(lr=1.0, weight_decay=0.1, layer_decay=0.5)}
    groups = optimizer_groups({ENCODER: Tower().members()}, train)
    assert [(g["base_lr"], g["weight_decay"]) for g in groups] == [
        (lr, decay) for lr in (0.0625, 0.125, 0.25, 0.5) for decay in (0.1, 0.0)
    ] + [(1.0, 0.0)]
    optimizer = torch.optim.SGD(groups)
    assert set_lr(optimizer, 0.1) == {ENCODER: pytest.approx(0.1)}
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.00625)


def test_a_group_without_blocks_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"inputs.image.encoder: layer_decay needs a list of blocks, and there is"):
        by_depth(ENCODER, [("model.encoders.image.linear.weight", nn.Parameter(torch.zeros(1)))], 0.5)
