"""What encoders gave of media that were read before: a conversation that goes on encodes each of them once."""

import json
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from modalink.model import System
from modalink.model.items import Item, ragged
from modalink.ragged import Layout, Ragged


@runtime_checkable
class MediaFeatures(Protocol):
    """What knows encoder outputs of media."""

    def features(self, items: dict[str, list[Item]]) -> dict[str, Ragged]:
        """Encoder outputs of media, by modality."""


class EncodedMedia:
    """Encoder outputs of a system's media, those that were used last.

    They are found by the content of the medium, its layout, its preprocessing, and the encoder's weights as they are
    now: where one of them is another, it is encoded again.

    Args:
        system: The system.
        most_bytes: How much is kept; the least recently used goes first.
    """

    def __init__(self, system: System, most_bytes: int) -> None:
        self.system, self.most_bytes = system, most_bytes
        self._kept: OrderedDict[Hashable, tuple[Tensor, Layout]] = OrderedDict()
        self._bytes = 0

    def features(self, items: dict[str, list[Item]]) -> dict[str, Ragged]:
        """Encoder outputs of media, by modality; what is not kept is encoded, all of a modality at once."""
        return {modality: self._of(modality, own) for modality, own in items.items() if own}

    def _of(self, modality: str, items: Sequence[Item]) -> Ragged:
        state = (modality, self._preprocessing(modality), _state(self.system.model.model.encoder(modality)))
        keys = [(*state, item.digest, item.layout) for item in items]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        if missing := {key: item for key, item in zip(keys, items, strict=True) if key not in found}:
            units = ragged([*missing.values()]).to(self.system.model.device)
            made = self.system.model.encode(modality, units)
            # Its own memory: a part would keep the whole alive.
            rows = [values.clone() for values in made]
            found |= dict(zip(missing, zip(rows, made.layouts, strict=True), strict=True))
        for key in keys:
            self._keep(key, *found[key])
        return Ragged.of([found[key][0] for key in keys], [found[key][1] for key in keys])

    def _preprocessing(self, modality: str) -> str:
        return json.dumps(self.system.processor.readers[modality].to_dict(), sort_keys=True)

    def _keep(self, key: Hashable, values: Tensor, layout: Layout) -> None:
        if key not in self._kept:
            self._bytes += values.nbytes
        self._kept[key] = (values, layout)
        self._kept.move_to_end(key)
        while self._bytes > self.most_bytes:
            _, (last, _) = self._kept.popitem(last=False)
            self._bytes -= last.nbytes


def _state(module: nn.Module) -> int:
    """What changes whenever weights are written, moved or replaced."""
    tensors = chain(module.parameters(), module.buffers())
    return hash(tuple((t.data_ptr(), t._version, t.dtype, t.device) for t in tensors))
