"""The kit for joins passes what keeps its promises, and names the promise that a join breaks."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from modalink.kinds import parse
from modalink.ragged import Layout, Ragged
from modalink.roles import Join, JoinConfig, Placed
from modalink.testing import check_join


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "splice"},
        {"kind": "splice", "begin": True, "end": True, "where": "prefix"},
        {"kind": "gated_cross_attention", "every": 1, "heads": 2, "head_width": 8, "media_width": 24},
        {"kind": "visual_expert", "begin": True, "positions": "shared"},
    ],
    ids=str,
)
def test_the_joins_that_ship_keep_their_promises(settings: dict[str, Any]) -> None:
    check_join(parse(JoinConfig.room, settings))


class Scaled(Join):
    """Puts prompt tokens into the text, each times a learned number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1))

    def embed(self, embeds: Tensor, items: Sequence[Placed]) -> Tensor:
        for placed in items:
            values = placed.prompt.values * self.scale
            embeds = embeds.flatten(0, 1).index_copy(0, placed.index, values).view_as(embeds)
        return embeds


class ScaledConfig(JoinConfig):
    """A join of a plug-in."""

    kind: Literal["scaled"] = "scaled"
    make: ClassVar[Callable[[], Join]] = Scaled

    def tiny(self) -> "ScaledConfig":
        return self

    @property
    def learns(self) -> bool:
        return True

    def build(self, llm: PreTrainedModel, modalities: Sequence[str]) -> Join:
        return type(self).make()


def test_a_join_of_a_plug_in_passes() -> None:
    check_join(ScaledConfig())


class Writing(Scaled):
    """Writes into the text that it is given."""

    def embed(self, embeds: Tensor, items: Sequence[Placed]) -> Tensor:
        for placed in items:
            embeds.view(-1, embeds.shape[-1])[placed.index] = placed.prompt.values * self.scale
        return embeds


class Short(Scaled):
    """Leaves the last place of each item."""

    def embed(self, embeds: Tensor, items: Sequence[Placed]) -> Tensor:
        found = super().embed(embeds, items).clone()
        for placed in items:
            ends = [start + length - 1 for start, length in zip(placed.starts, placed.lengths, strict=True)]
            found[0, ends] = embeds[0, ends]
        return found


class Longer(Scaled):
    """Has places that the settings do not publish."""

    def lengths(self, prompt: Ragged) -> tuple[int, ...]:
        return tuple(length + 1 for length in prompt.lengths)


class Idle(Scaled):
    """Has a parameter that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(2))


class Staying(Scaled):
    """Leaves a hook behind."""

    def hooks(self, llm: PreTrainedModel) -> Any:
        llm.get_input_embeddings().register_forward_hook(lambda module, args, output: output)
        return ()


class Breaking(Scaled):
    """Changes the LLM's weights."""

    def hooks(self, llm: PreTrainedModel) -> Any:
        llm.get_input_embeddings().weight.data[0] += 1
        return ()


class Owned(Scaled):
    """Gives the LLM a module."""

    def hooks(self, llm: PreTrainedModel) -> Any:
        llm.add_module("extra", nn.Linear(1, 1))
        return ()


class Elsewhere(Scaled):
    """Draws from a random state of its own."""

    drawn = torch.Generator().manual_seed(0)

    def __init__(self) -> None:
        super().__init__()
        self.scale.data = torch.rand(1, generator=Elsewhere.drawn)


@pytest.mark.parametrize(
    ("join", "promise"),
    [
        (Writing, r"embed\(\) must not write into what it is given"),
        (Short, r"embed\(\) must fill every place of an item, and left 3"),
        (Longer, r"lengths\(\) gives items of \[4, 2, 5\] places, places\(\) and vectors publish \[3, 1, 4\]"),
        (Idle, r"gradients must reach every parameter: none reaches \['idle'\]"),
        (Staying, r"take_out\(\) must remove every hook"),
        (Breaking, r"take_out\(\) must leave the LLM's weights as they were"),
        (Owned, r"put_into\(\) must add no weight and no name to the LLM"),
        (Elsewhere, "new weights must be drawn from torch's global random state"),
    ],
)
def test_a_broken_promise_is_named(monkeypatch: pytest.MonkeyPatch, join: type[Join], promise: str) -> None:
    monkeypatch.setattr(ScaledConfig, "make", join)
    with pytest.raises(AssertionError, match=promise):
        check_join(ScaledConfig())


def test_what_learns_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScaledConfig, "learns", property(lambda self: False))
    with pytest.raises(AssertionError, match="learns is False, and the join has 1 parameters"):
        check_join(ScaledConfig())


def test_places_that_are_published_are_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScaledConfig, "places", lambda self, prompt: Layout(1, (9,)))
    with pytest.raises(AssertionError, match=r"publish \[9, 9, 9\]"):
        check_join(ScaledConfig())
