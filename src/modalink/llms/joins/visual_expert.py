"""A second set of weights for media tokens in the LLM's layers, as CogVLM has it.

Every linear layer of a decoder layer (queries, keys, values, attention output, feed-forward) gets a twin that computes
for the tokens of media; attention runs over all tokens, and norms are shared. Twins start as copies of the LLM's.

Source: CogVLM, arXiv 2311.03079, section 2.1. As in the authors' code the vector behind an item counts as text, the
one before it does not.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from peft.tuners.tuners_utils import BaseTunerLayer
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modalink.adapters.layers import attached
from modalink.devices import to_device
from modalink.errors import PartError
from modalink.kinds import Count
from modalink.llms._calls import takes_positions
from modalink.llms._layers import decoder_layers, every_nth
from modalink.llms._quantized import is_quantised
from modalink.llms.joins._borrowing import BorrowingJoinConfig, Origin
from modalink.llms.joins._spliced import Spliced, SplicedConfig
from modalink.llms.joins._vectors import Vectors
from modalink.roles import Meeting, Placed, Rows

_QKV = r"layers.\1.self_attn_q_proj+self_attn_k_proj+self_attn_v_proj."
_AROUND = {
    rf"(?:model\.vision|mixins\.eva|transformer\.vision)\.{there}$": f"vectors.{here}.weight"
    for there, here in (("boi", "begin"), ("eoi", "end"))
}
_SETTINGS = {"every": 1, "first": 0, "positions": "shared"}
_ORIGINS = (
    Origin(
        r"(?:model\.)?layers\.(\d+)\.",
        {
            r"self_attn\.vision_expert_query_key_value\.": _QKV,
            r"self_attn\.vision_expert_dense\.": r"layers.\1.self_attn_o_proj.",
            r"mlp\.vision_mlp\.(gate|up|down)_proj\.": r"layers.\1.mlp_\2_proj.",
        },
        beside=_AROUND,
        settings=_SETTINGS,
    ),
    Origin(
        r"mixins\.",
        {
            r"rotary\.vision_query_key_value_list\.(\d+)\.": _QKV,
            r"rotary\.vision_dense_list\.(\d+)\.": r"layers.\1.self_attn_o_proj.",
            r"mlp\.vision_gate_proj\.(\d+)\.": r"layers.\1.mlp_gate_proj.",
            r"mlp\.vision_dense_h_to_4h_list\.(\d+)\.": r"layers.\1.mlp_up_proj.",
            r"mlp\.vision_dense_4h_to_h_list\.(\d+)\.": r"layers.\1.mlp_down_proj.",
        },
        beside=_AROUND,
        settings=_SETTINGS,
    ),
)
"""CogVLM on the hub, and of its own repository: beside LLaMA's layers, with the vectors around an image."""


class VisualExpertConfig(BorrowingJoinConfig, SplicedConfig):
    """Media tokens spliced into the text, with weights of their own in the LLM's layers."""

    origins: ClassVar[tuple[Origin, ...]] = _ORIGINS
    in_layers: ClassVar[bool] = True
    kind: Literal["visual_expert"] = "visual_expert"
    every: Count = 1
    """Every so many layers have a twin; CogVLM's ablation has 4."""
    first: Annotated[int, Field(ge=0)] = 0
    """The first layer that has one, from 0."""
    positions: Literal["shared", "each"] = "shared"
    """`shared`: the prompt tokens of an item stand at one position, as in CogVLM; `each`: at one each, as text."""

    def tiny(self) -> "VisualExpertConfig":
        """Experts in every second layer at least."""
        return self.drawn_anew().at_most(every=2, first=1)

    def trial(self) -> "VisualExpertConfig":
        return self.drawn_anew().replace(every=1, first=0)

    def sections(self) -> tuple[str, ...]:
        """The experts, and learned vectors if they are wanted."""
        return ("layers", *["vectors"] * any(self.vectors))

    @property
    def learns(self) -> bool:
        return True

    def build(self, llm: PreTrainedModel, modalities: Sequence[str]) -> "VisualExpert":
        """The experts, as copies of the LLM's layers.

        Raises:
            PartError: The LLM has no linear layers for them, or no positions that could be shared.
        """
        return VisualExpert(self, llm, modalities)


@dataclass(frozen=True, eq=False)
class Sorted(Meeting):
    """Which tokens of a pass are media, and by how much the positions of later tokens are smaller.

    Args:
        rows: What the LLM reads.
        text: Places of text, in the rows laid one after the other; None where there are no media.
        media: Places of media.
        order: Where each token stands in text and then media.
        behind: 1 at tokens that stand at the position of the token before them, `[b, t]`; None if positions are not
            shared.
        shift: Of each row, how many such tokens came before this pass, `[b, 1]`.
        seen: How many tokens came before this pass.
    """

    rows: Rows
    text: Int[Tensor, " texts"] | None
    media: Int[Tensor, " media"] | None
    order: Int[Tensor, " all"] | None
    behind: Int[Tensor, "b t"] | None
    shift: Int[Tensor, "b 1"] | None
    seen: int

    def positions(self, position_ids: Int[Tensor, "b t"] | None) -> Int[Tensor, "b t"] | None:
        """The positions, smaller by the tokens of the same sample that share one; `[a, I, I, I, b]` is 0 1 1 1 2."""
        if self.behind is None or self.shift is None:
            return position_ids
        place = torch.arange(self.rows.width, device=self.behind.device)
        if position_ids is None:
            position_ids = place + self.seen
        position_ids = position_ids.expand_as(self.behind)
        counted = self.behind.cumsum(1)
        first = (place - position_ids).clamp(min=0)  # of the sample, where it begins in this pass
        return position_ids - self.shift - (counted - counted.gather(1, first))

    def kept(self) -> "Sorted":
        shift = self.shift
        if shift is not None and self.behind is not None:
            shift = shift + self.behind.sum(1, keepdim=True)
        return Sorted(self.rows, None, None, None, None, shift, self.seen + self.rows.width)

    def select(self, index: Sequence[int]) -> "Sorted":
        return replace(self, shift=None if self.shift is None else self.shift[list(index)])

    def beside(self, others: Sequence[Meeting]) -> "Sorted":
        shifts = [met.shift for met in (self, *others) if isinstance(met, Sorted) and met.shift is not None]
        return replace(self, shift=torch.cat(shifts) if shifts else None)


class VisualExpert(Spliced):
    """The experts, and learned vectors around items.

    Args:
        config: Which layers have one.
        llm: The LLM that they are copied from.
        modalities: What comes in.
    """

    def __init__(self, config: VisualExpertConfig, llm: PreTrainedModel, modalities: Sequence[str]) -> None:
        super().__init__(Vectors.of(llm, modalities, begin=config.begin, end=config.end))
        layers = decoder_layers(llm)
        self.shared = config.positions == "shared"
        if self.shared and not takes_positions(type(llm)):
            raise PartError(f"{type(llm).__name__} takes no positions that could be shared; set join.positions: each")
        self.numbers = every_nth(layers, config.every, config.first)
        self.layers = nn.ModuleList(_twins(layers[number]) for number in self.numbers)

    def hooks(self, llm: PreTrainedModel) -> Iterator[Any]:
        layers = decoder_layers(llm)
        for number, twins in zip(self.numbers, self.layers, strict=True):
            for name, linear in _linear(layers[number]).items():
                yield _Route(self, linear, twins.get_submodule(_flat(name)))

    def meet(self, rows: Rows, items: Sequence[Placed], before: Meeting | None) -> Sorted | None:
        before = before if isinstance(before, Sorted) else None
        if not items and before is None and not self.shared:
            return None
        own, inner = self._places(items)
        count, device = rows.count * rows.width, self._device()
        text = media = order = behind = None
        if own is not None:
            marked = torch.zeros(count, dtype=torch.long, device=device).index_fill(0, own, 1)
            text, media = (sorted_places := marked.argsort(stable=True)).tensor_split([count - len(own)])
            order = sorted_places.argsort()
        if self.shared:
            behind = torch.zeros(count, dtype=torch.long, device=device)
            behind = (behind if inner is None else behind.index_fill(0, inner, 1)).view(rows.count, rows.width)
        shift = torch.zeros(rows.count, 1, dtype=torch.long, device=device) if self.shared else None
        if before is not None and before.shift is not None:
            shift = before.shift
        return Sorted(rows, text, media, order, behind, shift, 0 if before is None else before.seen)

    def _device(self) -> torch.device:
        return next(self.layers.parameters()).device

    def _places(self, items: Sequence[Placed]) -> tuple[Tensor | None, Tensor | None]:
        """Places of media, and of prompt tokens behind the first one of their item; None where there are none."""
        own: list[int] = []
        inner: list[int] = []
        start = 0
        for length in (length for placed in items for length in placed.lengths):
            end = start + length - (self.vectors.end is not None)
            own += range(start, end)
            inner += range(start + (self.vectors.begin is not None) + 1, end)
            start += length
        if not own:
            return None, None
        places = torch.cat([placed.index for placed in items])
        chosen = [torch.tensor(numbers, dtype=torch.long) for numbers in (own, inner)]
        own_places, inner_places = (places[to_device(numbers, places.device)] for numbers in chosen)
        return own_places, inner_places


class _Route:
    """Sends the media tokens of a linear layer to its twin, until it is removed.

    Args:
        join: Knows which tokens are media.
        linear: The LLM's layer.
        twin: The layer for media.
    """

    def __init__(self, join: VisualExpert, linear: nn.Module, twin: nn.Module) -> None:
        self.join, self.linear, self.twin = join, linear, twin
        self.before = vars(linear).get("forward")
        vars(linear)["forward"] = self

    def remove(self) -> None:
        """Let the layer compute for all tokens again."""
        if self.before is None:
            del vars(self.linear)["forward"]
        else:
            vars(self.linear)["forward"] = self.before

    def __call__(self, states: Float[Tensor, "*b d"], *args: Any, **kwargs: Any) -> Tensor:
        met = self.join.meeting
        if not isinstance(met, Sorted) or met.order is None or met.text is None or met.media is None:
            return self._own(states, *args, **kwargs)
        flat = states.flatten(0, -2)
        if len(flat) != len(met.order):
            raise PartError(
                f"a linear layer of the LLM reads {len(flat)} tokens where the pass has {len(met.order)}, so that it "
                "cannot be told which of them are media"
            )
        text_places, media_places, order = (found.to(flat.device) for found in (met.text, met.media, met.order))
        text = self._own(flat[text_places], *args, **kwargs)
        media = self.twin(flat[media_places].to(next(self.twin.parameters()).dtype)).to(text.dtype)
        return torch.cat([text, media])[order].unflatten(0, states.shape[:-1])

    def _own(self, *args: Any, **kwargs: Any) -> Tensor:
        found: Tensor
        found = self.before(*args, **kwargs) if self.before else type(self.linear).forward(self.linear, *args, **kwargs)
        return found


def _linear(layer: nn.Module) -> dict[str, nn.Module]:
    """The linear layers inside a decoder layer, by name; one with adapters is one.

    Raises:
        PartError: There are none, or it holds matrices that are no linear layers.
    """
    found: dict[str, nn.Module] = {}
    for name, module in layer.named_modules():
        if attached(module) is not None:
            raise PartError(
                f"{type(layer).__name__} has adapters in {name} that a visual expert cannot stand beside; needed "
                "llm.peft of the kind lora or ia3"
            )
        if isinstance(_base(module), nn.Linear | Conv1D) and not name.startswith(tuple(f"{n}." for n in found)):
            found[name] = module
    inside = tuple(f"{name}." for name in found)
    others = [name for name, p in layer.named_parameters() if p.ndim > 1 and not name.startswith(inside)]
    if others or not found:
        what = f"matrices outside of linear layers ({others[0]})" if others else "no linear layers"
        raise PartError(f"{type(layer).__name__} has {what}, so that media tokens can have no weights of their own")
    return found


def _twins(layer: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict({_flat(name): _copied(module) for name, module in _linear(layer).items()})


def _copied(linear: nn.Module) -> nn.Module:
    if any(map(is_quantised, _base(linear).parameters())):
        raise PartError(
            "visual_expert learns in copies of the LLM's layers, and rounded ones cannot learn; leave out llm.quantize"
        )
    return copy.deepcopy(_base(linear)).requires_grad_(True)


def _base(module: nn.Module) -> nn.Module:
    """The layer beside which adapters stand, or the layer itself."""
    return module.get_base_layer() if isinstance(module, BaseTunerLayer) else module


def _flat(name: str) -> str:
    return name.replace(".", "_")
