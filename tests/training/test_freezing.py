"""Who learns."""

import pytest
import torch
from rich.console import Console
from torch import nn

from modalink.cli.progress import group_table
from modalink.errors import UnknownNameError
from modalink.model.groups import table
from modalink.recipe import TrainGroup
from modalink.training.freezing import freeze, optimizer_groups


class Tiny(nn.Module):
    """An encoder in bfloat16, a projector, and an LLM with adapters and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).bfloat16()
        self.projector = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).bfloat16()
        self.llm = nn.Module()
        self.llm.layer = nn.Linear(4, 4)
        self.llm.lora = nn.ModuleDict({"down": nn.Linear(4, 2, bias=False), "dropout": nn.Dropout(0.1)})

    def groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        found: dict[str, list[tuple[str, nn.Parameter]]] = {}
        names = {"encoder": "inputs.image.encoder", "projector": "inputs.image.projector", "llm.l": "llm"}
        for name, parameter in self.named_parameters():
            group = "llm.lora" if "lora" in name else next(g for p, g in names.items() if name.startswith(p))
            found.setdefault(group, []).append((name, parameter))
        return found


TRAIN = {"inputs.image.projector": TrainGroup(lr=1e-3, weight_decay=0.1), "llm.lora": TrainGroup(lr=1e-4)}


def test_exactly_the_named_groups_learn_and_in_float32() -> None:
    model = Tiny()
    trained = freeze(model, model.groups(), TRAIN)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {"projector.0.weight", "projector.0.bias", "projector.1.weight", "projector.1.bias"} | {
        "llm.lora.down.weight"
    }
    assert list(trained) == list(TRAIN)
    assert {p.dtype for members in trained.values() for _, p in members} == {torch.float32}
    assert model.encoder[0].weight.dtype == torch.bfloat16


def test_a_later_stage_freezes_what_an_earlier_one_trained() -> None:
    model = Tiny()
    freeze(model, model.groups(), TRAIN)
    freeze(model, model.groups(), {"llm": TrainGroup(lr=1e-5)})
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"llm.layer.weight", "llm.layer.bias"}


def test_dropout_is_active_only_where_something_learns() -> None:
    model = Tiny()
    freeze(model, model.groups(), TRAIN)
    assert model.llm.lora["dropout"].training
    assert not model.encoder[1].training
    assert not model.llm.layer.training


def test_an_unknown_group_is_answered_with_the_nearest() -> None:
    model = Tiny()
    with pytest.raises(UnknownNameError, match=r"'inputs.image.projektor'; did you mean 'inputs.image.projector'"):
        freeze(model, model.groups(), {"inputs.image.projektor": TrainGroup(lr=1.0)})


def test_each_group_has_its_rate_and_vectors_have_no_decay() -> None:
    model = Tiny()
    made = optimizer_groups(freeze(model, model.groups(), TRAIN), TRAIN)
    found = {(g["group"], g["lr"], g["weight_decay"]): [name for name, _ in g["params"]] for g in made}
    assert found == {
        ("inputs.image.projector", 1e-3, 0.1): ["projector.0.weight"],
        ("inputs.image.projector", 1e-3, 0.0): ["projector.0.bias", "projector.1.weight", "projector.1.bias"],
        ("llm.lora", 1e-4, 0.0): ["llm.lora.down.weight"],
    }


def test_the_table_counts_every_parameter_once_with_the_generators() -> None:
    model = Tiny()
    rows = {row.group: row for row in table(model.groups(), TRAIN, {"image": nn.Linear(9, 10)})}
    assert rows["inputs.image.projector"].parameters == 28
    assert rows["outputs.image.generator"].parameters == 100
    assert [row.group for row in rows.values() if row.trained] == list(TRAIN)
    assert sum(row.share for row in rows.values()) == pytest.approx(1)
    assert sum(row.parameters for row in rows.values()) == sum(p.numel() for p in model.parameters()) + 100


def test_the_drawn_table_sums_what_is_trained() -> None:
    model = Tiny()
    console = Console(width=100, record=True)
    console.print(group_table(table(model.groups(), TRAIN, {}), "stage one"))
    drawn = console.export_text()
    assert "stage one" in drawn
    line = next(line for line in drawn.splitlines() if "trained" in line)
    assert "36" in line and "47.37%" in line


def test_what_nothing_reads_of_a_trained_part_is_in_float32_beside_the_rest() -> None:
    model = Tiny()
    model.projector.unread = frozenset({"1.weight", "1.bias"})
    trained = freeze(model, model.groups(), TRAIN)
    unread = [parameter for name, parameter in model.named_parameters() if name.startswith("projector.1")]
    assert [(p.dtype, p.requires_grad) for p in unread] == [(torch.float32, False)] * 2
    assert [name for name, _ in trained["inputs.image.projector"]] == ["projector.0.weight", "projector.0.bias"]
