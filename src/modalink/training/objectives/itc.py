"""Contrast of media and captions in an input projector: BLIP-2's image-text contrastive learning (ITC).

Source: arXiv 2301.12597, section 3.2; salesforce/LAVIS, lavis/models/blip2_models/blip2_qformer.py. As there, the
others are those of the same forward pass on all processes: `micro_batch` says how many they are. Differs in that a
gradient goes through them there, too, where LAVIS cuts it off between processes: as many processes as you like learn
what one learns with all of the media.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from modalink.model.batch import Batch
from modalink.roles import Compared
from modalink.training import peers
from modalink.training.objectives import CaptionObjectiveConfig, GeneratorView, Need, Output
from modalink.training.peers import Rows
from modalink.training.randomness import ItemRngs


class ItcConfig(CaptionObjectiveConfig):
    """Cross-entropy of a medium's caption among those of its pass, and the other way; its unit is one medium.

    With one medium in a pass there is nothing to tell apart, and the loss is 0.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"contrast"})
    compares: ClassVar[bool] = True
    kind: Literal["itc"] = "itc"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        own = {modality: (output.captioned or {})[modality].compared for modality in self.captions(batch)}
        sums = [torch.zeros((), device=batch.input_ids.device)]
        for modality in peers.union(own, output.peers):
            found = own.get(modality)
            rows = (None, None) if found is None else (found.items, found.texts)
            items, texts = (peers.rows(each, output.peers, batch.input_ids.device) for each in rows)
            if found is not None and items is not None and texts is not None:
                sums += self._losses(found, items, texts)
        return torch.stack(sums).sum()

    def _losses(self, found: Compared, items: Rows, texts: Rows) -> list[Float[Tensor, ""]]:
        """Of the own media and captions; what others have in theirs through them gives a gradient, and no loss."""
        sums = []
        for temperature, is_own in ((found.temperature, True), (found.temperature.detach(), False)):
            if not is_own and len(items.all) == items.count:
                break
            rows = replace(found, texts=texts.all, items=items.part(is_own), temperature=temperature)
            columns = replace(found, items=items.all, texts=texts.part(is_own), temperature=temperature)
            each = (rows.similarities, columns.similarities.T)
            loss = torch.stack([self._loss(similar, items.places(is_own)) for similar in each]).sum() / 2
            sums.append(loss if is_own else loss - loss.detach())
        return sums

    def _loss(self, similarities: Float[Tensor, "i j"], own: Int[Tensor, " i"]) -> Float[Tensor, ""]:
        return functional.cross_entropy(similarities, own, reduction="sum", label_smoothing=self.label_smoothing)
