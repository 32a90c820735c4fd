"""A system that reads images of another side for a while: what a stage's `image_size` asks for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from modalink.errors import PartError
from modalink.model.compose import System
from modalink.model.processing import ModalinkProcessor
from modalink.ragged import Layout
from modalink.recipe import SystemSpec
from modalink.recipe.groups import Group
from modalink.roles import Encoder


@contextmanager
def sized(system: System, sides_px: Mapping[str, int]) -> Iterator[None]:
    """Inside, encoders read squares of other sides, with the same weights; positions are interpolated.

    Spec and processor go with them, so that what they make is kept under another key of the feature cache, and
    samples have as many tokens as they make. Afterwards all is as it was, but for what was learned.

    Args:
        system: The system; it is changed in place.
        sides_px: Modality that has an encoder -> side in pixels.

    Raises:
        PartError: An encoder has no such side, or its projector cannot read what it makes then.
    """
    if not sides_px:
        yield
        return
    before, encoders = (system.spec, system.processor), system.model.model.encoders
    changed = with_sides(system.spec, sides_px)
    layouts(system.spec, sides_px)
    adapted = {owner: changed.encoders()[owner].adapted(cast(Encoder, encoders[owner])) for owner in sides_px}
    for owner, encoder in adapted.items():
        encoder.train(encoders[owner].training)
    kept = {owner: encoders[owner] for owner in sides_px}
    old = system.processor
    system.spec = changed
    system.processor = ModalinkProcessor(
        old.tokenizer, changed, chat_template=old.chat_template, encoder_decoder=old.encoder_decoder
    )
    try:
        encoders.update(adapted)
        yield
    finally:
        system.spec, system.processor = before
        encoders.update(kept)


def with_sides(spec: SystemSpec, sides_px: Mapping[str, int]) -> SystemSpec:
    """A spec whose encoders read squares of other sides.

    Raises:
        PartError: A modality has no encoder of its own, or one that has no such side.
    """
    inputs = dict(spec.inputs)
    for modality, side in sides_px.items():
        encoder = spec.encoders().get(modality)
        if encoder is None:
            raise PartError(
                f"image_size: {modality} has no encoder of its own; those that have: {', '.join(spec.encoders())}"
            )
        try:
            inputs[modality] = inputs[modality].model_copy(update={"encoder": encoder.sized(side)})
        except PartError as error:
            raise PartError(f"image_size.{modality}: {error}") from None
    return spec.model_copy(update={"inputs": inputs})


def layouts(spec: SystemSpec, sides_px: Mapping[str, int]) -> dict[str, tuple[Layout, Layout]]:
    """How the tokens of encoder and projector lie of what these encoders read, known without weights.

    Raises:
        PartError: An encoder cannot read squares of that side, or a projector cannot read what it makes then.
    """
    changed, found = with_sides(spec, sides_px), {}
    for modality in (m for m, owner in spec.encoder_owners.items() if owner in sides_px):
        owner = spec.encoder_owners[modality]
        try:
            group, config = Group.encoder(owner), changed.encoder(modality)
            seen = config.layout(config.typical())
            group = Group.input_projector(spec.projector_owners[modality])
            found[modality] = (seen, spec.projector(modality).layout(seen))
        except PartError as error:
            raise PartError(f"image_size {sides_px[owner]} of {owner}: {group}: {error}") from None
    return found
