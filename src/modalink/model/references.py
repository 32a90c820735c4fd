"""What of a system comes from a checkpoint, and is saved as a reference to it while nothing has trained it."""

from modalink.recipe import SystemSpec
from modalink.recipe.groups import JOIN, LLM, Group
from modalink.roles import FromCheckpoint


def references(spec: SystemSpec) -> dict[Group, FromCheckpoint]:
    """Parts and sections of parts with pretrained weights, each with the settings that name its checkpoint."""
    found: dict[Group, FromCheckpoint] = {LLM: spec.llm}
    found |= {Group.encoder(modality): config for modality, config in spec.encoders().items()}
    for modality, config in spec.projectors().items():
        projector = Group.input_projector(modality)
        found |= {projector.inside(name): source for name, source in config.borrowed().items()}
    found |= {Group.denoiser(m): made.generator for m, made in spec.learning_generators.items()}
    if (join := spec.join.reference) is not None:
        found[JOIN] = join
    return found


def pretrained(spec: SystemSpec) -> set[Group]:
    """What has weights from a checkpoint, wholly or in part."""
    return {*references(spec), JOIN}
