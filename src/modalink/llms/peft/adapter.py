"""Bottleneck adapters behind attention and feed-forward networks, in series; peft has none of this form.

Source: Houlsby et al., arXiv 1902.00751, section 2.1: h + up(act(down(h))) behind the last map of each of the two.
"""

from collections.abc import Collection
from typing import Any, Literal, Self

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from modalink.adapters.layers import adapted, attach, by_last_name, linear_layers, targeted
from modalink.kinds import Width
from modalink.roles import PeftConfig

_CHILD = "series_adapter"
_ENDS = ("o_proj", "out_proj", "o", "dense", "down_proj", "fc2", "wo", "w2", "dense_4h_to_h", "c_proj", "fc_out")
"""Last maps of attention and feed-forward networks, as families call them."""


class AdapterConfig(PeftConfig):
    """Bottlenecks in series, which at first change nothing."""

    kind: Literal["adapter"] = "adapter"
    width: Width
    """Width of the bottlenecks."""
    targets: tuple[str, ...] | None = None
    """Last names of the linear layers behind which one stands; by default those that end attention and feed-forward
    networks under a known name."""

    def tiny(self) -> "AdapterConfig":
        """Narrow, behind the layers that are taken by default."""
        return AdapterConfig(width=min(self.width, 16))

    def put_into(self, llm: PreTrainedModel, checkpoint: str) -> None:
        named = by_last_name(linear_layers(llm))
        key, what = "llm.peft.targets", "linear layer"
        names = targeted(
            named, self.targets, lambda: _default(named), checkpoint=f"llm {checkpoint}", key=key, what=what
        )
        for name in sorted(names):
            linear = llm.get_submodule(name)
            like = next(linear.parameters())
            width = linear.out_features if isinstance(linear, nn.Linear) else like.shape[1]  # of Conv1D
            attach(linear, _CHILD, Bottleneck(int(width), self.width).to(like.device))
            linear.register_forward_hook(_in_series)

    def as_built(self, llm: PreTrainedModel) -> Self:
        """With the names of the layers behind which one stands."""
        return self if self.targets is not None else self.replace(targets=tuple(sorted(adapted(llm))))


class Bottleneck(nn.Module):
    """Down to a few channels and up again, beside the way around.

    Args:
        dim: Width of the states.
        width: Width of the bottleneck.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(dim, width)
        self.up = nn.Linear(width, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """The states and what the bottleneck adds."""
        added = self.up(functional.gelu(self.down(states.to(self.down.weight.dtype))))
        found: Tensor = states + added.to(states.dtype)
        return found


def _in_series(linear: nn.Module, args: Any, states: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """What a layer gives, through its adapter."""
    for adapter in linear.get_submodule(_CHILD).children():
        states = adapter(states)
    return states


def _default(named: dict[str, set[str]]) -> Collection[str]:
    return [name for name in _ENDS if name in named]
