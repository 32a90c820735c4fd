"""LoRA in encoders: one adapter for all units, or one for each window of an image, as Monkey has it.

Source: Monkey (arXiv 2311.06607, section 3.1), and Yuliang-Liu/Monkey, monkey_model/visual.py: windows go through the
frozen encoder with adapters of their own, the thumbnail without any. Differs in that an adapter stands beside each
linear layer, where Monkey's for a feed-forward network goes around both of its layers and their norm.
"""

from itertools import accumulate, chain
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from modalink.adapters.layers import ADAPTER, by_last_name, inject, targeted
from modalink.adapters.lora import library_config
from modalink.devices import to_device
from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder, EncoderConfig, EncoderLora


def built(config: EncoderConfig, *, weights: bool = True) -> Encoder:
    """An encoder as a system has it: frozen, with what learns beside its layers.

    Args:
        config: Its settings.
        weights: Whether it has the checkpoint's weights, or only its architecture.

    Raises:
        PartError: It cannot be built, or adapters find no place in it.
    """
    encoder = config.build(weights=weights).requires_grad_(False).eval()
    if config.lora is not None:
        _add_lora(encoder, config.lora, config)
    return encoder


def _add_lora(encoder: Encoder, spec: EncoderLora, config: EncoderConfig) -> None:
    named = by_last_name(_linear_layers(encoder))
    where, key = f"encoder {config.kind} ({config.checkpoint})", "lora.targets"
    names = targeted(named, spec.targets, named.keys, checkpoint=where, key=key, what="linear layer")
    if unknown := sorted(spec.ranks.keys() - named.keys()):
        known = ", ".join(sorted(named))
        raise PartError(f"{where}: no linear layer is called {unknown[0]} (lora.ranks); its layers are {known}")
    strengths = {name: spec.alpha * rank / spec.rank for name, rank in spec.ranks.items()}
    settings = library_config(spec, names, rank_pattern=dict(spec.ranks), alpha_pattern=strengths)
    if not spec.per_window:
        inject(encoder, settings)
        return
    if any(encoder.for_modality(modality) is not encoder for modality in config.reads()):
        raise PartError(f"{where}: reads several modalities in ways of their own; lora.per_window needs one way")
    for number in range(config.windows()):
        inject(encoder, settings, _name(number))
    _PerWindow(config.windows()).put_into(encoder)


def _name(window: int) -> str:
    return f"{ADAPTER}_window_{window}"


def _linear_layers(encoder: Encoder) -> list[str]:
    """Names of the linear layers that tokens depend on and that are called: torch's own attention reads weights."""
    read_past = tuple(f"{n}." for n, module in encoder.named_modules() if isinstance(module, nn.MultiheadAttention))
    return [
        name
        for name, module in encoder.named_modules()
        if type(module) is nn.Linear and f"{name}.weight" not in encoder.unread and not name.startswith(read_past)
    ]


class _PerWindow:
    """Sends each unit through the adapters of its window.

    The layers are told by hooks which units are which: they see units alone. Adapters of the library for single rows
    of a batch would draw dropout in an order that is another in each process.

    Args:
        count: How many windows an image has.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.units = 0
        self.rows: list[Tensor] | None = None

    def put_into(self, encoder: Encoder) -> None:
        encoder.register_forward_pre_hook(self._begin)
        encoder.register_forward_hook(self._end, always_call=True)
        for layer in encoder.modules():
            if isinstance(layer, LoraLayer):
                layer.set_adapter([])  # the library would add those of one window everywhere
                layer.register_forward_hook(self._add)

    def _begin(self, encoder: nn.Module, given: tuple[Ragged, ...]) -> None:
        items = given[0]
        self.units = len(items.values)
        rows = _rows(items.layouts, self.count)
        self.rows = [to_device(torch.tensor(own, dtype=torch.long), items.values.device) for own in rows]

    def _end(self, *_: Any) -> None:
        self.rows = None

    def _add(self, layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(layer, LoraLayer)
        x = given[0]
        if self.rows is None or len(x) != self.units:
            raise PartError(
                f"lora.per_window: a layer found {len(x)} rows and {self.units} windows, needed as many: this encoder "
                "mixes windows before its layers; leave per_window out"
            )
        added = []
        for number, rows in enumerate(self.rows):
            name = _name(number)
            down, up = layer.lora_A[name], layer.lora_B[name]
            read = layer.lora_dropout[name](x[rows].to(next(down.parameters()).dtype))
            added.append(up(down(read)) * layer.scaling[name])
        return output.index_add(0, torch.cat(self.rows), torch.cat(added).to(output.dtype))


def _rows(layouts: tuple[Layout, ...], windows: int) -> list[list[int]]:
    """Of each window, the units that are it: one of each tiled item; thumbnails and items without tiles are none."""
    starts = accumulate(chain([0], (layout.units for layout in layouts)))
    found: list[list[int]] = [[] for _ in range(windows)]
    for start, layout in zip(starts, layouts, strict=False):
        if layout.tiles is None:
            continue
        tiles = [start + i for i in range(layout.units) if i != layout.thumbnail]
        if len(tiles) != windows:
            raise PartError(f"lora.per_window: found an image of {len(tiles)} windows, needed {windows}")
        for own, unit in zip(found, tiles, strict=True):
            own.append(unit)
    return found
