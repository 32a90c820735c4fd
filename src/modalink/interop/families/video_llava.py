"""Video-LLaVA: a tower for images and one for frames, whose tokens go through the same maps (arXiv 2311.10122)."""

from typing import Any

from modalink.interop._llava import LLM, mlp, projector_names, tower
from modalink.interop.family import Family, Source
from modalink.interop.names import NameMap
from modalink.recipe import Paper

_FRAMES = 8


def parts(source: Source) -> dict[str, Any]:
    """The parts, each in the checkpoint; of frames the class token is read, too."""
    frames = {
        "kind": "frames",
        "encoder": tower(source, prefix="video_tower.", strategy="full"),
        "frames": {"count": _FRAMES},
    }
    return {
        "inputs": {
            "image": {"encoder": tower(source, prefix="image_tower."), "projector": mlp(source)},
            "video": {"encoder": frames, "projector": mlp(source)},
        },
        "llm": source.checkpoint,
    }


def names(source: Source) -> NameMap:
    """The weights of both towers, of the maps, which stand here once for images and once for videos, and the LLM's."""
    towers = {
        "model.image_tower.": "model.encoders.image.tower.",
        "model.video_tower.": "model.encoders.video.tower.",
    }
    copies = {here: there for there, here in projector_names("video").items()}
    return NameMap(towers | projector_names("image") | LLM, copies=copies)


FAMILY = Family(
    architecture="VideoLlavaForConditionalGeneration",
    paper=Paper(
        title="Video-LLaVA: Learning United Visual Representation by Alignment Before Projection",
        year=2023,
        arxiv="2311.10122",
    ),
    parts=parts,
    names=names,
    template="vicuna-v1.1",
)
