"""Builds the tiny parts: `build` trains those that are named, resumable, and writes them as Hugging Face folders."""

from collections.abc import Sequence
from pathlib import Path

import torch

from modalink.errors import UnknownNameError
from modalink.zoo.build import (
    audio,
    caption_towers,
    clip_classifier,
    clip_transformer,
    llm,
    points,
    scene_classifier,
    solid_classifier,
    solid_prior,
    solid_renderer,
    sound_classifier,
    sound_lm,
    t5,
    text,
    unet,
    unified,
    vae,
    video,
    vision,
)
from modalink.zoo.build.options import Options

BUILDERS = {
    "scene_classifier": scene_classifier.build,
    "llm": llm.build,
    "t5": t5.build,
    "text": text.build,
    "vision": vision.build,
    "audio": audio.build,
    "video": video.build,
    "points": points.build,
    "unified": unified.build,
    "vae": vae.build,
    "unet": unet.build,
    "clip_classifier": clip_classifier.build,
    "clip_text": caption_towers.CLIPS.build,
    "clip_transformer": clip_transformer.build,
    "sound_classifier": sound_classifier.build,
    "sound_lm": sound_lm.build,
    "solid_classifier": solid_classifier.build,
    "solid_text": caption_towers.SOLIDS.build,
    "solid_renderer": solid_renderer.build,
    "solid_prior": solid_prior.build,
}
"""What can be built, in an order in which each finds what it needs: t5 reads llm, vision text, unet text and vae."""


def build(
    parts: Sequence[str], out: Path, work: Path, threads: int = 1, steps_scale: float = 1.0
) -> dict[str, dict[str, float]]:
    """Train parts one after the other and write them; a part that was interrupted continues.

    Args:
        parts: names out of `BUILDERS`; none means all.
        out: folder of the parts, for example the package's own `zoo/parts`.
        work: folder of checkpoints and logs, one folder inside for each part.
        threads: CPU threads.
        steps_scale: factor on the number of training steps.

    Returns:
        What each part reached on validation data.

    Raises:
        UnknownNameError: a name is none of the parts.
    """
    for name in parts:
        if name not in BUILDERS:
            raise UnknownNameError("zoo part", name, BUILDERS)
    torch.set_num_threads(threads)
    options = Options(out=out, work=work, steps_scale=steps_scale)
    return {name: BUILDERS[name](options) for name in BUILDERS if name in parts or not parts}
