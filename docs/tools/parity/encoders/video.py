"""Video towers: the last hidden states of the classes of transformers."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor
from transformers import TimesformerModel, VideoMAEModel, VivitModel

from modalink.encoders.video import VideoConfig
from modalink.modalities import video
from modalink.ragged import Ragged
from modalink.testing import checkpoints


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two clips of one video."""
    for model in (VideoMAEModel, TimesformerModel, VivitModel):
        place = checkpoints.tiny_video(folder / model.__name__, model)
        config = VideoConfig(checkpoint=str(place), clips=2)
        preprocess, clip = config.preprocessor(), video.example(0)
        items = Ragged.of([preprocess(clip)], [preprocess.layout(clip)])
        reference = model.from_pretrained(place).eval()
        whole = reference(pixel_values=items.values.unflatten(0, (-1, 4))).last_hidden_state
        tokens = whole[:, -16 * (4 if model is TimesformerModel else 2) :]
        if model is TimesformerModel:  # the frames of a patch stand together there
            tokens = tokens.unflatten(1, (16, 4)).transpose(1, 2).flatten(1, 2)
        yield f"transformers' `{model.__name__}`", config.build()(items).values, tokens.flatten(0, 1)
