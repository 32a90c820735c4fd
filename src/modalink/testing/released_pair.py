"""A released checkpoint twice: by the classes of transformers, and imported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import transformers
from torch import Tensor
from transformers import AutoImageProcessor, AutoProcessor, IdeficsProcessor

from modalink import hub, json_files, modalities
from modalink.errors import PartError
from modalink.interop.importing import recipe_of
from modalink.modalities.video import Clip
from modalink.model import System, compose

_REPLY = [0, 5, 6, 7]
"""What the decoder of an encoder-decoder reads."""


@dataclass
class ReleasedPair:
    """The same checkpoint by transformers and by modalink.

    Args:
        native: The model of transformers.
        processor: Its processor, on Pillow.
        system: What was imported.
    """

    native: Any
    processor: Any
    system: System

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Both from a folder."""
        kind = getattr(transformers, (hub.architecture(str(folder)).architectures or [""])[0])
        told = json_files.read(folder / "processor_config.json", PartError, dict[str, Any])
        # Those of videos have no other backend than torchvision.
        processor = AutoProcessor.from_pretrained(folder, **({} if "video_processor" in told else {"backend": "pil"}))
        if "video_processor" in told and "image_processor" in told:
            processor.image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        processor.tokenizer.padding_side = "left"
        return cls(kind.from_pretrained(folder).eval(), processor, compose(recipe_of(str(folder))))

    @property
    def leads(self) -> bool:
        """Whether their processor writes an image before each text by itself (BLIP-2)."""
        return hasattr(self.processor, "num_query_tokens")

    def inputs(self, texts: Sequence[str], **media: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """What either processor makes of texts and the media in them, padded on the left.

        BLIP-2's pads between an image and its text, which changes what is said of it; there the tokens are those here.
        """
        options: dict[str, Any] = {"padding": True, "return_tensors": "pt"}
        given = {name: [item for row in rows for item in row] for name, rows in media.items()}
        own: dict[str, Any] = {
            name: [_clip(item) if name == "videos" else item for item in items] for name, items in given.items()
        }
        ours = dict(self.system.processor(text=list(texts), **own, **options, padding_side="left"))
        if self.leads:
            signs = [modalities.get(modality).placeholder for modality in self.system.spec.inputs]
            bare = [text.removeprefix(sign) for text in texts for sign in signs]
            every = [item for items in given.values() for item in items] or None  # videos, too, are its images
            theirs = dict(self.processor(text=bare, images=every, **options))
            same = ("input_ids", "attention_mask") if len(texts) > 1 else ()
            theirs |= {name: ours[name] for name in same}
            return self._same_frames(theirs, ours, "pixel_values"), ours
        if isinstance(self.processor, IdeficsProcessor):  # which writes the signs of images itself
            shown = iter(given.get("images", ()))
            told = [_interleaved(text, shown) for text in texts]
            return dict(self.processor(text=told, padding=True, return_tensors="pt")), ours
        if "images" in media and "batch_num_images" in self.processor.image_processor.model_input_names:
            given["images"] = media["images"]  # which counts those of each text
        theirs = dict(self.processor(text=list(texts), **given, **options, padding_side="left"))
        return self._same_frames(theirs, ours, "pixel_values_videos"), ours

    @staticmethod
    def _same_frames(theirs: dict[str, Any], ours: dict[str, Any], name: str) -> dict[str, Any]:
        """Theirs with our frames of videos: torchvision rounds differently, and they must only be near."""
        if "pixel_values_videos" not in ours or name not in theirs:
            return theirs
        frames = ours["pixel_values_videos"].view_as(theirs[name])
        torch.testing.assert_close(theirs[name], frames, atol=1e-5, rtol=0)
        return theirs | {name: frames}

    @torch.no_grad()
    def logits(self, theirs: dict[str, Any], ours: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The logits of either where there is no padding, here and there."""
        model: Any = self.native
        if self.leads and "pixel_values" not in theirs:  # which reads no text alone
            model = self.native.language_model
        if self.system.model.config.is_encoder_decoder:
            reply = {"decoder_input_ids": torch.tensor([_REPLY] * len(ours["input_ids"]))}
            return self.system.model(**ours, **reply).logits.flatten(), model(**theirs, **reply).logits.flatten()
        if isinstance(self.processor, IdeficsProcessor):  # whose model counts tokens behind padding from 0
            ours = ours | {"position_ids": (ours["attention_mask"].cumsum(1) - 1).clamp(min=0)}
        found, needed = self.system.model(**ours).logits, model(**theirs).logits
        return found[ours["attention_mask"].bool()].flatten(), needed[theirs["attention_mask"].bool()].flatten()

    def difference(self, theirs: dict[str, Any], ours: dict[str, Any]) -> float:
        """The largest difference of a logit where there is no padding, computed in float64.

        In float32 both round differently, and how much hangs on the CPU.
        """
        precisions = [(model, model.dtype) for model in (self.native, self.system.model)]
        for model, _ in precisions:
            model.double()
        found, needed = self.logits(theirs, ours)
        for model, precision in precisions:
            model.to(precision)
        return float((found - needed).abs().max())

    def generated(self, theirs: dict[str, Any], ours: dict[str, Any], **options: Any) -> tuple[list[str], list[str]]:
        """The texts that either writes, here and there."""
        options = {"max_new_tokens": 12, "do_sample": False} | options
        found, needed = self.system.model.generate(**ours, **options), self.native.generate(**theirs, **options)
        decode = self.processor.tokenizer.batch_decode
        if self.system.model.config.is_encoder_decoder:
            return decode(found), decode(needed)
        before = [inputs["input_ids"].shape[1] for inputs in (ours, theirs)]
        return decode(found[:, before[0] :]), decode(needed[:, before[1] :])


def _interleaved(text: str, images: Iterator[Any]) -> list[Any]:
    """A text in pieces, with images where it has signs of them."""
    first, *others = text.split(modalities.get("image").placeholder)
    pieces = [first, *(piece for other in others for piece in (next(images), other))]
    return [piece for piece in pieces if not isinstance(piece, str) or piece]


def _clip(frames: Any) -> Clip:
    return Clip.of(frames, fps=1.0)
