"""How likely a system finds the answers of conversations, with the media that they show."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn import functional

from modalink.inference.encoded import EncodedMedia
from modalink.model import System
from modalink.model.collating import collate
from modalink.model.prepared import Prepared

_KEPT_BYTES = 2**28


class Likelihoods:
    """Asks a system; each medium is encoded once for all conversations that show it, as far as memory is kept.

    Args:
        system: The system, on its device, as `modalink.inference.load` gives it.
        batch: Conversations side by side.
    """

    def __init__(self, system: System, batch: int = 64) -> None:
        self.system, self._batch = system, batch
        self._encoded = EncodedMedia(system, _KEPT_BYTES)

    def of(self, prepared: Sequence[Prepared]) -> list[float]:
        """Log-probability of all tokens that are learned of each conversation, in nats, in order.

        Raises:
            MediumError: A medium cannot be decoded.
        """
        # Neighbours in length: little is padded.
        order = sorted(range(len(prepared)), key=lambda at: len(prepared[at].input_ids))
        found: dict[int, float] = {}
        for start in range(0, len(order), self._batch):
            places = order[start : start + self._batch]
            found |= dict(zip(places, self._measured([prepared[at] for at in places]), strict=True))
        return [found[at] for at in range(len(prepared))]

    @torch.no_grad()
    def _measured(self, prepared: Sequence[Prepared]) -> list[float]:
        processor, model = self.system.processor, self.system.model
        batch = collate(
            prepared,
            packed=False,
            pad_id=processor.tokenizer.pad_token_id,
            encoder_decoder=processor.encoder_decoder,
        )
        features = self._encoded.features({modality: list(items) for modality, items in batch.items.items()})
        batch = replace(batch, features=features).to(model.device)
        logits = model(**batch.inputs(conditions=False)).logits.float()
        each = -functional.cross_entropy(logits, batch.wanted, reduction="none").double().cpu()
        counts = [int(row) for row in batch.predicting.sum(1)]
        return [float(own.sum()) for own in each.split(counts)]
