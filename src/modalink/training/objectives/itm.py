"""Pairs of media and captions told from wrong ones in an input projector: BLIP-2's image-text matching (ITM).

Source: arXiv 2301.12597, section 3.2; salesforce/LAVIS, lavis/models/blip2_models/blip2_qformer.py. Wrong ones are
hard: the better the contrast finds a caption or a medium of the same forward pass, the oftener it is drawn. Differs in
that a medium with the very same caption is never a wrong one.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from modalink.devices import to_device
from modalink.model.batch import Batch
from modalink.training.objectives import Captioned, CaptionObjectiveConfig, GeneratorView, Need, Output
from modalink.training.randomness import ItemRngs

_FLOOR = 1e-4
"""What is added to the share of each wrong one, so that easy ones are drawn too."""


class ItmConfig(CaptionObjectiveConfig):
    """Mean cross-entropy of three pairs for each medium: with its caption, with a wrong one, its caption with a wrong
    medium; its unit is one medium."""

    needs: ClassVar[frozenset[Need]] = frozenset({"matching"})
    kind: Literal["itm"] = "itm"

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, described in self.captions(batch).items():
            found, count = (output.captioned or {})[modality], len(described.places)
            noise = [torch.rand(2, count, generator=rng) for rng in rngs.of(f"wrong {modality}", described.samples)]
            pairs = drawn(found, torch.stack(noise, dim=1))
            logits = found.projector.matches(found.features, found.words, pairs.items, pairs.texts).float()
            right = to_device((torch.arange(len(logits)) < count).long(), logits.device)
            sums.append(functional.cross_entropy(logits, right) * count)
        return torch.stack(sums).sum()


class Pairs(NamedTuple):
    """Media and captions: each medium with its own, then wrong media for captions, then wrong captions for media."""

    items: Int[Tensor, " k"]
    texts: Int[Tensor, " k"]


def drawn(found: Captioned, noise: Float[Tensor, "2 i i"]) -> Pairs:
    """Right pairs, and a wrong one for each medium and each caption, where there are any.

    Args:
        found: Media and captions.
        noise: Uniform draws: first those of the wrong captions of media, then those of the wrong media of captions.
    """
    similarities, texts = found.similarities.detach(), found.described.texts
    wrong = torch.tensor([[other != text for other in texts] for text in texts])
    chosen = to_device(wrong.any(dim=1).nonzero().flatten(), similarities.device)
    own = to_device(torch.arange(len(texts)), similarities.device)
    noise, wrong = to_device(noise, similarities.device), to_device(wrong, similarities.device)
    wrong_texts = _drawn(similarities, wrong, noise[0])[chosen]
    wrong_items = _drawn(similarities.T, wrong, noise[1])[chosen]
    return Pairs(torch.cat([own, wrong_items, chosen]), torch.cat([own, chosen, wrong_texts]))


def _drawn(
    similarities: Float[Tensor, "i j"], wrong: Bool[Tensor, "i j"], noise: Float[Tensor, "i j"]
) -> Int[Tensor, " i"]:
    """For each row a wrong column, drawn by its share: the largest of noisy logarithms (Gumbel), without the host."""
    shares = (similarities.softmax(dim=1) + _FLOOR).log()
    gumbel = -(-noise.clamp(1e-20, 1 - 1e-7).log()).log()
    return (shares + gumbel).masked_fill(~wrong, -torch.inf).argmax(dim=1)
