"""How much better than the state of the start a system lets its generator restore media: what feedback on media weighs.

A generator's density of a medium is not known; how well it restores the medium under noise bounds it (Diffusion-DPO,
arXiv 2311.12908, eq. 14). The sides of a sample, and policy and reference, see the same time and the same noise.
"""

from collections import Counter
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import TrainingError
from modalink.model.batch import Batch, Targets
from modalink.model.sides import pairs_of
from modalink.training.objectives import GeneratorView, Output, conditions_of
from modalink.training.randomness import ItemRngs


def gains(
    output: Output, batch: Batch, modality: str, generator: GeneratorView, rngs: ItemRngs, chosen: list[int]
) -> Float[Tensor, " i"]:
    """The reference's denoising error less the policy's, of some of a modality's targets, float32.

    Args:
        output: Conditions of both.
        batch: The batch.
        modality: The modality.
        generator: Its generator.
        rngs: Sources of time and noise.
        chosen: Which targets.
    """
    targets = batch.targets[modality]
    latents = generator.latents(targets, chosen)

    def errors(of: Output) -> Tensor:
        drawn = rngs.of(f"noise {modality}", targets.samples)  # anew for each, so that both draw the same
        conditions = conditions_of(of, batch, modality).take(chosen)
        return generator.denoising_error(latents, conditions, [drawn[i] for i in chosen]).float()

    with torch.no_grad(), generator.denoiser.at_start():
        reference = errors(Output(conditions=output.reference_conditions))
    return reference - errors(output)


def pairs(batch: Batch, targets: Targets) -> list[tuple[int, int]]:
    """The targets that are compared, the better first: of two replies to one prompt the first with the first, and on.

    Raises:
        TrainingError: Two replies make media, and not as many.
    """
    found: list[tuple[int, int]] = []
    for pair in pairs_of(batch.sides):
        better, worse = (
            [i for i in targets.learned if targets.samples[i] == side] for side in (pair.chosen, pair.rejected)
        )
        if better and worse and len(better) != len(worse):
            raise TrainingError(
                f"sample {batch.samples[pair.chosen]}: found replies that make {len(better)} and {len(worse)} media, "
                "needed as many, so that each is compared with one"
            )
        found += zip(better, worse, strict=False)
    return found


def marked(batch: Batch, targets: Targets) -> dict[int, bool]:
    """The targets that were judged, and whether each is good: as its label says; of ranked replies the best is."""
    found = {}
    beside = Counter(side.sample for side in batch.sides if side.judgement.variant is None)
    for i in targets.learned:
        side = batch.sides[targets.samples[i]]
        label = side.judgement.label
        if side.judgement.variant is None and (label is not None or beside[side.sample] > 1):
            found[i] = side.judgement.rank == 0 if label is None else label
    return found


def summed(losses: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, ""]:
    """The sum over modalities."""
    return torch.cat([*losses.values()]).sum()
