"""Flow matching of conditions: a link that draws learns the generator's own conditions of the target's caption.

Source: BLIP3-o (arXiv 2505.09568, section 3), where flow matching to features beats their regression; the loss is that
of rectified flow, Liu et al. (arXiv 2209.03003).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import TrainingError
from modalink.model.batch import Batch
from modalink.roles import DrawsConditions, ReadsText
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, demand_targets
from modalink.training.objectives.align import captioned
from modalink.training.randomness import ItemRngs


class FlowObjectiveConfig(ItemObjectiveConfig):
    """Mean squared error of the velocity from noise to conditions; its unit is one captioned item.

    Of several conditions the mean over those is taken whose projector draws.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"links"})
    reads_media: ClassVar[bool] = False
    kind: Literal["flow"] = "flow"

    def abilities(self) -> tuple[type, ...]:
        return (ReadsText,)

    def count(self, batch: Batch) -> int:
        return sum(len(captioned(targets)) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, targets in self.targets(batch).items():
            if not (chosen := captioned(targets)):
                continue
            link = (output.links or {}).get(modality)
            demand_targets(batch, modality, 0 if link is None else len(link.asked))
            assert link is not None
            wanted = generators[modality].text_conditions([targets.captions[i] or "" for i in chosen])
            states, errors = link.asked[chosen], []
            for name, head in link.heads.items():
                if isinstance(head, DrawsConditions):
                    # Drawn for all items, so that one item's draws do not depend on the marks of the others.
                    noise = rngs.of(f"flow {modality} {name}", targets.samples)
                    values = wanted[name].reshape(len(chosen), -1, wanted[name].shape[-1])
                    mask, own = wanted.masks.get(name), [noise[i] for i in chosen]
                    errors.append(_error(head, states, values, own, mask))
            if not errors:
                raise TrainingError(
                    f"outputs.{modality}: the objective 'flow' needs a projector that draws: projector: {{kind: flow}}"
                )
            sums.append(torch.stack(errors).mean(0).sum())
        return torch.stack(sums).sum()


def _error(
    head: DrawsConditions,
    states: Float[Tensor, "i k d_llm"],
    wanted: Float[Tensor, "i l d_gen"],
    rng: list[torch.Generator],
    mask: Tensor | None,
) -> Float[Tensor, " i"]:
    """The error of as many tokens as the projector makes, which are the first where a mask leaves out the rest."""
    made: int = head.tokens_out
    return head.drawing_error(states, wanted[:, :made], rng, None if mask is None else mask[:, :made])
