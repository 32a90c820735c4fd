"""Media as keyword arguments of a Hugging Face model, both ways: names and shapes that its callers know.

An item of one unit is one row of its modality's argument (`pixel_values` `[i c h w]`). Items of other lengths lie one
after the other, and `pixel_values_layouts` tells how; `pixel_values_texts` is what is said beside each of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from modalink import modalities
from modalink.ragged import Layout, Ragged

_LAYOUTS, _TEXTS = "_layouts", "_texts"


@dataclass(frozen=True)
class Given:
    """The media of a forward pass, by modality.

    Args:
        media: Preprocessed items.
        features: Items that were encoded before, in the place of media.
        texts: Token ids of what is said beside the items.
    """

    media: Mapping[str, Ragged] = field(default_factory=dict)
    features: Mapping[str, Ragged] = field(default_factory=dict)
    texts: Mapping[str, Ragged] = field(default_factory=dict)


def pack(media: Mapping[str, Ragged], texts: Mapping[str, Ragged]) -> dict[str, Any]:
    """Media as keyword arguments."""
    arguments: dict[str, Any] = {}
    for modality, items in media.items():
        name = modalities.get(modality).argument
        arguments[name] = items.values
        if items.layouts != _of_rows(items.values):
            arguments[name + _LAYOUTS] = items.layouts
        if modality in texts:
            arguments[name + _TEXTS] = texts[modality]
    return arguments


def pack_texts(texts: Mapping[str, Ragged]) -> dict[str, Any]:
    """What is said beside items that come as features, as keyword arguments."""
    return {modalities.get(modality).argument + _TEXTS: said for modality, said in texts.items()}


def unpack(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], Given]:
    """Keyword arguments without media, and the media."""
    rest, media, texts = dict(kwargs), {}, {}
    features = {m: _as_ragged(given) for m, given in (rest.pop("features", None) or {}).items()}
    for modality in modalities.names():
        name = modalities.get(modality).argument
        values, layouts, said = (rest.pop(name + suffix, None) for suffix in ("", _LAYOUTS, _TEXTS))
        if values is not None:
            media[modality] = _items(values, layouts)
        if said is not None:
            texts[modality] = said
    return rest, Given(media, features, texts)


def _items(values: Tensor, layouts: Sequence[Layout] | None) -> Ragged:
    layouts = _of_rows(values) if layouts is None else tuple(layouts)
    return Ragged(values, tuple(layout.units for layout in layouts), layouts)


def _of_rows(values: Tensor) -> tuple[Layout, ...]:
    return (Layout.of_units(1),) * len(values)


def _as_ragged(features: Ragged | Tensor) -> Ragged:
    """Features as they are; a stacked tensor `[i p d]` is items of p tokens each."""
    if isinstance(features, Ragged):
        return features
    count, tokens = features.shape[:2]
    return Ragged(features.flatten(0, 1), (tokens,) * count, (Layout(1, (tokens,)),) * count)
