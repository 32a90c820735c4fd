"""What a link can know before its first step."""

from collections.abc import Collection, Mapping, Sequence

from modalink.model import ModalinkForConditionalGeneration
from modalink.model.batch import Prepared
from modalink.recipe.groups import Group
from modalink.roles import Centred, ReadsText
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
        samples: The samples of the stage's first step; the mean is that of the captions of their targets.
    """
    for modality, generator in generators.items():
        projector = model.output_projectors[modality]
        if Group.output_projector(modality) not in trained or not isinstance(projector, Centred) or projector.centred:
            continue
        if not isinstance(generator.generator, ReadsText):
            continue
        targets = [item for sample in samples for item in sample.targets.get(modality, ())]
        if captions := [item.caption for item in targets if item.caption and item.loss]:
            projector.centre(generator.text_conditions(captions).float().mean(0))
