"""Pairs of media and captions told from wrong ones in an input projector: BLIP-2's image-text matching (ITM).

Source: arXiv 2301.12597, section 3.2; salesforce/LAVIS, lavis/models/blip2_models/blip2_qformer.py. Wrong ones are
hard: the better the contrast finds a caption or a medium of the same forward pass on all processes, the oftener it is
drawn. Differs in that a medium with the very same caption is never a wrong one, and in that a process asks about its
own media alone: captions go from process to process, features of media do not.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from modalink.devices import to_device
from modalink.model.batch import Batch
from modalink.model.items import Described
from modalink.roles import Compared
from modalink.training import peers
from modalink.training.objectives import Captioned, CaptionObjectiveConfig, GeneratorView, Need, Output
from modalink.training.randomness import ItemRngs

_FLOOR = 1e-4
"""What is added to the share of each wrong one, so that easy ones are drawn too."""


class ItmConfig(CaptionObjectiveConfig):
    """Mean cross-entropy of three pairs for each medium: with its caption, with a wrong one, its caption with a wrong
    medium; its unit is one medium."""

    needs: ClassVar[frozenset[Need]] = frozenset({"matching"})
    compares: ClassVar[bool] = True
    kind: Literal["itm"] = "itm"

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        device = batch.input_ids.device
        own = {modality: (output.captioned or {})[modality] for modality in self.captions(batch)}
        sums = [torch.zeros((), device=device)]
        for modality in peers.union(own, output.peers):
            found = own.get(modality)
            media = _Media.of(found, output.peers, rngs, device)
            if found is not None and media is not None:
                sums.append(_loss(found, media, media.pairs(f"wrong {modality}", rngs)))
        return torch.stack(sums).sum()


def _loss(found: Captioned, media: "_Media", pairs: "Pairs") -> Float[Tensor, ""]:
    """The share of own media in the mean over all pairs, times the number of all media."""
    count = len(media.texts)
    right = to_device((torch.arange(len(pairs.items)) < count).long(), pairs.items.device)
    items, texts, words = pairs.items - media.first, pairs.texts, found.words
    if count > media.own:
        ours = (items >= 0) & (items < media.own)
        items, texts, right = items[ours], texts[ours], right[ours]
        words = Described((), (), media.texts).words.to(pairs.items.device)
    logits = found.projector.matches(found.features, words, items, texts).float()
    return functional.cross_entropy(logits, right, reduction="sum") * count / len(pairs.items)


class _Media(NamedTuple):
    """The media of a pass on all processes, with their captions, one process after the other."""

    similarities: Float[Tensor, "i i"]
    """How well each medium goes with each caption."""
    texts: tuple[tuple[int, ...], ...]
    """Token ids of the captions."""
    positions: tuple[int, ...]
    """Each one's sample's place in the whole step."""
    first: int
    """The place of the first own one."""
    own: int
    """How many own ones there are."""

    @classmethod
    def of(cls, found: Captioned | None, name: str | None, rngs: ItemRngs, device: torch.device) -> "_Media | None":
        """All media, or None where this process has none; each process must ask at the same time.

        Args:
            found: This process's, if it has some.
            name: What its pass is called; None where it is alone.
            rngs: Know the places of this process's samples.
            device: Where vectors are.
        """
        compared = (None, None) if found is None else (found.compared.items.detach(), found.compared.texts.detach())
        items, texts = (peers.rows(vectors, name, device) for vectors in compared)
        described = None if found is None else found.described
        told = [] if described is None else [rngs.positions[sample] for sample in described.samples]
        captions = peers.told([] if described is None else list(zip(told, described.texts, strict=True)), name)
        if found is None or items is None or texts is None:
            return None
        similarities = Compared(items.all, texts.all, found.compared.temperature.detach()).similarities
        positions, ids = zip(*captions, strict=True)
        return cls(similarities, ids, positions, items.first, items.count)

    def pairs(self, purpose: str, rngs: ItemRngs) -> "Pairs":
        """The pairs of all media, the same on all processes, and those that one process with all of them would draw.

        Args:
            purpose: What is drawn.
            rngs: Draw for the samples of a step.
        """
        order = sorted(range(len(self.texts)), key=lambda place: self.positions[place])
        everywhere = ItemRngs(rngs.seed, rngs.step, [self.positions[place] for place in order])
        samples = [everywhere.positions.index(position) for position in everywhere.positions]
        noise = [torch.rand(2, len(order), generator=rng) for rng in everywhere.of(purpose, samples)]
        back = to_device(torch.tensor(order), self.similarities.device)
        found = drawn(self.similarities[back][:, back], [self.texts[place] for place in order], torch.stack(noise, 1))
        return Pairs(back[found.items], back[found.texts])


class Pairs(NamedTuple):
    """Media and captions: each medium with its own, then wrong media for captions, then wrong captions for media."""

    items: Int[Tensor, " k"]
    texts: Int[Tensor, " k"]


def drawn(similarities: Float[Tensor, "i i"], texts: Sequence[tuple[int, ...]], noise: Float[Tensor, "2 i i"]) -> Pairs:
    """Right pairs, and a wrong one for each medium and each caption, where there are any.

    Args:
        similarities: How well each medium goes with each caption.
        texts: Token ids of the captions.
        noise: Uniform draws: first those of the wrong captions of media, then those of the wrong media of captions.
    """
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
