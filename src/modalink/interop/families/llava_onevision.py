"""LLaVA-OneVision: one image in tiles, several images as a square each, or a video, through one tower and its maps.

Images of many tiles and frames of videos are brought to fewer tokens by interpolation behind the maps
(arXiv 2408.03326, section 3.1).
"""

import re
from typing import Any

from modalink.interop._llava import LLM, grids, mlp, projector_names, tower
from modalink.interop.family import Family, Source
from modalink.interop.names import NameMap
from modalink.recipe import Paper

_FRAMES = 32
"""How many frames of a video are read where the checkpoint does not say: as in its training."""
_SAME = ("size", "resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
"""What images and frames must go through alike, because they are read by one encoder."""


def parts(source: Source) -> dict[str, Any]:
    """The parts, each in the checkpoint; videos go through those of images."""
    frames = {"kind": "frames", "encoder": tower(source), "frames": {"count": _frames(source)}}
    encoder = {
        "kind": "tiles",
        "encoder": frames,
        "tiles": {"grids": grids(source), "several": "padded"},
        "merge": "spatial_unpad",
    }
    rows = source.config.vision_config.image_size // source.config.vision_config.patch_size
    shrink = {"tiles": _most_tiles(source) * rows**2, "frames": 2}
    projector = mlp(source) | {"shrink": shrink, "newline": "tile_row"}
    return {
        "inputs": {"image": {"encoder": encoder, "projector": projector}, "video": {"use": "image"}},
        "llm": source.checkpoint,
    }


def names(source: Source) -> NameMap:
    """The weights of the tower, of the maps, the learned token, and the LLM's."""
    return NameMap(
        {
            "model.vision_tower.": "model.encoders.image.encoder.tower.",
            "model.image_newline": "model.input_projectors.image.newlines.token",
        }
        | projector_names("image")
        | LLM
    )


def _most_tiles(source: Source) -> int:
    setting = "vision_aspect_ratio"
    ratio = getattr(source.config, setting)
    told = source.processor.get(setting, ratio)
    if told != ratio:
        raise source.refuse(setting, ratio, f"that of its processor, {told!r:.80}")
    if (found := re.fullmatch(r"anyres_max_([1-9]\d*)", str(ratio))) is None:
        raise source.refuse(setting, ratio, "'anyres_max_' and a number of tiles")
    return int(found[1])


def _frames(source: Source) -> int:
    images, videos = (source.processor.get(name) or {} for name in ("image_processor", "video_processor"))
    for name in _SAME:
        if images.get(name) is not None and videos.get(name) is not None and images[name] != videos[name]:
            raise source.refuse(f"video_processor.{name}", videos[name], f"that of images, {images[name]!r:.80}")
    return videos.get("num_frames") or _FRAMES


FAMILY = Family(
    architecture="LlavaOnevisionForConditionalGeneration",
    paper=Paper(title="LLaVA-OneVision: Easy Visual Task Transfer", year=2024, arxiv="2408.03326"),
    parts=parts,
    names=names,
    template="chatml",
)
