"""What a link can know before its first step."""

from collections.abc import Collection, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from modalink.model import ModalinkForConditionalGeneration
from modalink.model.prepared import Prepared
from modalink.recipe.groups import Group
from modalink.roles import Centred, CentredJointly, Conditions, JointOutputProjector, ReadsText
from modalink.training import parallel
from modalink.training.frozen import FrozenGenerator


def centre(
    model: ModalinkForConditionalGeneration,
    trained: Collection[str],
    generators: Mapping[str, FrozenGenerator],
    samples: Sequence[Prepared],
) -> None:
    """Start new output projectors that can take it from the mean of the generator's own conditions.

    Args:
        model: The model.
        trained: Names of the groups that the stage trains.
        generators: The frozen generators by modality.
        samples: This process's samples of the stage's first step; the mean is that of the captions of the targets of
            all processes.
    """
    for modality, generator in generators.items():
        if Group.output_projector(modality) not in trained or not isinstance(generator.generator, ReadsText):
            continue
        link = model.link(modality)
        joint = link if isinstance(link, JointOutputProjector) and isinstance(link, CentredJointly) else None
        heads = {n: head for n, head in model.heads(modality).items() if isinstance(head, Centred) and not head.centred}
        if not heads and (joint is None or joint.centred):
            continue
        targets = [item for sample in samples for item in sample.targets.get(modality, ())]
        if captions := parallel.gathered([item.caption for item in targets if item.caption and item.loss]):
            conditions = generator.text_conditions(captions)
            for name, head in heads.items():
                head.centre(_mean(conditions, name))
            if joint is not None:
                joint.centre({name: _mean(conditions, name) for name in conditions.tensors})


def _mean(conditions: Conditions, name: str) -> Float[Tensor, "l d_gen"]:
    """The mean of a condition over the items that have each token; of a pooled one, as of one token."""
    values = conditions[name].float()
    if name in conditions.masks:
        there = conditions.masks[name][..., None]
        return (values * there).sum(0) / there.sum(0).clamp(min=1)
    return values.mean(0).view(-1, values.shape[-1])
